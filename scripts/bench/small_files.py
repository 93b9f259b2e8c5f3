"""A folder of many small files, for bench.py."""

import os
import pathlib


class SmallFiles:
    """`folders` folders of 100 files of `size` random bytes each."""

    def __init__(self, path, folders, size):
        self.path = pathlib.Path(path)
        self.file_size = size
        self.folders = [f"{folder:04}" for folder in range(folders)]
        for folder in self.folders:
            (self.path / folder).mkdir(parents=True)
            for number in range(100):
                (self.path / folder / f"{number:02}.bin").write_bytes(os.urandom(size))
        self.size = folders * 100 * size
        self.complete = {}

    def is_in(self, place):
        """Whether all files are there, by name and size. What was seen complete is not looked at again: looking must
        cost nearly nothing beside what is measured."""
        place = pathlib.Path(place)
        done = self.complete.get(place, 0)
        while done < len(self.folders) and self.is_complete(place / self.folders[done]):
            done += 1
        self.complete[place] = done
        return done == len(self.folders)

    def is_complete(self, folder):
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return False
        return len(entries) == 100 and all(entry.stat().st_size == self.file_size for entry in entries)
