//! Keys of values: `MAGIC | number u32 | safe u32 | crc32c u32 | head`, all big-endian. The checksum
//! covers number, `safe`, head and value; `safe` says how many values were on the safe side of a
//! flush (or, where the database is synced, of a sync) when this one was put.

use bytes::Bytes;

use crate::sled::{HEAD_BYTES_MAX, Value};

/// What every key begins with. No text, and rare in binary data.
pub(super) const MAGIC: [u8; 4] = [0xf3, 0x97, 0x0b, 0xd5];
/// Bytes of a key without its head.
pub(super) const KEY_BYTES_MIN: usize = 16;
/// Bytes of the longest key.
pub(super) const KEY_BYTES_MAX: usize = KEY_BYTES_MIN + HEAD_BYTES_MAX;

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key<'a> {
    pub(super) number: u32,
    pub(super) safe: u32,
    crc: u32,
    pub(super) head: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn new(number: u32, safe: u32, head: &'a [u8], bytes: &[u8]) -> Self {
        Self {
            number,
            safe,
            crc: checksum(number, safe, head, bytes),
            head,
        }
    }

    /// `None` for what is not a key.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (safe, rest) = rest.split_first_chunk::<4>()?;
        let (crc, head) = rest.split_first_chunk::<4>()?;
        (head.len() <= HEAD_BYTES_MAX).then_some(Self {
            number: u32::from_be_bytes(*number),
            safe: u32::from_be_bytes(*safe),
            crc: u32::from_be_bytes(*crc),
            head,
        })
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(KEY_BYTES_MIN + self.head.len());
        out.extend_from_slice(&prefix(self.number));
        out.extend_from_slice(&self.safe.to_be_bytes());
        out.extend_from_slice(&self.crc.to_be_bytes());
        out.extend_from_slice(self.head);
        out
    }

    /// Whether this is the key that was made for `bytes`.
    pub(super) fn fits(self, bytes: &[u8]) -> bool {
        self.crc == checksum(self.number, self.safe, self.head, bytes)
    }

    /// The value under this key; `Err` with its number if that is not what was put.
    pub(super) fn value(self, bytes: Bytes) -> Result<Value, u32> {
        if !self.fits(&bytes) {
            return Err(self.number);
        }
        Ok(Value {
            number: self.number,
            head: Bytes::copy_from_slice(self.head),
            bytes,
        })
    }
}

/// What the key of value `number` begins with.
pub(super) fn prefix(number: u32) -> [u8; 8] {
    let mut out = [0; 8];
    let (magic, rest) = out.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    rest.copy_from_slice(&number.to_be_bytes());
    out
}

fn checksum(number: u32, safe: u32, head: &[u8], bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&number.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &safe.to_be_bytes());
    let crc = crc32c::crc32c_append(crc, head);
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_numbers_do_and_read_back() {
        let keys = [0, 1, 7, 255, 256, 65_536, u32::MAX]
            .map(|number| Key::new(number, 3, b"head", b"value").to_bytes());
        assert!(keys.is_sorted());
        for bytes in &keys {
            let key = Key::read(bytes).unwrap();
            assert_eq!(key.to_bytes(), *bytes);
            assert!(bytes.starts_with(&prefix(key.number)));
            assert!(key.fits(b"value"));
            assert!(!key.fits(b"valuf"));
        }
        for other in [
            &b""[..],
            b"__sled__default",
            &MAGIC,
            &[0; 20],
            &keys[0][..15],
        ] {
            assert_eq!(Key::read(other), None);
        }
    }
}
