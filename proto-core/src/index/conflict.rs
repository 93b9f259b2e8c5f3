//! Names of conflict copies: `stem.conflict-YYYYMMDD-HHMMSS-pppp.ext`. They follow from the loser's
//! entry alone, so every peer that holds the loser computes the same one.

use super::entry::Entry;
use crate::limits::MAX_NAME;
use core::fmt::Write as _;
use heapless::{String, Vec};

/// Longest extension that is kept behind the tag, in bytes with its dot; a longer one counts as part
/// of the stem, so that there is always room for some stem.
const MAX_EXTENSION: usize = 64;

/// Longest tag in bytes: `.conflict-`, date, time, peer and an attempt of ten digits.
const MAX_TAG: usize = 41;

/// What begins a tag.
const MARK: &[u8] = b".conflict-";

/// Parts of a tag behind its mark, up to the attempt: `d` a digit, `h` a lower hexadecimal digit.
const SHAPE: &[u8] = b"dddddddd-dddddd-hhhh";

/// 0000-01-01 00:00:00 and 9999-12-31 23:59:59 UTC in seconds since 1970. Times outside are taken as
/// the nearer of the two, so that the name keeps its form.
const YEARS_0_TO_9999: (i64, i64) = (-62_167_219_200, 253_402_300_799);

/// Writes to `out` the name under which `loser`, so far called `name` (one component of a path), is
/// kept beside the winner.
///
/// Date and time are the loser's mtime in UTC, `pppp` the last four hexadecimal digits of its
/// `modified_by`. Where that name is taken by another content, the caller goes on with attempts 1, 2, …
/// which append `-N` to `pppp`. A stem that would make the name longer than [`MAX_NAME`] is cut. A copy
/// of a conflict copy gets a new tag instead of a second one.
pub fn conflict_name(name: &[u8], loser: &Entry, attempt: u32, out: &mut Vec<u8, MAX_NAME>) {
    let (stem, extension) = match untagged(name) {
        Some(parts) => parts,
        None => split_extension(name),
    };
    let tag = tag(loser, attempt);
    let room = MAX_NAME - tag.len().min(MAX_TAG) - extension.len().min(MAX_EXTENSION);
    out.clear();
    for part in [cut(stem, room), tag.as_bytes(), extension] {
        // There is room: the stem has been cut for it.
        let _ = out.extend_from_slice(part);
    }
}

/// Whether [`conflict_name`] may have made this name.
#[must_use]
pub fn is_conflict_name(name: &[u8]) -> bool {
    untagged(name).is_some()
}

/// Stem and extension of a conflict name without its tag; `None` if it has none.
fn untagged(name: &[u8]) -> Option<(&[u8], &[u8])> {
    // A name without extension ends with its tag, whose dot must not be taken for an extension's.
    let (stem, extension) = match strip_tag(name) {
        Some(stem) => (stem, name.get(name.len()..)?),
        None => {
            let (stem, extension) = split_extension(name);
            (strip_tag(stem)?, extension)
        }
    };
    Some((stem, extension))
}

/// What stands before the tag at the end of `stem`; `None` if there is no tag or nothing before it.
fn strip_tag(stem: &[u8]) -> Option<&[u8]> {
    let at = stem
        .windows(MARK.len())
        .rposition(|window| window == MARK)?;
    let (before, tag) = stem.split_at_checked(at)?;
    let (parts, attempt) = tag.get(MARK.len()..)?.split_at_checked(SHAPE.len())?;
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        exact => byte == exact,
    };
    let attempt_fits = match attempt {
        [] => true,
        [b'-', digits @ ..] => {
            (1..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    (!before.is_empty() && parts.iter().zip(SHAPE).all(fits) && attempt_fits).then_some(before)
}

/// Splits a name before its last dot, unless it begins with that dot or what follows is too long to be
/// an extension.
fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|&byte| byte == b'.');
    match dot {
        Some(at) if at > 0 && name.len() - at <= MAX_EXTENSION => name.split_at(at),
        _ => (name, &[]),
    }
}

/// The first `room` bytes of `stem`, fewer if a character of UTF-8 would be cut in two.
fn cut(stem: &[u8], room: usize) -> &[u8] {
    if stem.len() <= room {
        return stem;
    }
    let divided = |start: &usize| {
        let starts_here = |len: usize| {
            let character = stem
                .get(*start..*start + len)
                .and_then(|bytes| core::str::from_utf8(bytes).ok());
            character.is_some_and(|text| text.chars().count() == 1)
        };
        // A character that starts here and goes on behind the cut.
        (room - *start + 1..=4).any(starts_here)
    };
    let end = (room.saturating_sub(3)..room).find(divided).unwrap_or(room);
    stem.get(..end).unwrap_or(stem)
}

fn tag(loser: &Entry, attempt: u32) -> String<MAX_TAG> {
    let peer = loser.modified_by.0 & 0xffff;
    let mut tag = String::new();
    // MAX_TAG is just what these need.
    let _ = write!(
        tag,
        ".conflict-{}-{peer:04x}",
        timestamp_text(loser.mtime.sec)
    );
    if attempt > 0 {
        let _ = write!(tag, "-{attempt}");
    }
    tag
}

/// `YYYYMMDD-HHMMSS` in UTC for seconds since 1970-01-01, clamped to the years 0 to 9999.
#[must_use]
pub fn timestamp_text(seconds: i64) -> String<15> {
    let (first, last) = YEARS_0_TO_9999;
    let seconds = seconds.clamp(first, last);
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = String::new();
    // Just these 15 characters.
    let _ = write!(
        text,
        "{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}"
    );
    text
}

/// Year, month and day of the proleptic Gregorian calendar for a count of days since 1970-01-01.
///
/// Years are counted from March, so that the leap day ends one, and in eras of 400 years (146,097 days)
/// that all have the same form.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: i64 = 719_468;
    let era = (days + EPOCH).div_euclid(146_097);
    let day_of_era = (days + EPOCH).rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months of 31 and 30 days alternate so that 153 days make five of them.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::civil_from_days;

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (-719_528, (0, 1, 1)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(civil_from_days(days), date);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = (0, 1, 1);
        for days in -719_528..=2_932_896 {
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (month, day == last) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }
}
