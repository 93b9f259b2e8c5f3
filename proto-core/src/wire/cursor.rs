//! Reading and writing fields over slices, without index arithmetic in any parser. All integers are
//! in network byte order.

/// Why bytes are no message (docs/protocol.md): the field that ran short or breaks its rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// The bytes end within this field.
    Short(&'static str),
    /// This field has a value that it must not have.
    Invalid(&'static str),
    /// Bytes are left behind the last field.
    Trailing,
    /// An operation code that this version does not know.
    Unknown(u8),
    /// The buffer to write to is too small.
    NoRoom,
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short(field) => write!(f, "ends within {field}"),
            Self::Invalid(field) => write!(f, "{field} has a value that it must not have"),
            Self::Trailing => f.write_str("bytes behind the last field"),
            Self::Unknown(code) => write!(f, "unknown operation {code}"),
            Self::NoRoom => f.write_str("no room to write"),
        }
    }
}

impl core::error::Error for WireError {}

/// Takes fields from the start of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(WireError::Short(field))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Short(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.array(field).map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, WireError> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`WireError::Short`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`WireError::Trailing`].
    pub fn end(&self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }
}

/// Puts fields to the start of a slice.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// A writer to these bytes.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// Writes all of `bytes` or nothing.
    ///
    /// # Errors
    /// [`WireError::NoRoom`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let end = self.len.checked_add(bytes.len()).ok_or(WireError::NoRoom)?;
        self.bytes
            .get_mut(self.len..end)
            .ok_or(WireError::NoRoom)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes left.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// What was written so far, to change a field of it.
    pub fn written(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}
