//! Every message prints itself in one line.

use super::draft::Stage;
use super::{Message, ObjectId};
use crate::path::Escaped;
use core::fmt::{Display, Formatter, Result};

impl Display for ObjectId {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Content(content) => write!(f, "content {content}"),
            Self::Recipe(content) => write!(f, "recipe of {content}"),
            Self::Journal(index) => write!(f, "journal of {index}"),
            Self::Bundle(bundle) => write!(
                f,
                "bundle of {} from {} on, {} files",
                bundle.index,
                bundle.first,
                bundle.len()
            ),
        }
    }
}

impl Display for Message<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Announce(told) => write!(
                f,
                "ANNOUNCE {} at {}, has seen {} of {}, wants {}{}, bridge {}{}, {} bytes of entries",
                told.index_id,
                told.sequence,
                told.seen_sequence,
                told.seen_index_id,
                told.pending,
                if told.busy { ", busy" } else { "" },
                told.bridge,
                if told.leads { " that leads" } else { "" },
                told.page.len()
            ),
            Self::Request(request) => {
                write!(
                    f,
                    "REQUEST {} in segments of {}:",
                    request.object(),
                    request.segment()
                )?;
                request.items().try_for_each(|item| {
                    write!(f, " {}+{} as {:08x}", item.start, item.length, item.tag)
                })
            }
            Self::Block(block, payload) => {
                write!(
                    f,
                    "BLOCK {:08x} segment {} of {} bytes: {} bytes",
                    block.tag,
                    block.segment,
                    block.length,
                    payload.len()
                )
            }
            Self::Have(have) => write!(
                f,
                "HAVE {} from {} on, {} chunks",
                have.content, have.first, have.count
            ),
            Self::Refuse(refuse) => {
                write!(f, "REFUSE {:08x}: {}", refuse.tag, refuse.reason)
            }
            Self::Goodbye => f.write_str("GOODBYE"),
            Self::Probe(probe) => write!(f, "PROBE {:08x}: {} bytes", probe.tag, probe.size),
            Self::Padding(padding) => write!(f, "PADDING {:08x}", padding.tag),
            Self::Draft(draft) => {
                write!(
                    f,
                    "DRAFT {} of {} bytes at {}: ",
                    draft.number,
                    draft.size,
                    Escaped(draft.path)
                )?;
                match draft.stage {
                    Stage::Growing(chunks) => write!(f, "{chunks} chunks"),
                    Stage::Named { content, .. } => write!(f, "content {content}"),
                    Stage::Dropped => f.write_str("dropped"),
                }
            }
        }
    }
}
