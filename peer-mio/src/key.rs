//! The key file: one line, 64 hexadecimal digits, readable by its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Longest key file that is read, in bytes.
const LONGEST: u64 = 1024;

/// Makes a new key as the line of a key file.
///
/// # Errors
/// The system has no randomness.
pub fn generate() -> io::Result<String> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(key.iter().fold(String::with_capacity(65), |line, byte| {
        line + &format!("{byte:02x}")
    }) + "\n")
}

/// Writes a new key to a file that does not exist yet, with mode 0600; makes its folder.
///
/// # Errors
/// A sentence that says what to do.
pub fn write_new(path: &Path) -> Result<(), String> {
    let say =
        |error: io::Error| format!("the key cannot be written to {}: {error}", path.display());
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder).map_err(say)?;
    }
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(format!(
                "{} exists already and is not overwritten; remove it first if you want a new key",
                path.display()
            ));
        }
        Err(error) => return Err(say(error)),
    };
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .map_err(say)?;
    file.write_all(generate().map_err(say)?.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(say)
}

/// Reads a key file.
///
/// # Errors
/// A sentence that says what to do.
pub fn read(path: &Path) -> Result<[u8; 32], String> {
    let shown = path.display();
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "there is no key at {shown}; make one with 'tinypeer keygen {shown}' and copy it to every peer"
            ));
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    if !about.is_file() || about.len() > LONGEST {
        return Err(format!(
            "{shown} is no key file; make one with 'tinypeer keygen'"
        ));
    }
    let text = fs::read(path).map_err(|error| unreadable(path, &error))?;
    parse(&text).ok_or_else(|| {
        format!("{shown} holds no key: a key is one line of 64 hexadecimal digits, as 'tinypeer keygen' writes it")
    })
}

/// Warns of a key that others than its owner may read.
pub fn warn_if_exposed(path: &Path) {
    let shown = path.display();
    if fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o077 != 0) {
        log::warn!("others than its owner may read the key {shown}: 'chmod 600 {shown}'");
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!(
        "the key {} cannot be read: {error}; run tinypeer as the user it belongs to, or name another one with --key-file",
        path.display()
    )
}

fn parse(text: &[u8]) -> Option<[u8; 32]> {
    let digits: [u8; 64] = text.trim_ascii().try_into().ok()?;
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_no_two_are_alike() {
        let line = generate().unwrap();
        assert_eq!(line.len(), 65);
        assert!(parse(line.as_bytes()).is_some());
        assert_ne!(line, generate().unwrap());
    }

    #[test]
    fn only_sixty_four_digits_are_a_key() {
        let good = "ab".repeat(32);
        assert_eq!(parse(good.as_bytes()), Some([0xab; 32]));
        for wrong in [
            "",
            "ab",
            &good[1..],
            &format!("{good}a"),
            &"g0".repeat(32),
            &"+1".repeat(32),
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
