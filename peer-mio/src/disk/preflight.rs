//! Whether tinypeer can work in a folder, found out before anything in it is made or changed.

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, accessat, openat, statat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The folders, below the one that `--dir` names.
const FOLDERS: [&str; 5] = ["share", "download", "zip", ".tinypeer", ".tinypeer/trash"];
/// A file that another user may have left.
const INDEX: &str = ".tinypeer/index.redb";

/// Looks at `directory` and at what is in it of tinypeer's. Only a look: what is found may change,
/// so every later step has its own errors.
///
/// # Errors
/// One sentence: what is wrong, with its path, and what to do.
pub fn check(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => {
            return Err(format!(
                "{shown} is a file, not a folder; name a folder with --dir"
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!(
                "the folder {shown} does not exist; make it, mount what holds it, or name another one with --dir"
            ));
        }
        Err(error) => {
            return Err(format!(
                "the folder {shown} cannot be reached: {error}; name another one with --dir"
            ));
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = openat(CWD, directory, flags, Mode::empty())
        .map_err(|errno| format!("the folder {shown} cannot be opened: {errno}"))?;
    let mut missing = false;
    let mut share = None;
    for name in FOLDERS {
        let place = Place::new(&base, directory, name);
        match place.kind()? {
            None => missing = true,
            Some(FileType::Directory) => place.check_access()?,
            Some(_) => return Err(place.say(
                "is not a folder, and tinypeer needs one there (a symlink is none): move it away",
            )),
        }
        let file_system = place.file_system();
        match share {
            None => share = Some(file_system),
            Some(share) if share == file_system => {}
            Some(_) => {
                return Err(place.say(
                    "is not on the file system (the mount) that share/ is on, so no file could be renamed into share/: put both on the same one",
                ));
            }
        }
    }
    if missing {
        Place::new(&base, directory, ".").check_access()?;
    }
    let index = Place::new(&base, directory, INDEX);
    match index.kind()? {
        None => Ok(()),
        Some(FileType::RegularFile) => index.check_access(),
        Some(_) => Err(index.say("is not a file, and the index would be there: move it away")),
    }
}

/// A device, and a mount where the kernel tells (Linux 5.8): a file system that is mounted twice takes
/// no renames from one mount to the other.
type FileSystem = (u64, Option<u64>);

/// One of our names below `--dir`.
struct Place<'a> {
    base: &'a OwnedFd,
    name: &'a str,
    path: PathBuf,
}

impl<'a> Place<'a> {
    fn new(base: &'a OwnedFd, directory: &Path, name: &'a str) -> Self {
        let path = match name {
            "." => directory.to_owned(),
            name => directory.join(name),
        };
        Self { base, name, path }
    }

    fn say(&self, what: &str) -> String {
        format!("{} {what}", self.path.display())
    }

    /// What is there; `None` if nothing is.
    fn kind(&self) -> Result<Option<FileType>, String> {
        match statat(self.base, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(self.refused("reached", errno)),
        }
    }

    /// Reading and searching, then writing.
    fn check_access(&self) -> Result<(), String> {
        let read = match self.kind()? {
            Some(FileType::Directory) => Access::READ_OK | Access::EXEC_OK,
            _ => Access::READ_OK,
        };
        for (access, what) in [(read, "read"), (Access::WRITE_OK, "written")] {
            accessat(self.base, self.name, access, AtFlags::EACCESS)
                .map_err(|errno| self.refused(what, errno))?;
        }
        Ok(())
    }

    fn refused(&self, what: &str, errno: Errno) -> String {
        if errno == Errno::ROFS {
            return self.say(
                "is on a read-only file system: mount it writable, or name another folder with --dir",
            );
        }
        let user = rustix::process::geteuid().as_raw();
        let do_what = match statat(self.base, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_uid == user => "'chmod u+rwX' it".to_owned(),
            Ok(stat) => format!(
                "it belongs to user {}: run tinypeer as that one, or 'chown' it",
                stat.st_uid
            ),
            Err(_) => "run tinypeer as the user who owns it".to_owned(),
        };
        self.say(&format!(
            "cannot be {what} by user {user} ({errno}); {do_what}"
        ))
    }

    /// Where it is, or where it would be made.
    fn file_system(&self) -> FileSystem {
        let parent = self.name.rsplit_once('/').map_or(".", |(parent, _)| parent);
        [self.name, parent, "."]
            .into_iter()
            .find_map(|name| file_system(self.base, name))
            .unwrap_or_default()
    }
}

/// On which file system a name lies.
pub(super) fn file_system(base: impl AsFd, name: &str) -> Option<FileSystem> {
    let base = base.as_fd();
    let device =
        super::real_file::unsigned(statat(base, name, AtFlags::SYMLINK_NOFOLLOW).ok()?.st_dev);
    let mount = rustix::fs::statx(base, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID)
        .ok()
        .filter(|found| found.stx_mask & StatxFlags::MNT_ID.bits() != 0)
        .map(|found| found.stx_mnt_id);
    Some((device, mount))
}
