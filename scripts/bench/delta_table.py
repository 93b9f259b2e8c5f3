#!/usr/bin/env python3
"""What the new version of a package costs where the old one is: FastCDC against fixed blocks and rsync.
`delta_table.py NAME OLD NEW [NAME OLD NEW ...]`, folders or files; prints a table. Needs rsync and
`cargo build --release --example delta_table --package peer-mio`."""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "target/release/examples/delta_table"


def ours(old, new):
    """Bytes of the new version; bytes to move and of recipes, for each way of cutting."""
    text = subprocess.run([PROGRAM, old, new], check=True, capture_output=True, text=True).stdout
    size = int(re.search(r"files, (\d+) bytes", text).group(1))
    ways = re.findall(r"(\w+): (\d+) bytes to move, (\d+) bytes of recipes", text)
    return size, {name: (int(moved), int(recipes)) for name, moved, recipes in ways}


def rsync(old, new):
    """Literal bytes, matched bytes, and all that it sends and receives."""
    with tempfile.TemporaryDirectory() as work:
        copy = pathlib.Path(work) / "copy"
        if old.is_dir():
            shutil.copytree(old, copy, symlinks=True)
            places = [f"{new}/", f"{copy}/"]
        else:
            shutil.copyfile(old, copy)
            places = [str(new), str(copy)]
        # Times and sizes may be the same: the bytes decide.
        words = ["rsync", "-a", "--ignore-times", "--no-whole-file", "--delete", "--stats", *places]
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout.replace(",", "")
    number = lambda name: int(re.search(rf"{name}: (\d+)", text).group(1))
    return number("Literal data"), number("Matched data"), number("Total bytes sent") + number("Total bytes received")


def main():
    pairs = sys.argv[1:]
    if not pairs or len(pairs) % 3:
        sys.exit(__doc__)
    print("| pair | bytes | FastCDC | + recipes | fixed 64 KiB | + recipes | rsync literal | rsync matched | rsync on the wire |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, old, new in zip(pairs[::3], pairs[1::3], pairs[2::3]):
        old, new = pathlib.Path(old), pathlib.Path(new)
        size, ways = ours(old, new)
        (moved, recipes), (fixed, lists) = ways["FastCDC"], ways["fixed"]
        figures = [size, moved, moved + recipes, fixed, fixed + lists, *rsync(old, new)]
        print(f"| {name} | " + " | ".join(f"{figure:,}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
