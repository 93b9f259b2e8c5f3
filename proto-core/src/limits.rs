//! Every capacity of the core, with its reason. The sizes that follow from them are asserted in
//! `engine/mod.rs` and listed in docs/architecture.md ("Memory").

/// Peers that one instance can be configured with. A group is "a handful of small machines".
pub const MAX_PEERS: usize = 16;

/// Index ids that a version vector can name; more than peers, because an index that was lost and
/// made anew has a new id. What happens beyond it: see [`crate::index::version_vector`].
pub const MAX_VERSIONS: usize = 24;

/// Longest path below `share/` in bytes. Linux refuses longer ones in a single call (`PATH_MAX`).
pub const MAX_PATH: usize = 4095;

/// Longest component of a path in bytes (`NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Longest target of a kept symlink in bytes (`PATH_MAX`).
pub const MAX_TARGET: usize = 4095;

/// Longest journal page in bytes: room for a largest entry (path and target at their limits, a
/// full version vector) and for some 150 usual ones.
pub const MAX_PAGE: usize = 32 * 1024;

/// Longest piece of an object that one pull asks for in bytes: the largest chunk there is
/// (docs/protocol.md, "Chunks").
pub const MAX_PIECE: usize = 1024 * 1024;

/// Smallest datagram that every path must carry, in bytes of UDP payload (RFC 8899, BASE_PLPMTU).
pub const MIN_DATAGRAM: usize = 1200;

/// Longest path of a draft in bytes: what a smallest datagram has room for.
pub const MAX_DRAFT_PATH: usize = 1088;

/// Files that were hashed last and are told of as drafts at once, and so what is fetched of one peer.
pub const MAX_DRAFTS: usize = 4;

/// Largest datagram that is ever sent or accepted, in bytes of UDP payload.
pub const MAX_DATAGRAM: usize = 60_000;

/// Chunk references in one block of a recipe.
pub const RECIPE_BLOCK_CHUNKS: usize = 128;

/// Pieces pulled at once, over all peers. 64 chunks of average size are 4 MB: more than is ever
/// outstanding on a path that one thread can fill.
pub const MAX_PULLS: usize = 64;

/// Contents of many chunks fetched at once.
pub const MAX_SWARMS: usize = 48;

/// Bursts queued for one peer; a puller has at most [`MAX_PULLS`] pieces outstanding.
pub const MAX_BURSTS: usize = 64;
