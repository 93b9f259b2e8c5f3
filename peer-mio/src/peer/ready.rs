//! A complete content that waits to land, and the mode and time that it gets for it.

use crate::disk::{DiskFile, FileKind, Stat};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, MODE_MASK, Timestamp};
use proto_core::time::Instant;
use std::io;

/// A complete content.
#[derive(Debug)]
pub(super) struct Ready<F> {
    pub path: Vec<u8>,
    /// Its name in `download/`.
    pub name: Vec<u8>,
    /// What.
    pub content: ContentId,
    pub size: u64,
    pub fetched: u64,
    pub started: Instant,
    /// The file itself.
    pub file: F,
    /// The mode that it was made with and has.
    pub made_with: Option<u16>,
    /// Mode and time that it is known to have.
    pub readied: Option<(u16, Timestamp)>,
    /// Its bytes are on the disk, and it has its mode and time.
    pub flushed: bool,
    /// It was flushed by itself, as there were few.
    pub alone: bool,
}

/// What of their modes files that were made in one slice have kept: neither the umask nor a default ACL of `download/` takes
/// bits away, and the file system adds none. Whether one does is asked anew in each slice, since an ACL may come and go.
#[derive(Debug, Default)]
pub(super) struct KeptModes {
    /// Bits that one was made with, and had.
    set: u16,
    /// Bits that one was made without, and did not have.
    unset: u16,
}

impl KeptModes {
    /// Whether a file that was just made with this mode has it; of most that is known from one before.
    pub fn has(&mut self, file: &impl DiskFile, mode: u16) -> bool {
        let without = !mode & MODE_MASK;
        if mode & !self.set != 0 || without & !self.unset != 0 {
            if !file.stat().is_ok_and(|stat| stat.mode == mode) {
                return false;
            }
            self.set |= mode;
            self.unset |= without;
        }
        true
    }
}

/// Whether a file in `download/` has kept a time to the nanosecond: so do the others, for the folder stays on one file system.
#[derive(Debug, Default)]
pub(super) struct KeptTimes(bool);

impl KeptTimes {
    fn has(&self, mtime: Timestamp) -> bool {
        // What every file system with such times can hold.
        self.0 && (0..=i64::from(i32::MAX)).contains(&mtime.sec)
    }

    fn note(&mut self, mtime: Timestamp) {
        self.0 |= !mtime.nsec.is_multiple_of(10);
    }
}

impl<F: DiskFile> Ready<F> {
    /// Gives it the mode and time that it is to have at its path, and finds out whether it has them then.
    pub fn complete_attributes(&mut self, entry: &Entry, kept: &mut KeptTimes) -> io::Result<()> {
        self.readied = None;
        let has_mode = self.made_with.take() == Some(entry.mode);
        if !has_mode {
            self.file.set_mode(entry.mode)?;
        }
        self.file.set_mtime(entry.mtime)?;
        if !(has_mode && kept.has(entry.mtime)) {
            let stat = self.file.stat()?;
            // Somebody has changed it since.
            if stat.mode != entry.mode {
                return self.file.set_mode(entry.mode);
            }
            if stat.mtime != entry.mtime {
                return Ok(());
            }
            kept.note(entry.mtime);
        }
        self.readied = Some((entry.mode, entry.mtime));
        Ok(())
    }

    /// Whether it is known to have what an entry says.
    pub fn is_readied(&self, entry: &Entry) -> bool {
        self.readied == Some((entry.mode, entry.mtime))
    }

    /// Whether what has landed is still as it was readied.
    pub fn is_untouched(&self, now: &Stat) -> bool {
        now.kind == FileKind::File
            && now.size == self.size
            && self.readied == Some((now.mode, now.mtime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::memory_file::MemoryFile;
    use proto_core::index::entry::{IndexId, Kind};

    fn entry(mode: u16, nsec: u32) -> Entry {
        Entry {
            kind: Kind::File,
            mode,
            size: 5,
            mtime: Timestamp { sec: 1000, nsec },
            content: ContentId::default(),
            version: Default::default(),
            sequence: 1,
            modified_by: IndexId(1),
        }
    }

    /// A file that was made with a mode, and how often it was asked what it is while it got what `entry` says.
    fn complete(
        file: MemoryFile,
        made_with: Option<u16>,
        entry: &Entry,
        kept: &mut KeptTimes,
    ) -> (Ready<MemoryFile>, usize) {
        let mut ready = Ready {
            path: b"a".to_vec(),
            name: b"a.part".to_vec(),
            content: ContentId::default(),
            size: 5,
            fetched: 5,
            started: Instant::ZERO,
            file,
            made_with,
            readied: None,
            flushed: false,
            alone: false,
        };
        ready.complete_attributes(entry, kept).unwrap();
        let asked = ready.file.asked();
        (ready, asked)
    }

    fn file(mode: u16, tick: u32) -> MemoryFile {
        MemoryFile::new(b"hello").on_disk_with(mode, tick)
    }

    #[test]
    fn of_files_that_keep_their_times_one_is_asked() {
        let mut kept = KeptTimes::default();
        for (number, mode) in [0o664, 0o664, 0o644, 0o600].into_iter().enumerate() {
            let wanted = entry(mode, 123_456_789);
            let (ready, asked) = complete(file(mode, 1), Some(mode), &wanted, &mut kept);
            assert_eq!(
                (asked, ready.is_readied(&wanted)),
                (usize::from(number == 0), true)
            );
            assert!(ready.is_untouched(&ready.file.stat().unwrap()));
            assert!(
                !ready.is_readied(&entry(mode, 1)) && !ready.is_readied(&entry(0o640, 123_456_789))
            );
        }
        // A time that some file systems cannot hold.
        let mut late = entry(0o644, 1);
        late.mtime.sec = 1 << 33;
        assert_eq!(complete(file(0o644, 1), Some(0o644), &late, &mut kept).1, 1);
    }

    #[test]
    fn of_files_of_a_slice_that_keep_their_modes_one_is_asked() {
        let mut kept = KeptModes::default();
        // A mode that a file was made with, the one that it got, and how often it is asked.
        for (mode, got, asks) in [
            (0o644, 0o644, 1),
            (0o644, 0o644, 0),
            // More bits than any had yet.
            (0o755, 0o744, 1),
            (0o755, 0o755, 1),
            (0o755, 0o755, 0),
            (0o644, 0o644, 0),
            // Fewer than any had yet: the file system may add some.
            (0o600, 0o755, 1),
            (0o600, 0o600, 1),
            (0o600, 0o600, 0),
            (0o711, 0o711, 0),
        ] {
            let file = file(got, 1);
            assert_eq!(kept.has(&file, mode), got == mode);
            assert_eq!(file.asked(), asks);
        }
        // In the next slice.
        assert!(!KeptModes::default().has(&file(0o600, 1), 0o644));
    }

    #[test]
    fn a_file_that_has_another_mode_gets_its_own_and_is_asked() {
        let mut kept = KeptTimes::default();
        // One that was not made with it, or is to have another by now.
        for made_with in [None, Some(0o600)] {
            let wanted = entry(0o664, 123_456_789);
            let (ready, asked) = complete(file(0o600, 1), made_with, &wanted, &mut kept);
            assert_eq!((asked, ready.is_readied(&wanted)), (1, true));
            assert_eq!(ready.file.stat().unwrap().mode, 0o664);
        }
    }

    #[test]
    fn where_times_are_coarse_each_file_is_asked() {
        let mut kept = KeptTimes::default();
        for nsec in [0, 500_000_000, 123_456_789, 0, 1] {
            let wanted = entry(0o644, nsec);
            let (ready, asked) =
                complete(file(0o644, 1_000_000_000), Some(0o644), &wanted, &mut kept);
            assert_eq!((asked, ready.is_readied(&wanted)), (1, nsec == 0));
        }
    }

    #[test]
    fn what_was_written_to_or_got_another_mode_since_is_not_untouched() {
        let wanted = entry(0o644, 5);
        let touches: [fn(&MemoryFile); 3] = [
            |file| file.set_len(6).unwrap(),
            |file| file.set_mode(0o600).unwrap(),
            |file| file.set_mtime(Timestamp { sec: 1000, nsec: 6 }).unwrap(),
        ];
        for touch in touches {
            let (ready, _) = complete(
                file(0o644, 1),
                Some(0o644),
                &wanted,
                &mut KeptTimes::default(),
            );
            assert!(ready.is_untouched(&ready.file.stat().unwrap()));
            touch(&ready.file);
            assert!(!ready.is_untouched(&ready.file.stat().unwrap()));
        }
    }
}
