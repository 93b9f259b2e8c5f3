//! What is served is not waited for where the disk has to be: it is read ahead, and looked for again
//! (docs/architecture.md, "The loop").

use crate::disk::DiskFile;
use crate::jobs::fill;
use proto_core::boundary::Read;
use proto_core::time::{Duration, Instant};
use proto_core::wire::ObjectId;
use std::io;

/// Pieces that are waited for at once; more are looked for whenever they are asked for.
const PIECES: usize = 64;
/// Bytes that the disk reads ahead at once.
const AHEAD: usize = 2 * 1024 * 1024;
/// Between two looks for a piece.
const PAUSE: Duration = Duration::from_millis(1);
/// Looks after which it is read ahead again: it may have left the memory before it was read, ...
const ASK_AGAIN: u32 = 32;
/// ... and after which, if nothing else came meanwhile, the disk is waited for: reading ahead does not work here.
const MOST_LOOKS: u32 = 1000;
/// So long it is waited for then.
const IMPATIENCE: Duration = Duration::from_secs(60);
/// Looks after which it is waited for with a piece alone, whatever else came: what cannot be read never comes.
const MOST_LOOKS_ALONE: u32 = 5 * MOST_LOOKS;
/// A piece for which nobody has asked for so long is wanted no more.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// The piece of an object that begins at `start`.
#[derive(Clone, Copy, Debug)]
pub struct PieceAt {
    /// What it is of.
    pub object: ObjectId,
    /// Where it begins in it, and in the file that holds it.
    pub start: u64,
    /// Bytes.
    pub length: usize,
}

/// A piece that was not in memory when it was looked for.
#[derive(Debug)]
struct Awaited {
    piece: PieceAt,
    /// Whether the disk reads it ahead.
    asked: bool,
    /// Since it is read ahead, and nothing else came.
    looks: u32,
    /// Those before another piece came, too.
    all_looks: u32,
    looked_at: Instant,
}

/// The pieces that are awaited.
#[derive(Debug)]
pub struct ReadAhead {
    now: Instant,
    awaited: Vec<Awaited>,
    /// Until then the disk is waited for.
    impatient_until: Instant,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self {
            now: Instant::ZERO,
            awaited: Vec::with_capacity(PIECES),
            impatient_until: Instant::ZERO,
        }
    }
}

impl Awaited {
    fn is(&self, piece: PieceAt) -> bool {
        (self.piece.object, self.piece.start) == (piece.object, piece.start)
    }
}

impl ReadAhead {
    /// A turn of the loop begins.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.awaited
            .retain(|awaited| now.saturating_since(awaited.looked_at) < FORGOTTEN);
    }

    /// When a piece is to be looked for again.
    pub fn next_due(&self) -> Option<Instant> {
        (!self.awaited.is_empty()).then(|| self.now + PAUSE)
    }

    /// Whether a piece was looked for just now, and was not there.
    pub fn holds_back(&self, piece: PieceAt) -> bool {
        self.awaited.iter().any(|awaited| {
            awaited.is(piece) && self.now.saturating_since(awaited.looked_at) < PAUSE
        })
    }

    /// Reads a piece from the file that holds it into `bytes`: all of it, or it is [`Read::Gone`].
    pub fn read_whole<F: DiskFile>(
        &mut self,
        piece: PieceAt,
        file: &F,
        bytes: &mut Vec<u8>,
    ) -> Read {
        bytes.resize(piece.length, 0);
        match self.read(piece, file, bytes) {
            Ok(read) if read == piece.length => Read::Ready(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::NotYet,
            _ => Read::Gone,
        }
    }

    /// How many bytes of it there are; `WouldBlock` if they are not in memory yet.
    fn read<F: DiskFile>(
        &mut self,
        piece: PieceAt,
        file: &F,
        bytes: &mut [u8],
    ) -> io::Result<usize> {
        let mut awaited = self.awaited.iter();
        let place = awaited.position(|awaited| awaited.is(piece));
        if self.now < self.impatient_until {
            self.ends(place);
            return fill(file, piece.start, bytes);
        }
        // Where other pieces are awaited the kernel is not to read all of this one ahead by itself.
        match read_in_memory(file, piece, bytes, !self.awaited.is_empty()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match place {
                Some(place) => self.look_again(place, piece, file, bytes).ok_or(error)?,
                None => {
                    self.begin(piece, file);
                    Err(error)
                }
            },
            read => {
                self.ends(place);
                read
            }
        }
    }

    fn begin<F: DiskFile>(&mut self, piece: PieceAt, file: &F) {
        if self.awaited.len() < PIECES {
            self.awaited.push(Awaited {
                piece,
                asked: false,
                looks: 0,
                all_looks: 0,
                looked_at: self.now,
            });
            self.ask(self.awaited.len() - 1, file);
        }
    }

    /// It is still not there. What was read if that has been so for too long.
    fn look_again<F: DiskFile>(
        &mut self,
        place: usize,
        piece: PieceAt,
        file: &F,
        bytes: &mut [u8],
    ) -> Option<io::Result<usize>> {
        let awaited = self.awaited.get_mut(place)?;
        awaited.looked_at = self.now;
        if awaited.piece.length < piece.length {
            // Somebody had asked for its beginning alone, which is all that is read ahead.
            awaited.piece.length = piece.length;
            awaited.asked = false;
        }
        // What others leave no room for says nothing of the disk.
        awaited.looks += u32::from(awaited.asked);
        awaited.all_looks += u32::from(awaited.asked);
        if awaited.all_looks >= MOST_LOOKS_ALONE {
            self.ends(Some(place));
            return Some(fill(file, piece.start, bytes));
        }
        if awaited.looks >= MOST_LOOKS {
            self.impatient_until = self.now + IMPATIENCE;
            self.awaited.clear();
            return Some(fill(file, piece.start, bytes));
        }
        if awaited.looks.is_multiple_of(ASK_AGAIN) {
            awaited.asked = false;
        }
        self.ask(place, file);
        None
    }

    /// Has the disk read a piece ahead, if it has not too much to do.
    fn ask<F: DiskFile>(&mut self, place: usize, file: &F) {
        let asked = self.awaited.iter().filter(|awaited| awaited.asked);
        let under_way: usize = asked.map(|awaited| awaited.piece.length).sum();
        let Some(awaited) = self.awaited.get_mut(place) else {
            return;
        };
        let PieceAt { start, length, .. } = awaited.piece;
        if !awaited.asked && under_way + length <= AHEAD {
            awaited.asked = true;
            file.will_need(start, length as u64);
        }
    }

    /// A piece has come, or cannot be read. The disk works, so the others get time anew.
    fn ends(&mut self, place: Option<usize>) {
        if let Some(place) = place {
            self.awaited.swap_remove(place);
            for awaited in &mut self.awaited {
                awaited.looks = 0;
            }
        }
    }
}

/// [`fill`] of what is in memory. Of what may be `missing` the last byte is looked at first: it comes last.
fn read_in_memory<F: DiskFile>(
    file: &F,
    piece: PieceAt,
    bytes: &mut [u8],
    missing: bool,
) -> io::Result<usize> {
    if missing && let Some(last) = piece.length.checked_sub(1) {
        file.read_cached(piece.start.saturating_add(last as u64), &mut [0])?;
    }
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_cached(piece.start.saturating_add(filled as u64), rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::memory_file::{MemoryFile, random};
    use proto_core::content::ContentId;

    const LEN: usize = 1024 * 1024;

    fn piece(number: u64) -> PieceAt {
        PieceAt {
            object: ObjectId::Content(ContentId([7; 32])),
            start: number * LEN as u64,
            length: LEN,
        }
    }

    /// A file of three pieces of which nothing is in memory.
    fn cold() -> MemoryFile {
        let file = MemoryFile::new(&random(1, 3 * LEN));
        file.never_cache();
        file
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000 + millis * 1000)
    }

    #[test]
    fn no_more_is_read_ahead_than_the_memory_may_hold_and_not_at_each_look() {
        let (mut ahead, file, mut bytes) = (ReadAhead::default(), cold(), Vec::new());
        ahead.begin_turn(at(0));
        for number in 0..3 {
            let read = ahead.read_whole(piece(number), &file, &mut bytes);
            assert_eq!(read, Read::NotYet);
        }
        let len = LEN as u64;
        assert_eq!(file.read_ahead(), [(0, len), (len, len)]);
        assert!((0..3).all(|number| ahead.holds_back(piece(number))));
        assert_eq!(ahead.next_due(), Some(at(1)));
        ahead.begin_turn(at(1));
        assert!(!ahead.holds_back(piece(0)));
        assert_eq!(ahead.read_whole(piece(0), &file, &mut bytes), Read::NotYet);
        assert_eq!(file.read_ahead().len(), 2);
        assert_eq!(file.reads(), []);
    }

    #[test]
    fn a_piece_is_read_ahead_whole_though_another_one_asked_for_its_beginning_alone() {
        let (mut ahead, file, mut bytes) = (ReadAhead::default(), cold(), Vec::new());
        let beginning = PieceAt {
            length: 1,
            ..piece(1)
        };
        ahead.begin_turn(at(0));
        ahead.read_whole(beginning, &file, &mut bytes);
        for millis in 1..5 {
            ahead.begin_turn(at(millis));
            ahead.read_whole(piece(1), &file, &mut bytes);
            ahead.begin_turn(at(millis));
            ahead.read_whole(beginning, &file, &mut bytes);
        }
        let len = LEN as u64;
        assert_eq!(file.read_ahead(), [(len, 1), (len, len)]);
    }

    #[test]
    fn what_there_was_no_room_for_is_no_reason_to_wait_for_the_disk() {
        let (mut ahead, file, mut bytes) = (ReadAhead::default(), cold(), Vec::new());
        ahead.begin_turn(at(0));
        // Who asked for the first two has gone.
        for number in 0..3 {
            ahead.read_whole(piece(number), &file, &mut bytes);
        }
        for millis in 1..1900 {
            ahead.begin_turn(at(millis));
            let read = ahead.read_whole(piece(2), &file, &mut bytes);
            assert_eq!(read, Read::NotYet);
        }
        assert!(file.read_ahead().contains(&(2 * LEN as u64, LEN as u64)));
    }

    #[test]
    fn what_cannot_be_read_is_found_out_though_other_pieces_come() {
        let (mut ahead, bad, mut bytes) = (ReadAhead::default(), cold(), Vec::new());
        bad.fail_reads_from(0);
        let good = MemoryFile::new(&random(1, 3 * LEN));
        let looks = (0..10_000).take_while(|look| {
            ahead.begin_turn(at(*look));
            if look % 500 < 2 {
                // Not there the first time.
                if look % 500 == 0 {
                    let cold = cold();
                    ahead.read_whole(piece(1), &cold, &mut bytes);
                } else {
                    let read = ahead.read_whole(piece(1), &good, &mut bytes);
                    assert_eq!(read, Read::Ready(LEN));
                }
            }
            ahead.read_whole(piece(0), &bad, &mut bytes) == Read::NotYet
        });
        assert_eq!(looks.count(), 5000);
        // That says nothing of other pieces.
        let read = ahead.read_whole(piece(2), &cold(), &mut bytes);
        assert_eq!(read, Read::NotYet);
    }

    #[test]
    fn what_nobody_asks_for_any_more_wakes_nobody() {
        let (mut ahead, file) = (ReadAhead::default(), cold());
        ahead.begin_turn(at(0));
        ahead.read_whole(piece(0), &file, &mut Vec::new());
        ahead.begin_turn(at(999));
        assert_eq!(ahead.next_due(), Some(at(1000)));
        ahead.begin_turn(at(1000));
        assert_eq!(ahead.next_due(), None);
    }

    #[test]
    fn the_disk_is_waited_for_after_a_thousand_looks_in_vain_and_for_a_minute() {
        let (mut ahead, file, mut bytes) = (ReadAhead::default(), cold(), Vec::new());
        let looks = (0..3000).take_while(|look| {
            ahead.begin_turn(at(*look));
            ahead.read_whole(piece(0), &file, &mut bytes) == Read::NotYet
        });
        assert_eq!(looks.count(), 1000);
        assert_eq!(bytes, file.bytes()[..LEN]);
        // Asked again, and again.
        assert_eq!(file.read_ahead().len(), 1 + 1000 / 32);
        let read = ahead.read_whole(piece(1), &file, &mut bytes);
        assert_eq!(read, Read::Ready(LEN));
        ahead.begin_turn(at(61_100));
        let read = ahead.read_whole(piece(2), &file, &mut bytes);
        assert_eq!(read, Read::NotYet);
    }
}
