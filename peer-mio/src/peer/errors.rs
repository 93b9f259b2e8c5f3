//! What is wrong now, as sentences for `status`; each goes when its cause goes.

use proto_core::limits::MAX_PATH;
use proto_core::path::{Escaped, check, is_below};
use std::collections::BTreeMap;

/// Sentences kept of each sort.
const MAX_ERRORS: usize = 64;

/// Bytes shown of a path that is too long.
const HEAD: usize = 64;

/// Current errors by cause. A path may have one of each sort: what is there cannot be shared, and
/// what others have cannot come.
#[derive(Debug, Default)]
pub struct Errors {
    causes: BTreeMap<Vec<u8>, String>,
    /// Paths of which we cannot read what is there.
    unread: BTreeMap<Vec<u8>, Unread>,
    /// Paths at which something cannot be fetched or landed.
    coming: BTreeMap<Vec<u8>, String>,
    /// Number of the scan that began last.
    scan: u64,
    /// The scan in which there was no room for one more of `unread`.
    overflowed: Option<u64>,
    /// Pending entries when `coming` was last compared with them.
    swept: u64,
}

#[derive(Debug)]
struct Unread {
    sentence: String,
    /// The scan that found it so last.
    scan: u64,
}

impl Errors {
    /// Notes what is wrong; logs it when it is new.
    pub fn set(&mut self, cause: &str, sentence: String) {
        insert(&mut self.causes, cause.as_bytes(), sentence);
    }

    /// Whether something is wrong for this cause.
    #[must_use]
    pub fn is_set(&self, cause: &str) -> bool {
        self.causes.contains_key(cause.as_bytes())
    }

    /// Notes why what others have at a path does not come.
    pub fn set_path(&mut self, path: &[u8], sentence: String) {
        insert(&mut self.coming, path, sentence);
    }

    /// Notes why what is at a path cannot be shared. True if that is new.
    pub fn set_unread(&mut self, path: &[u8], sentence: String) -> bool {
        let scan = self.scan;
        if let Some(known) = self.unread.get_mut(path) {
            known.scan = scan;
            if known.sentence == sentence {
                return false;
            }
        } else if self.unread.len() >= MAX_ERRORS {
            self.overflowed = Some(scan);
            return false;
        }
        log::warn!("{sentence}");
        self.unread.insert(path.to_vec(), Unread { sentence, scan });
        true
    }

    /// This is well again.
    pub fn clear(&mut self, cause: &str) {
        self.causes.remove(cause.as_bytes());
    }

    /// What others have at this path has come, or is not wanted any more.
    pub fn clear_path(&mut self, path: &[u8]) {
        self.coming.remove(path);
    }

    /// What is at this path can be read, or is gone.
    pub fn clear_unread(&mut self, path: &[u8]) {
        self.unread.remove(path);
    }

    /// Whether there is anything that we cannot read and so cannot share.
    #[must_use]
    pub fn any_unread(&self) -> bool {
        !self.unread.is_empty() || self.overflowed.is_some()
    }

    /// Whether this path cannot be read, or something below it.
    #[must_use]
    pub fn is_unread(&self, path: &[u8]) -> bool {
        self.unread
            .keys()
            .any(|unread| unread == path || is_below(unread, path))
    }

    /// A scan begins.
    pub fn scan_begins(&mut self) {
        self.scan += 1;
    }

    /// A scan has come by a path that will be looked at.
    pub fn scan_meets(&mut self, path: &[u8]) {
        if let Some(unread) = self.unread.get_mut(path) {
            unread.scan = self.scan;
        }
    }

    /// A scan of `root` and all below it has ended: what it did not meet is not so any more.
    pub fn scan_ends(&mut self, root: &[u8]) {
        let scan = self.scan;
        self.unread
            .retain(|path, unread| unread.scan == scan || !(path == root || is_below(path, root)));
        if root.is_empty() && self.overflowed != Some(scan) {
            self.overflowed = None;
        }
    }

    /// Drops the sentences about paths at which nothing is pending any more. Costs nothing while the
    /// number of pending entries stays the same.
    pub fn sweep<E>(
        &mut self,
        pending: u64,
        mut is_pending: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        if std::mem::replace(&mut self.swept, pending) == pending {
            return Ok(());
        }
        let mut gone = Vec::new();
        for path in self.coming.keys() {
            if !is_pending(path)? {
                gone.push(path.clone());
            }
        }
        for path in gone {
            self.coming.remove(&path);
        }
        if pending == 0 {
            self.clear("space");
        }
        Ok(())
    }

    /// The sentences.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        let unread = self.unread.values().map(|unread| &unread.sentence);
        let all = self.causes.values().chain(unread);
        all.chain(self.coming.values()).map(String::as_str)
    }
}

/// Why what is at a path cannot be shared.
pub(super) fn unread_sentence(path: &[u8], error: &std::io::Error) -> String {
    if check(path).is_ok() {
        return format!("{} cannot be read: {error}", Escaped(path));
    }
    let head = path.get(..HEAD).unwrap_or(path);
    format!(
        "{}... is not shared: with its folders the name is {} bytes long, more than {MAX_PATH}",
        Escaped(head),
        path.len()
    )
}

fn insert(sentences: &mut BTreeMap<Vec<u8>, String>, cause: &[u8], sentence: String) {
    if sentences.get(cause) == Some(&sentence) {
        return;
    }
    log::warn!("{sentence}");
    if sentences.len() < MAX_ERRORS || sentences.contains_key(cause) {
        sentences.insert(cause.to_vec(), sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(errors: &Errors) -> Vec<&str> {
        errors.sentences().collect()
    }

    #[test]
    fn a_sentence_about_a_pending_path_goes_with_what_is_pending() {
        let mut errors = Errors::default();
        errors.set_path(b"a", "a cannot come".to_owned());
        errors.set_path(b"b", "b cannot come".to_owned());
        errors.set("space", "the disk is full".to_owned());
        errors.sweep(1, |path| Ok::<_, ()>(path == b"b")).unwrap();
        assert_eq!(told(&errors), ["the disk is full", "b cannot come"]);
        errors.sweep(0, |_| Ok::<_, ()>(false)).unwrap();
        assert!(told(&errors).is_empty());
        assert!(!errors.any_unread());
    }

    #[test]
    fn what_cannot_be_read_goes_when_a_scan_of_its_folder_does_not_meet_it() {
        let mut errors = Errors::default();
        assert!(errors.set_unread(b"d/x", "x".to_owned()));
        assert!(!errors.set_unread(b"d/x", "x".to_owned()), "not new");
        assert!(errors.set_unread(b"e", "e".to_owned()));
        assert!(errors.is_unread(b"d") && !errors.is_unread(b"x"));
        errors.scan_begins();
        errors.scan_ends(b"other");
        assert_eq!(told(&errors), ["x", "e"]);
        errors.scan_begins();
        errors.scan_meets(b"d/x");
        errors.scan_ends(b"");
        assert_eq!(told(&errors), ["x"]);
        errors.scan_begins();
        errors.scan_ends(b"d");
        assert!(!errors.any_unread());
    }

    #[test]
    fn more_than_there_is_room_for_is_still_known() {
        let mut errors = Errors::default();
        for number in 0..=MAX_ERRORS {
            errors.set_unread(number.to_string().as_bytes(), number.to_string());
        }
        assert_eq!(told(&errors).len(), MAX_ERRORS);
        for number in 0..MAX_ERRORS {
            errors.clear_unread(number.to_string().as_bytes());
        }
        assert!(errors.any_unread(), "one had no room");
        errors.scan_begins();
        errors.scan_ends(b"");
        assert!(!errors.any_unread());
    }
}
