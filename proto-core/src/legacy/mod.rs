//! What the ancestor of tinypeer speaks: its headers (docs/protocol.md, "The ancestor's headers"), bytes to
//! values and back, and the state machines towards one of them (docs/legacy.md). What an ancestor sends is as little trusted as anything
//! else: lengths are checked against what has arrived, names and paths are bounded, and no text is
//! evaluated.
//!
//! | port | message | file |
//! |---|---|---|
//! | 22002 | information request and reply, notice of a modified file | information.rs |
//! | 22001 | requests for file information and blocks | request.rs |
//! | 22001 | their replies | reply.rs |
//!
//! | decides | file |
//! |---|---|
//! | what a dict of paths and times says | dict.rs |
//! | when to ask for information | poll.rs |
//! | which blocks to ask for | fetch.rs |
//! | which blocks to send | serve.rs |
//! | what of its changes counts, when we publish, under which number | bridge.rs |

mod bridge;
mod dict;
mod fetch;
mod information;
mod poll;
mod reply;
mod request;
mod serve;

pub use bridge::{
    Foreign, MAX_ADD_TIMES, MAX_ANCESTORS, MAX_LEGACY_FILES, Ours, Taking, bridge_number,
    next_number, take,
};
pub use dict::{DictError, MAX_DICT_ENTRIES, ReplyWriter, SHARE_PREFIX, parse_dict};
pub use fetch::{Fetch, FetchError, Fetched};
pub use information::{InformationQuery, InformationReply, MAX_INFORMATION_REPLY};
pub use poll::{Asking, PATIENCE, PAUSE, is_answer};
pub use reply::{FileInformation, MAX_BLOCK, Reply, Status};
pub use request::{Operation, Request};
pub use serve::{BLOCK, Batches, Complete, MAX_SERVED, Serve, batch_number};

use crate::limits::MAX_PATH;
use crate::wire::WireError;

/// Where an ancestor answers information requests and takes notices.
pub const INFORMATION_PORT: u16 = 22002;

/// Where an ancestor answers requests for files.
pub const BLOCK_PORT: u16 = 22001;

/// Longest name or path in any of these headers in bytes: a longest path and what an ancestor puts
/// before it.
pub const MAX_LEGACY_NAME: usize = "../share/".len() + MAX_PATH;

/// A name as an ancestor can take it: a NUL or what is not UTF-8 would end its server.
fn name<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, WireError> {
    let name = core::str::from_utf8(bytes).map_err(|_| WireError::Invalid(field))?;
    check_name(name, field)?;
    Ok(name)
}

/// The same rules for what we send.
fn check_name(name: &str, field: &'static str) -> Result<(), WireError> {
    if name.is_empty() || name.len() > MAX_LEGACY_NAME || name.contains('\0') {
        return Err(WireError::Invalid(field));
    }
    Ok(())
}
