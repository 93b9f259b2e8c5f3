//! Paths below `share/` as peers name them: any bytes but NUL, parted by `/` (docs/protocol.md, "Paths").

use crate::limits::{MAX_NAME, MAX_PATH};
use core::cmp::Ordering;
use core::fmt::{Display, Formatter, Write};

/// Why bytes are no path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// Empty, or longer than [`MAX_PATH`].
    Length,
    /// A component is empty (also by a leading or trailing `/`) or longer than [`MAX_NAME`].
    Component,
    /// A component is `.` or `..`.
    Dots,
    /// It holds a NUL.
    Nul,
}

/// Whether bytes may name something below `share/`, whoever says so.
///
/// # Errors
/// What is wrong with them.
pub fn check(path: &[u8]) -> Result<(), PathError> {
    if path.is_empty() || path.len() > MAX_PATH {
        return Err(PathError::Length);
    }
    if path.contains(&0) {
        return Err(PathError::Nul);
    }
    for component in path.split(|byte| *byte == b'/') {
        if component.is_empty() || component.len() > MAX_NAME {
            return Err(PathError::Component);
        }
        if component == b"." || component == b".." {
            return Err(PathError::Dots);
        }
    }
    Ok(())
}

/// The directory that a path is in; `None` at the top.
#[must_use]
pub fn parent(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|byte| *byte == b'/')?;
    path.get(..end)
}

/// The last component.
#[must_use]
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether `path` is somewhere below `directory`, not the directory itself. All are below the empty one.
#[must_use]
pub fn is_below(path: &[u8], directory: &[u8]) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The tree order: `/` sorts before every other byte, so that a directory is directly followed by
/// all that is in it.
#[must_use]
pub fn tree_cmp(a: &[u8], b: &[u8]) -> Ordering {
    // One more than the byte, so that also a NUL, which no path holds, sorts behind `/`.
    let key = |byte: &u8| {
        if *byte == b'/' {
            0
        } else {
            u16::from(*byte) + 1
        }
    };
    a.iter().map(key).cmp(b.iter().map(key))
}

/// A name that can go to a log or a terminal: control characters, backslashes and what is not
/// UTF-8 are written as `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || character == '\\' {
                    let mut bytes = [0; 4];
                    character
                        .encode_utf8(&mut bytes)
                        .bytes()
                        .try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
                } else {
                    f.write_char(character)?;
                }
            }
            chunk
                .invalid()
                .iter()
                .try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn only_relative_paths_of_plain_components_pass() {
        for good in [
            &b"a"[..],
            b"a/b",
            b".hidden",
            b"...",
            b"a b/c\n",
            b"\xff\xfe/\x01",
            &[b'x'; 255],
        ] {
            assert_eq!(check(good), Ok(()), "{}", Escaped(good));
        }
        for (bad, why) in [
            (&b""[..], PathError::Length),
            (b"/", PathError::Component),
            (b"/a", PathError::Component),
            (b"a/", PathError::Component),
            (b"a//b", PathError::Component),
            (b".", PathError::Dots),
            (b"..", PathError::Dots),
            (b"a/../b", PathError::Dots),
            (b"a/.", PathError::Dots),
            (b"a\0b", PathError::Nul),
            (&[b'x'; 256], PathError::Component),
            (&[b'x'; MAX_PATH + 1], PathError::Length),
        ] {
            assert_eq!(check(bad), Err(why), "{}", Escaped(bad));
        }
    }

    #[test]
    fn a_directory_is_followed_by_what_is_in_it() {
        let mut paths = [
            &b"a-b"[..],
            b"a.b",
            b"a/b",
            b"a",
            b"ab",
            b"a/b/c",
            b"a/\x01",
        ];
        paths.sort_by(|a, b| tree_cmp(a, b));
        assert_eq!(
            paths,
            [
                &b"a"[..],
                b"a/\x01",
                b"a/b",
                b"a/b/c",
                b"a-b",
                b"a.b",
                b"ab"
            ]
        );
    }

    #[test]
    fn parents_and_names() {
        assert_eq!(parent(b"a/b/c"), Some(&b"a/b"[..]));
        assert_eq!(parent(b"a"), None);
        assert_eq!(name(b"a/b"), b"b");
        assert!(
            is_below(b"a/b", b"a")
                && is_below(b"a", b"")
                && !is_below(b"ab", b"a")
                && !is_below(b"a", b"a")
        );
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_printed() {
        let printed = Escaped(b"a\n\x1b[2J\xc2\x9b\xff\\\xc3\xa9").to_string();
        assert_eq!(printed, "a\\x0a\\x1b[2J\\xc2\\x9b\\xff\\x5c\u{e9}");
    }
}
