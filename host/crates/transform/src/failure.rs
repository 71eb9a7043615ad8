//! The reasons for which a record fails, and their fixed numbers and names.

use bytes::Bytes;
use wstream_record::{PartitionId, Record};

/// Longest message of a failure; longer ones are cut at a character.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4096;
/// Codes from here on are the host's.
const CODE_HOST_MIN: u16 = 1000;

/// Why the host failed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Cause {
    /// The module trapped.
    Trap = CODE_HOST_MIN,
    /// A time limit.
    Timeout,
    /// A refused growth of memory was fatal.
    Memory,
    /// The record's outputs are larger than the limit.
    OutputSize,
    /// The output breaks the ABI.
    BadFrame,
    /// The module called `proc_exit`.
    Exit,
}

impl Cause {
    /// Every cause, in the order of the codes.
    pub const ALL: [Self; 6] = [
        Self::Trap,
        Self::Timeout,
        Self::Memory,
        Self::OutputSize,
        Self::BadFrame,
        Self::Exit,
    ];

    /// The fixed number.
    #[must_use]
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The fixed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::OutputSize => "output_size",
            Self::BadFrame => "bad_frame",
            Self::Exit => "exit",
        }
    }
}

/// The name under which a failure code is counted and dead-lettered: `guest` below 1000.
#[must_use]
pub fn code_name(code: u16) -> &'static str {
    let cause = Cause::ALL.into_iter().find(|c| c.code() == code);
    cause.map_or("guest", Cause::name)
}

/// An output of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The input record, counted in the batch.
    pub index: u32,
    /// Which output of the module; 0 is the default.
    pub output: u16,
    /// `None` is by key.
    pub partition: Option<PartitionId>,
    /// The record; its bytes are slices of one copy of the output frame.
    pub record: Record,
}

/// A record that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The input record, counted in the batch.
    pub index: u32,
    /// Below 1000 the module's own, else the host's.
    pub code: u16,
    /// The host's name of the code, or `guest`.
    pub name: &'static str,
    /// At most 4 KiB.
    pub message: String,
}

impl Failure {
    pub(crate) fn host(index: u32, cause: Cause, message: String) -> Self {
        Self {
            index,
            code: cause.code(),
            name: cause.name(),
            message,
        }
    }

    pub(crate) fn guest(index: u32, code: u16, message: String) -> Self {
        Self {
            index,
            code,
            name: code_name(code),
            message,
        }
    }
}

/// Reads a module's text: lossy UTF-8, cut to the bound at a character.
pub(crate) fn text(bytes: &[u8], bytes_max: usize) -> String {
    let cut = bytes.get(..bytes_max).unwrap_or(bytes);
    let mut text = String::from_utf8_lossy(cut).into_owned();
    // Replacement characters are longer than what they replace.
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|&i| text.is_char_boundary(i));
        text.truncate(end.unwrap_or(0));
    }
    text
}

/// `slice` of `frame` without a copy.
#[inline]
pub(crate) fn share(frame: &Bytes, slice: &[u8]) -> Bytes {
    let from = slice.as_ptr() as usize - frame.as_ptr() as usize;
    frame.slice(from..from + slice.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let rows = [
            (0, "guest"),
            (999, "guest"),
            (1000, "trap"),
            (1001, "timeout"),
            (1002, "memory"),
            (1003, "output_size"),
            (1004, "bad_frame"),
            (1005, "exit"),
        ];
        for (code, name) in rows {
            assert_eq!(code_name(code), name);
        }
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(text(b"abc", 2), "ab");
        assert_eq!(text("a\u{e9}".as_bytes(), 2), "a");
        assert_eq!(text(b"\xff\xff\xff", 3), "\u{fffd}");
        assert_eq!(text(b"ok", 100), "ok");
    }
}
