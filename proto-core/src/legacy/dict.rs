//! The text of a Python dict in an information reply: read by a strict parser that knows nothing but
//! strings and numbers, and written so that it can be nothing else (docs/legacy.md, "The dict").

use super::{MAX_INFORMATION_REPLY, MAX_LEGACY_NAME};
use crate::index::entry::Timestamp;
use crate::path;
use crate::wire::cursor::Writer;
use core::fmt::Write as _;
use heapless::String;

/// Entries that are read of one dict: more than an information reply can hold.
pub const MAX_DICT_ENTRIES: usize = 2048;

/// What stands before each path.
pub const SHARE_PREFIX: &str = "./share/";

/// Longest number that Python writes for a float, in bytes, and some more.
const MAX_NUMBER: usize = 32;

/// Why text is no dict of paths and times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DictError {
    /// It ends too early.
    Short,
    /// This stands where something else must.
    Unexpected,
    /// An escape that Python does not write, or a character that it would have escaped.
    Escape,
    /// A name that is no path below `share/`.
    Path,
    /// A value that is no number.
    Number,
    /// More than [`MAX_DICT_ENTRIES`].
    TooMany,
}

/// Takes an entry: path below `share/` and the bits of the time as a float (never NaN).
pub type DictVisitor<'a> = dyn FnMut(&[u8], u64) + 'a;

/// Reads a dict; `visit` sees each entry. What it saw counts only if all of the text is good. The number of
/// entries.
///
/// # Errors
/// What is wrong with the first thing that is wrong.
pub fn parse_dict(text: &str, visit: &mut DictVisitor<'_>) -> Result<usize, DictError> {
    let mut scanner = Scanner {
        rest: text.as_bytes(),
    };
    let mut entries = 0;
    scanner.literal(b"{")?;
    if !scanner.take(b"}") {
        loop {
            let mut key = Key::default();
            scanner.key(&mut key)?;
            scanner.literal(b": ")?;
            let time = scanner.number()?;
            let path = key
                .bytes
                .strip_prefix(SHARE_PREFIX.as_bytes())
                .filter(|path| path::check(path).is_ok())
                .ok_or(DictError::Path)?;
            if entries == MAX_DICT_ENTRIES {
                return Err(DictError::TooMany);
            }
            entries += 1;
            visit(path, time.to_bits());
            if scanner.take(b"}") {
                break;
            }
            scanner.literal(b", ")?;
        }
    }
    if scanner.rest.is_empty() {
        Ok(entries)
    } else {
        Err(DictError::Unexpected)
    }
}

/// A key with its escapes resolved.
#[derive(Default)]
struct Key {
    bytes: heapless::Vec<u8, MAX_LEGACY_NAME>,
}

impl Key {
    fn push(&mut self, bytes: &[u8]) -> Result<(), DictError> {
        self.bytes
            .extend_from_slice(bytes)
            .map_err(|_| DictError::Path)
    }

    fn push_char(&mut self, character: char) -> Result<(), DictError> {
        self.push(character.encode_utf8(&mut [0; 4]).as_bytes())
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn take(&mut self, what: &[u8]) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn literal(&mut self, what: &[u8]) -> Result<(), DictError> {
        match self.take(what) {
            true => Ok(()),
            false if self.rest.len() < what.len() => Err(DictError::Short),
            false => Err(DictError::Unexpected),
        }
    }

    fn byte(&mut self) -> Result<u8, DictError> {
        let (byte, rest) = self.rest.split_first().ok_or(DictError::Short)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn key(&mut self, key: &mut Key) -> Result<(), DictError> {
        let quote = self.byte()?;
        if !matches!(quote, b'\'' | b'"') {
            return Err(DictError::Unexpected);
        }
        loop {
            match self.byte()? {
                byte if byte == quote => return Ok(()),
                b'\\' => self.escape(key)?,
                // Python escapes every one of them.
                0..=0x1f | 0x7f => return Err(DictError::Escape),
                byte => key.push(&[byte])?,
            }
        }
    }

    fn escape(&mut self, key: &mut Key) -> Result<(), DictError> {
        let digits = match self.byte()? {
            b'\\' => return key.push(b"\\"),
            b'\'' => return key.push(b"'"),
            b'"' => return key.push(b"\""),
            b't' => return key.push(b"\t"),
            b'n' => return key.push(b"\n"),
            b'r' => return key.push(b"\r"),
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => return Err(DictError::Escape),
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = char::from(self.byte()?)
                .to_digit(16)
                .ok_or(DictError::Escape)?;
            code = (code << 4) | digit;
        }
        match code {
            0 => Err(DictError::Escape),
            // A byte of a name that is not UTF-8 (PEP 383).
            0xdc80..=0xdcff => key.push(&[u8::try_from(code & 0xff).unwrap_or(0)]),
            code => key.push_char(char::from_u32(code).ok_or(DictError::Escape)?),
        }
    }

    fn number(&mut self) -> Result<f64, DictError> {
        let end = self
            .rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'))
            .ok_or(DictError::Short)?;
        let (digits, rest) = self.rest.split_at_checked(end).ok_or(DictError::Short)?;
        if !(1..=MAX_NUMBER).contains(&digits.len()) || digits.first() == Some(&b'+') {
            return Err(DictError::Number);
        }
        self.rest = rest;
        core::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<f64>().ok())
            .filter(|number| number.is_finite())
            .ok_or(DictError::Number)
    }
}

/// Writes an information reply with as many entries as an ancestor can read.
#[derive(Debug)]
pub struct ReplyWriter<'a> {
    writer: Writer<'a>,
    entries: usize,
}

impl<'a> ReplyWriter<'a> {
    /// Begins a reply. `out` needs room for [`MAX_INFORMATION_REPLY`]; of more nothing is used.
    #[must_use]
    pub fn new(out: &'a mut [u8], count: u32, add_times: u32) -> Option<Self> {
        let room = out.len().min(MAX_INFORMATION_REPLY);
        let mut writer = Writer::new(out.get_mut(..room)?);
        writer.put(&count.to_be_bytes()).ok()?;
        writer.put(&add_times.to_be_bytes()).ok()?;
        writer.put(b"{").ok()?;
        Some(Self { writer, entries: 0 })
    }

    /// Adds a file. `false`, and nothing is written, if it does not fit.
    pub fn push(&mut self, path: &str, mtime: Timestamp) -> bool {
        // The closing brace must fit too.
        let room = self.writer.room().saturating_sub(1);
        if escaped_len(path) + MAX_NUMBER + SHARE_PREFIX.len() + 6 > room {
            return false;
        }
        let fits = self.put_entry(path, mtime).is_ok();
        self.entries += usize::from(fits);
        fits
    }

    fn put_entry(&mut self, path: &str, mtime: Timestamp) -> Result<(), crate::wire::WireError> {
        if self.entries > 0 {
            self.writer.put(b", ")?;
        }
        self.writer.put(b"'")?;
        self.writer.put(SHARE_PREFIX.as_bytes())?;
        for character in path.chars() {
            match character {
                '\\' => self.writer.put(b"\\\\")?,
                '\'' => self.writer.put(b"\\'")?,
                control if control.is_control() => {
                    let mut escape = String::<6>::new();
                    let _ = write!(escape, "\\u{:04x}", u32::from(control));
                    self.writer.put(escape.as_bytes())?;
                }
                plain => self.writer.put(plain.encode_utf8(&mut [0; 4]).as_bytes())?,
            }
        }
        self.writer.put(b"': ")?;
        // Python's own floats have no more digits than these.
        let nanos = i128::from(mtime.sec) * 1_000_000_000 + i128::from(mtime.nsec.min(999_999_999));
        let sign = if nanos < 0 { "-" } else { "" };
        let (sec, nsec) = (
            nanos.unsigned_abs() / 1_000_000_000,
            nanos.unsigned_abs() % 1_000_000_000,
        );
        let mut number = String::<MAX_NUMBER>::new();
        let _ = write!(number, "{sign}{sec}.{nsec:09}");
        self.writer.put(number.as_bytes())
    }

    /// Bytes of the reply, which is whole now.
    pub fn finish(mut self) -> usize {
        let _ = self.writer.put(b"}");
        self.writer.len()
    }
}

fn escaped_len(path: &str) -> usize {
    path.chars()
        .map(|character| match character {
            '\\' | '\'' => 2,
            control if control.is_control() => 6,
            plain => plain.len_utf8(),
        })
        .sum()
}
