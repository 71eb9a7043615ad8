//! Numbers of stored things: zigzag varints, counts that the bytes must back, differences in place of
//! large numbers. A `Reader` takes bytes from anywhere and never reserves or trusts what they do not
//! hold. Whoever stores something adds a checksum and a number of its form.

use bytes::Buf;
use wstream_record::Offset;
use wstream_record::varint;

pub(crate) use wstream_record::varint::put;

/// What is stored on top of `from`.
pub(crate) fn put_above(out: &mut Vec<u8>, number: i64, from: i64) {
    // Any two numbers have a difference of 64 bits that `Reader` adds back or refuses.
    put(out, number.wrapping_sub(from));
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = i64::try_from(count).expect("counts of entries fit i64");
    put(out, count);
}

/// Takes numbers off the front of bytes that may be anything.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn number(&mut self) -> Result<i64, String> {
        self.taken(varint::take)
    }

    /// What `take` finds at the front.
    pub(crate) fn taken<T>(
        &mut self,
        take: impl FnOnce(&mut &'a [u8]) -> Option<T>,
    ) -> Result<T, String> {
        take(&mut self.rest).ok_or_else(|| "it is cut".to_owned())
    }

    pub(crate) fn byte(&mut self) -> Result<u8, String> {
        self.taken(|rest| rest.try_get_u8().ok())
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], String> {
        self.taken(|rest| rest.split_off(..length))
    }

    /// A number of a smaller type.
    pub(crate) fn small<T: TryFrom<i64>>(&mut self, what: &'static str) -> Result<T, String> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| format!("{what} is {number}"))
    }

    /// `from` and what is stored on top of it, which is `min` at least.
    pub(crate) fn above(&mut self, from: i64, min: i64, what: &'static str) -> Result<i64, String> {
        let number = self.number()?;
        from.checked_add(number)
            .filter(|_| number >= min)
            .ok_or_else(|| format!("{what} is {number} above {from}"))
    }

    /// An offset at or above `from`.
    pub(crate) fn offset(&mut self, from: Offset) -> Result<Offset, String> {
        self.above(from.0, 0, "an offset").map(Offset)
    }

    /// An offset at or below `from`, from its distance.
    pub(crate) fn offset_below(&mut self, from: Offset) -> Result<Offset, String> {
        let distance = self.number()?;
        let offset = from.0.checked_sub(distance);
        offset
            .filter(|&offset| distance >= 0 && offset >= 0)
            .map(Offset)
            .ok_or_else(|| format!("an offset is {distance} below {from}"))
    }

    /// How many entries follow, each of `bytes_min` bytes at least.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, String> {
        let count: usize = self.small("a count")?;
        if count > self.rest.len() / bytes_min.max(1) {
            let left = self.rest.len();
            return Err(format!("{count} entries do not fit {left} bytes"));
        }
        Ok(count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses what stands behind the last field.
    pub(crate) fn finish(self) -> Result<(), String> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!("{} bytes behind its end", self.rest.len()))
        }
    }
}
