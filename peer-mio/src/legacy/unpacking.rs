//! An archive of an ancestor's that has come: its members become files, one after the other.

use super::job::{Job, SLICE};
use super::landing::{FILE, Landing};
use super::unpack::{UnpackJob, open, time_of};
use super::{Legacy, ROOM};
use crate::disk::{Disk, DiskFile};
use crate::jobs::archive::Member;
use crate::peer::Peer;
use proto_core::path::Escaped;
use proto_core::time::Instant;
use std::io;

/// Its name in `download/`.
pub const ARCHIVE: &[u8] = b"legacy-batch";

/// An archive that is being unpacked.
pub struct Unpacking<F> {
    place: usize,
    /// Of the batch.
    pub number: u32,
    /// When it was told.
    told_at: Instant,
    archive: Option<F>,
    waiting: std::vec::IntoIter<Member>,
    /// The member that is being unpacked, and the time that its file had before.
    current: Option<(UnpackJob<F>, u64)>,
    /// Whether any member counted, and the zone of one that did not because of that alone.
    zones: (bool, Option<i64>),
}

impl<F: DiskFile> Unpacking<F> {
    /// Begins with what came from the ancestor at `place`.
    ///
    /// # Errors
    /// As of [`open`].
    pub fn new(place: usize, (number, told_at): (u32, Instant), file: F) -> io::Result<Self> {
        let archive = open(file)?;
        Ok(Self {
            place,
            number,
            told_at,
            archive: Some(archive.file),
            waiting: archive.members.into_iter(),
            current: None,
            zones: (false, None),
        })
    }
}

/// A time in an archive is in an ancestor's time zone and in steps of two seconds. In which zone, in quarters of an hour, it is that of a
/// file; `None` if in none.
fn zone_of(member: i64, mtime: u64) -> Option<i64> {
    let mtime = f64::from_bits(mtime).floor();
    if mtime.abs() > 1e15 {
        return None;
    }
    let apart = mtime as i64 - member;
    let zone = apart.div_euclid(900);
    (zone.abs() <= 14 * 4 && matches!(apart.rem_euclid(900), 0 | 1)).then_some(zone)
}

/// Whether an ancestor can have both zones: the same, or with summer time.
fn is_same_zone(known: Option<i64>, zone: i64) -> bool {
    known.is_none_or(|known| matches!((known - zone).abs(), 0 | 4))
}

impl<D: Disk> Legacy<D> {
    /// A slice of unpacking. True if there is more to do at once.
    pub(super) fn step_unpack(
        &mut self,
        now: Instant,
        peer: &Peer<D>,
        mut unpacking: Box<Unpacking<D::File>>,
    ) -> bool {
        let Some((mut current, mtime)) = unpacking.current.take() else {
            return self.next_member(peer, unpacking);
        };
        match current.step(SLICE) {
            Ok(false) => {
                unpacking.current = Some((current, mtime));
                self.job = Job::Unpack(unpacking);
            }
            Ok(true) => {
                if let Err(error) = self.unpacked(now, current, mtime, unpacking) {
                    log::warn!("nothing can be unpacked: {error}");
                }
            }
            Err(error) => {
                if let Some(ancestor) = self.ancestors.get_mut(unpacking.place) {
                    ancestor.rejected += 1;
                    let (ip, number) = (ancestor.ip, unpacking.number);
                    log::warn!("{ip}: zip{number}.zip is refused: {error}");
                }
            }
        }
        true
    }

    fn unpacked(
        &mut self,
        now: Instant,
        current: UnpackJob<D::File>,
        mtime: u64,
        mut unpacking: Box<Unpacking<D::File>>,
    ) -> io::Result<()> {
        let (archive, member, file) = current.finish()?;
        unpacking.archive = Some(archive);
        let (place, path) = (unpacking.place, member.name);
        let mut landing = Landing::new(now, place, path, mtime, file, member.size);
        landing.rest = Some(unpacking);
        self.job = Job::Land(Box::new(landing));
        Ok(())
    }

    fn next_member(&mut self, peer: &Peer<D>, mut unpacking: Box<Unpacking<D::File>>) -> bool {
        let Some(ancestor) = self.ancestors.get_mut(unpacking.place) else {
            return false;
        };
        // An archive of an earlier life of the ancestor may have the same name: what counts is the file that its
        // dict tells of.
        let (counted, other) = &mut unpacking.zones;
        let wanted = unpacking.waiting.find_map(|member| {
            let seen = ancestor.seen.get(&member.name)?;
            let zone = zone_of(time_of(&member), seen.mtime)?;
            let may_count = seen.here
                && !seen.is_resolved()
                && ancestor.may_have_packed(unpacking.told_at, seen);
            if !may_count {
                return None;
            }
            if !is_same_zone(ancestor.zone, zone) {
                *other = Some(zone);
                return None;
            }
            *counted = true;
            ancestor.zone.get_or_insert(zone);
            Some((member, seen.mtime))
        });
        let Some(((member, mtime), archive)) = wanted.zip(unpacking.archive.take()) else {
            ancestor.note_zones(unpacking.zones);
            return false;
        };
        let free = peer.disk().space().map_or(u64::MAX, |space| space.free);
        if free < member.size.saturating_add(ROOM) {
            let path = Escaped(&member.name);
            log::warn!("{path} is not unpacked: the disk is nearly full");
            return false;
        }
        match UnpackJob::begin(peer.disk(), archive, member, FILE) {
            Ok(job) => {
                unpacking.current = Some((job, mtime));
                self.job = Job::Unpack(unpacking);
                true
            }
            Err(error) => {
                log::warn!("nothing can be unpacked: {error}");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::ancestor::Ancestor;
    use std::net::Ipv4Addr;

    #[test]
    fn a_zone_is_another_once_two_archives_in_a_row_say_so() {
        let mut ancestor = Ancestor::new(Instant::ZERO, Ipv4Addr::LOCALHOST);
        ancestor.zone = Some(4);
        for (counted, other, zone) in [
            (false, Some(20), 4),
            (false, Some(21), 4),
            (true, Some(21), 4),
            (false, Some(21), 4),
            (false, None, 4),
            (false, Some(21), 21),
            (false, Some(4), 21),
        ] {
            ancestor.note_zones((counted, other));
            assert_eq!(ancestor.zone, Some(zone), "{counted} {other:?}");
        }
    }

    #[test]
    fn times_of_archives_are_compared_across_zones() {
        let mtime = 1_795_401_269.823_f64.to_bits();
        for (member, zone) in [
            (1_795_401_268, Some(0)),
            (1_795_401_268 + 7200, Some(-8)),
            (1_795_401_268 - 12_600, Some(14)),
            (1_795_401_270, None),
            (1_795_401_266, None),
            (1_795_401_268 + 86_400, None),
        ] {
            assert_eq!(zone_of(member, mtime), zone, "{member}");
        }
        for strange in [f64::INFINITY, 1e300] {
            assert_eq!(zone_of(0, strange.to_bits()), None);
        }
        for (known, zone, same) in [
            (None, 7, true),
            (Some(4), 8, true),
            (Some(4), 0, true),
            (Some(4), 5, false),
        ] {
            assert_eq!(is_same_zone(known, zone), same, "{known:?} {zone}");
        }
    }
}
