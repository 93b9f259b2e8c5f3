//! GOODBYE: the sender ends (docs/protocol.md, "Goodbye").

use super::Operation;
use super::cursor::{WireError, Writer};

/// Writes it; how many bytes it took.
///
/// # Errors
/// [`WireError::NoRoom`].
pub fn emit(out: &mut [u8]) -> Result<usize, WireError> {
    let mut writer = Writer::new(out);
    writer.put(&[Operation::GOODBYE.0])?;
    Ok(writer.len())
}
