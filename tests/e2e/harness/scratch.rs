//! Folders that tests may fill and delete. Nothing is ever deleted outside a root that this module
//! marked as its own: a test that deletes trees guards itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Lies in every root whose folders may be deleted.
const MARK: &str = ".made-by-the-tests-of-tinypeer";

/// A folder of its own below a marked root; deleted when dropped, unless `TINYPEER_KEEP` is set.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A fresh folder for this test below `TINYPEER_TMP` or the system's folder for such.
    pub fn new(name: &str) -> Self {
        static SWEEP: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let base = std::env::var_os("TINYPEER_TMP").map_or_else(std::env::temp_dir, PathBuf::from);
        let root = base.join("tinypeer-e2e");
        mark(&root);
        SWEEP.call_once(|| sweep(&root));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{}-{count}-{name}", std::process::id()));
        delete(&root, &path);
        fs::create_dir(&path).expect("make the scratch folder");
        Self {
            root,
            path,
            keep: std::env::var_os("TINYPEER_KEEP").is_some(),
        }
    }

    /// The folder `path`, emptied if an earlier run made it, and left for the user to look at.
    /// Panics if it exists and was not made here.
    pub fn kept(path: &Path) -> Self {
        mark(path);
        let root = path.canonicalize().expect("the folder that was just made");
        for child in fs::read_dir(&root).expect("list the folder").flatten() {
            if child.file_name() != MARK {
                delete(&root, &child.path());
            }
        }
        Self {
            path: root.clone(),
            root,
            keep: true,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir_all(&path).expect("make a folder in the scratch folder");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("kept: {}", self.path.display());
        } else {
            delete(&self.root, &self.path);
        }
    }
}

/// Makes `root` and its mark. A folder that exists without the mark must be empty.
fn mark(root: &Path) {
    fs::create_dir_all(root).expect("make the root of the scratch folders");
    let marked = root.join(MARK).exists();
    let empty = fs::read_dir(root).expect("list the root").next().is_none();
    // Two runs may make the root at once: the mark of the other one may come in between.
    assert!(
        marked || empty || root.join(MARK).exists(),
        "{} exists and is not ours",
        root.display()
    );
    fs::write(
        root.join(MARK),
        "Everything in here may be deleted by the tests.\n",
    )
    .expect("write the mark");
}

/// Deletes what runs left behind that are no longer there.
fn sweep(root: &Path) {
    for child in fs::read_dir(root).expect("list the root").flatten() {
        let name = child.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            delete(root, &child.path());
        }
    }
}

/// Deletes a direct child of a marked root, without following links; panics for anything else.
fn delete(root: &Path, path: &Path) {
    let name = path.file_name().expect("a scratch folder has a name");
    assert!(
        path.parent() == Some(root),
        "{} is not directly in {}",
        path.display(),
        root.display()
    );
    assert!(
        root.join(MARK).is_file(),
        "{} has no mark: nothing in it is deleted",
        root.display()
    );
    assert!(name != MARK, "the mark stays");
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    let result = if metadata.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    if let Err(error) = result {
        println!("left: {}: {error}", path.display());
    }
}
