//! What can go wrong with the index, and how it was opened.

use std::fmt;
use std::io;

/// What [`super::Store::open`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// An index, whole.
    Existing,
    /// Nothing: a new index was begun, under the fresh id.
    Created,
}

/// What a commit must survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// A power cut: the commit waits for the disk.
    Durable,
    /// Nothing but [`super::Store::abandon`]; the next durable commit makes it last.
    Eventual,
}

/// Why the index cannot do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The file does not hold what was written to it; the remedy is a new index.
    Damaged(String),
    /// The disk refuses: it is full, gone or read-only. [`super::Store::abandon`], then try again.
    Disk(io::Error),
    /// The request made no sense, or an earlier failure has not been answered by
    /// [`super::Store::abandon`] yet.
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => write!(f, "damaged index: {why}"),
            Self::Disk(error) => write!(f, "index: {error}"),
            Self::Failed(why) => write!(f, "index: {why}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            Self::Damaged(_) | Self::Failed(_) => None,
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Disk(error),
            redb::Error::PreviousIo => Self::Failed("an earlier write failed".to_owned()),
            redb::Error::LockPoisoned(_)
            | redb::Error::DatabaseClosed
            | redb::Error::DatabaseAlreadyOpen
            | redb::Error::ValueTooLarge(_) => Self::Failed(error.to_string()),
            damaged => Self::Damaged(damaged.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(
    DatabaseError,
    TransactionError,
    TableError,
    StorageError,
    CommitError,
    SetDurabilityError
);
