//! What is wrong now, as sentences for `status`; each goes when its cause goes.

use std::collections::BTreeMap;

/// Sentences kept.
const MAX_ERRORS: usize = 64;

/// Current errors by cause.
#[derive(Debug, Default)]
pub struct Errors {
    sentences: BTreeMap<Vec<u8>, String>,
}

/// A cause that is a path cannot be mistaken for another one: names do not hold NUL.
fn path_key(path: &[u8]) -> Vec<u8> {
    [b"path\0", path].concat()
}

impl Errors {
    /// Notes what is wrong; logs it when it is new.
    pub fn set(&mut self, cause: &str, sentence: String) {
        self.insert(cause.as_bytes().to_vec(), sentence);
    }

    /// Notes what is wrong with a path.
    pub fn set_path(&mut self, path: &[u8], sentence: String) {
        self.insert(path_key(path), sentence);
    }

    fn insert(&mut self, cause: Vec<u8>, sentence: String) {
        if self.sentences.get(&cause) == Some(&sentence) {
            return;
        }
        log::warn!("{sentence}");
        if self.sentences.len() < MAX_ERRORS || self.sentences.contains_key(&cause) {
            self.sentences.insert(cause, sentence);
        }
    }

    /// This is well again.
    pub fn clear(&mut self, cause: &str) {
        self.sentences.remove(cause.as_bytes());
    }

    /// This path is well again.
    pub fn clear_path(&mut self, path: &[u8]) {
        if !self.sentences.is_empty() {
            self.sentences.remove(&path_key(path));
        }
    }

    /// The sentences.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.sentences.values().map(String::as_str)
    }
}
