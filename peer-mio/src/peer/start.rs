//! Starting a peer: its index is opened or begun anew, `download/` is put in order, the engine is made.

use super::drafts::Drafts;
use super::hashing::Hashings;
use super::landed_before::find_landed;
use super::landing_name::in_download;
use super::recheck::{self, Recheck};
use super::recover::recover_downloads;
use super::torn::{self, Unflushed};
use super::zips::clear_zips;
use super::{Config, HOUSEKEEPING, Peer, WatchDirectory};
use crate::clock::Now;
use crate::disk::{At, Birth, Disk, Place};
use crate::net::cipher::FastKey;
use crate::store::{Durability, Opened, Store, StoreError};
use proto_core::boundary::PeerSlot;
use proto_core::engine::{self, Engine};
use proto_core::index::entry::IndexId;
use proto_core::session::{self, Entropy, Seen};
use std::io;
use std::net::SocketAddr;

/// The index file, in `.tinypeer/`.
const INDEX: &[u8] = b"index.redb";
/// Name of the stored initiation counter.
const INITIATION: &str = "initiation";
/// Name of the stored birth of the index file.
const HOME: &str = "home";
/// Name of the stored birth of `share/`.
const SHARE: &str = "share";
/// Bits of the mode of a folder that let others get at what is in it.
const SEARCH_BY_OTHERS: u16 = 0o011;
/// By how much the initiation counter grows at each start at least, in microseconds: more than one
/// run uses up, at one for each initiation.
const START_STEP: u64 = 1 << 32;
/// Bytes of the stack on which the engine is made; what is not touched takes no memory.
const ENGINE_STACK: usize = 8 * 1024 * 1024;

/// Why a peer cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A folder or the index file cannot be used.
    Disk(io::Error),
    /// The index cannot be made.
    Store(StoreError),
    /// `share/` is missing or empty, and is not the folder that the index knows: it may be an
    /// unmounted one.
    ShareVanished,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(error) => write!(
                f,
                "share/, download/ or .tinypeer/index.redb cannot be used: {error}"
            ),
            Self::Store(error) => write!(f, "the index in .tinypeer/ cannot be opened: {error}"),
            Self::ShareVanished => {
                write!(
                    f,
                    "share/ is missing or empty, and not the folder that the index knows: is it not mounted? Bring it back, or remove .tinypeer/index.redb to fill a new one from the others"
                )
            }
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A peer that has started.
pub struct Started<D: Disk> {
    /// The peer.
    pub peer: Peer<D>,
    /// Whether its index was damaged or missing, and is new.
    pub new_index: bool,
}

impl<D: Disk> Peer<D> {
    /// Starts a peer on a disk whose folders exist. `watch` is called with each directory to watch.
    pub fn start(
        disk: D,
        config: Config,
        now: Now,
        watch: WatchDirectory,
    ) -> Result<Started<D>, StartError> {
        let mut entropy = Entropy::new(&config.seed);
        let fresh = IndexId(entropy.u64().max(1));
        let (mut store, new_index) = open_store(&disk, fresh)?;
        guard_index(&disk, &mut store, fresh)?;
        let told = store.told()?;
        let spare_id = IndexId(entropy.u64().max(1));
        let run = recheck::this_run(&disk, &mut store, entropy.u32())?;
        guard_share(&disk, &mut store)?;
        let unflushed = Unflushed::begin(&mut store, run, config.flushing)?;
        let dropped = if unflushed.any_before(run) {
            torn::drop_torn(&disk, &store, now)?
        } else {
            Vec::new()
        };
        recover_downloads(&disk, &store, now, &dropped)?;
        torn::forget_dropped(&disk, &mut store, &dropped)?;
        if store.pending_len() > 0 {
            // What an earlier run had moved to its path when it was killed may not be there for good.
            match disk.sync_all() {
                Ok(()) => find_landed(&disk, &mut store, now, run)?,
                // A scan will find it.
                Err(error) => log::warn!("the disk cannot be flushed: {error}"),
            }
        }
        clear_zips(&disk);
        let initiation = next_initiation(&mut store, now)?;
        store.commit(Durability::Durable)?;
        let session = session::Config {
            key: config.key,
            index_id: store.index_id(),
            boot_id: entropy.u32(),
            aegis: config.aegis,
        };
        let engine_config = engine::Config {
            session,
            receive_buffer: config.receive_buffer,
            datagram: config.datagram,
            told,
            limits: config.limits,
        };
        let mut engine = make_engine(engine_config, entropy)?;
        for (place, address) in config.peers.iter().enumerate() {
            if let Some(peer) = PeerSlot::new(place) {
                engine.add_peer(peer, initiation, last_initiation(&store, *address)?);
            }
        }
        let private_downloads = is_private(&disk)?;
        let committed = store.sequence();
        let recheck = Recheck::load(&store, run, now.mono)?;
        let mut peer = Self {
            config,
            disk,
            store,
            engine,
            watch,
            served: super::Served::default(),
            private_downloads,
            assembly: super::Assembly::default(),
            decoder: super::Decoder::default(),
            uses: super::Uses::default(),
            transfers: Vec::new(),
            bundles: super::Bundles::default(),
            zips: super::Zips::default(),
            fetching: super::Fetching::default(),
            distrusted: std::collections::BTreeSet::new(),
            landing: super::Landing::default(),
            open_files: super::OpenFiles::default(),
            plan: super::Plan::default(),
            dirty: super::Dirty::default(),
            came: super::Came::default(),
            burying: None,
            guard: super::Guard::default(),
            hashings: Hashings::default(),
            drafts: Drafts::default(),
            scans: super::Scans::default(),
            leftovers: std::collections::BTreeSet::new(),
            changes: super::Changes::default(),
            recheck,
            unflushed,
            committed,
            errors: super::Errors::default(),
            skipped: super::Skipped::default(),
            report: super::Report::default(),
            bridge: super::Bridge::default(),
            store_failures: 0,
            store_retry: now.mono,
            housekeeping_at: now.mono + HOUSEKEEPING,
            forget_below: (0, now.mono),
            agreed: 0,
            told,
            renewal: None,
            renewed: false,
            spare_id,
            now,
        };
        peer.agreed = peer.store.agreed()?;
        // Before anybody can tell how far our journal was read.
        peer.tell_own(now);
        peer.plan.restart();
        Ok(Started { peer, new_index })
    }
}

/// The engine comes into being on a stack, and has most of a megabyte, which a stack keeps: so on one that goes back to the system.
fn make_engine(config: engine::Config, entropy: Entropy) -> io::Result<Box<Engine<FastKey>>> {
    let mut parts = Some((config, entropy));
    let mut make = || {
        let (config, entropy) = parts.take()?;
        Some(Box::new(Engine::new(config, entropy)))
    };
    let made = std::thread::scope(|scope| {
        let stack = std::thread::Builder::new().stack_size(ENGINE_STACK);
        stack.spawn_scoped(scope, &mut make).ok()?.join().ok()?
    });
    // Where there can be no thread, on this one.
    made.or_else(make)
        .ok_or_else(|| io::Error::other("the engine cannot be made"))
}

/// Opens the index; a damaged one is set aside and begun anew under a new id.
fn open_store<D: Disk>(disk: &D, fresh: IndexId) -> Result<(Store, bool), StartError> {
    let at = At {
        place: Place::State,
        path: INDEX,
    };
    match Store::open(disk.create(at)?, fresh) {
        Ok((store, opened)) => Ok((store, opened == Opened::Created)),
        Err(StoreError::Damaged(why)) => {
            log::warn!("the index is damaged ({why}): it is made anew from share/");
            disk.remove_file(at)?;
            let (store, _) = Store::open(disk.create(at)?, fresh)?;
            Ok((store, true))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody else gets at what is in `download/`. One that an ACL lets in counts in the bits of the group.
fn is_private<D: Disk>(disk: &D) -> io::Result<bool> {
    Ok(disk.stat(in_download(b""))?.mode & SEARCH_BY_OTHERS == 0)
}

/// An unmounted `share/` must not look like a mass deletion.
fn guard_share<D: Disk>(disk: &D, store: &mut Store) -> Result<(), StartError> {
    let root = At {
        place: Place::Share,
        path: b"",
    };
    let Birth(birth) = disk.birth(root)?;
    let same = !disk.made_share() && store.meta(SHARE)?.as_deref() == Some(birth.as_slice());
    if !same && store.totals().files > 0 && disk.list(root)?.is_empty() {
        return Err(StartError::ShareVanished);
    }
    if !same {
        store.set_meta(SHARE, &birth)?;
    }
    Ok(())
}

/// An index file that is a copy, or was put back, must not count on under the id of the other one
/// (docs/architecture.md, section 2).
fn guard_index<D: Disk>(disk: &D, store: &mut Store, fresh: IndexId) -> Result<(), StartError> {
    let at = At {
        place: Place::State,
        path: INDEX,
    };
    let Birth(birth) = disk.birth(at)?;
    match store.meta(HOME)? {
        Some(known) if known == birth => return Ok(()),
        Some(_) => {
            log::warn!("the index was copied or put back: it goes on under a new id");
            let agreed = store.agreed()?;
            store.set_meta(HOME, &birth)?;
            store.renew(fresh, agreed)?;
        }
        None => store.set_meta(HOME, &birth)?,
    }
    Ok(())
}

/// The greatest initiation that was ever accepted from this address, so that a replay of it gets no
/// answer after a restart.
fn last_initiation(store: &Store, address: SocketAddr) -> Result<Option<Seen>, StoreError> {
    let bytes: Option<[u8; 16]> = store
        .meta(&initiation_name(address))?
        .and_then(|bytes| bytes.try_into().ok());
    Ok(bytes
        .map(u128::from_be_bytes)
        .map(|both| (IndexId((both >> 64) as u64), both as u64)))
}

/// Keeps what [`last_initiation`] gives back.
pub(super) fn keep_initiation(
    store: &mut Store,
    address: SocketAddr,
    (index, counter): Seen,
) -> Result<(), StoreError> {
    let both = (u128::from(index.0) << 64) | u128::from(counter);
    store.set_meta(&initiation_name(address), &both.to_be_bytes())
}

fn initiation_name(address: SocketAddr) -> String {
    format!("initiation of {address}")
}

/// Our initiations carry a counter that only grows, also over restarts and if the clock is wrong.
fn next_initiation(store: &mut Store, now: Now) -> Result<u64, StoreError> {
    let before = store
        .meta(INITIATION)?
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes);
    let clock = u64::try_from(now.wall.sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000);
    let next = clock.max(before.saturating_add(START_STEP));
    store.set_meta(INITIATION, &next.to_be_bytes())?;
    Ok(next)
}
