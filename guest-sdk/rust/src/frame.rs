//! Reads the little-endian pieces of a frame without trusting a length.

/// The frame does not hold what its lengths say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError;

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the frame ends before what its lengths announce, or after it")
    }
}

impl std::error::Error for FrameError {}

/// What is left of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(FrameError)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(FrameError)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32, FrameError> {
        self.array().map(i32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, FrameError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Bytes behind an `i32` length, of which -1 is null.
    #[inline]
    pub(crate) fn nullable(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        match self.i32()? {
            -1 => Ok(None),
            len => usize::try_from(len)
                .map_err(|_| FrameError)
                .and_then(|len| self.bytes(len))
                .map(Some),
        }
    }

    /// Bytes behind a `u32` length.
    #[inline]
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], FrameError> {
        let len = self.u32()?;
        self.bytes(usize::try_from(len).map_err(|_| FrameError)?)
    }
}

/// Appends bytes behind their `i32` length, null as -1.
#[inline]
pub(crate) fn put_nullable(frame: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => frame.extend_from_slice(&(-1_i32).to_le_bytes()),
        Some(bytes) => {
            frame.reserve(bytes.len() + 4);
            frame.extend_from_slice(&length(bytes.len()).to_le_bytes());
            frame.extend_from_slice(bytes);
        }
    }
}

/// A length as frames write it.
#[inline]
pub(crate) fn length(bytes: usize) -> u32 {
    // A frame above 2 GiB cannot exist in a guest's memory, which the host bounds at 2 GiB.
    u32::try_from(bytes).expect("a frame is below 2 GiB")
}
