//! Reads values out of a database's file without sled, to notice what sled passes over in silence:
//! behind a message that is damaged, sled drops the rest of a buffer, or of everything.
//!
//! sled writes an insertion as one contiguous message: some header, then `0 | length of key | key |
//! length of value | value`, the lengths as its variable integers. Keys are found by what they begin
//! with; one counts if the lengths stand where they must and the checksum fits key and value whole.
//! One whose checksum does not fit, though it is all there, counts if none is missing before it: it
//! was stored, and is damaged. (What a kill or a power cut spoils has zeros at its end, or pages of
//! them.) A last value whose key is damaged cannot be told from none.
//! What lies inside a value that fits is passed over: it may be anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use memchr::memmem;
use wstream_record::varint;

use super::key::{KEY_BYTES_MAX, KEY_BYTES_MIN, Key, MAGIC};
use crate::sled::{VALUE_BYTES_MAX, VALUES_MAX, Value};

/// Bytes of the file that are searched at one time.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes in front of a key: what the message is, and the key's length.
const BEFORE_BYTES: usize = 2;
/// Bytes of the longest length of a value.
const LENGTH_BYTES_MAX: usize = 4;
/// Bytes of the longest insertion.
const INSERTION_BYTES_MAX: usize =
    BEFORE_BYTES + KEY_BYTES_MAX + LENGTH_BYTES_MAX + VALUE_BYTES_MAX;

/// Zeros that a value has where not all of it was written.
const HOLE_BYTES_MIN: usize = 512;

/// What a database's raw bytes hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// Where the values are that are whole.
    pub(super) whole: BTreeMap<u32, Place>,
    /// Values that are all there and damaged.
    pub(super) damaged: BTreeSet<u32>,
    /// How many values some later one says were safe.
    pub(super) safe: u32,
}

/// Where an insertion is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    start: u64,
    bytes: usize,
}

impl Found {
    /// One more than the highest number of a value that was stored.
    pub(super) fn values(&self) -> u32 {
        let whole = self.whole.last_key_value();
        let whole = whole.map_or(0, |(number, _)| number.saturating_add(1));
        whole.max(self.kept_from(whole))
    }

    /// Where the first so many values are, as bytes; `None` if one of them is not whole.
    pub(super) fn places(&self, values: u32) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut before = 0_u64;
        for number in 0..values {
            let place = self.whole.get(&number)?;
            let delta = place.start.wrapping_sub(before).cast_signed();
            varint::put(&mut out, delta);
            varint::put(&mut out, i64::try_from(place.bytes).ok()?);
            before = place.start;
        }
        Some(out)
    }

    /// What `places` answered; whatever the bytes are.
    pub(super) fn from_places(mut places: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let (mut start, mut number) = (0_u64, 0_u32);
        while !places.is_empty() {
            start = start.wrapping_add(varint::take(&mut places)?.cast_unsigned());
            let bytes = usize::try_from(varint::take(&mut places)?).ok()?;
            let bytes = Some(bytes).filter(|&bytes| bytes <= INSERTION_BYTES_MAX)?;
            found.whole.insert(number, Place { start, bytes });
            number = number.checked_add(1)?;
        }
        Some(found)
    }

    /// How many values there are without a gap, except below `safe`: behind a gap, a kill may have
    /// left some that were never flushed.
    pub(super) fn kept(&self) -> u32 {
        let safe = self.safe.min(self.values());
        self.kept_from(self.kept_from(0).max(safe))
    }

    /// The first number at or above `from` that there is no value of.
    fn kept_from(&self, from: u32) -> u32 {
        let has = |number: &u32| self.whole.contains_key(number) || self.damaged.contains(number);
        let last = (from..VALUES_MAX).take_while(has).last();
        last.map_or(from, |number| number + 1)
    }
}

/// Searches a file, which may be absent.
pub(super) fn search(path: &Path) -> io::Result<Found> {
    match search_and_sum(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::default()),
        other => Ok(other?.0),
    }
}

/// Searches a file, and answers its length and checksum too. Each byte is read once.
pub(super) fn search_and_sum(path: &Path) -> io::Result<(Found, u64, u32)> {
    let finder = memmem::Finder::new(&MAGIC);
    let mut window = Window::open(path)?;
    let (mut found, mut at) = (Found::default(), 0_u64);
    loop {
        let Some(place) = finder.find(window.from(at)) else {
            // A key may begin at the end of the window.
            let last = window.end().saturating_sub(as_u64(MAGIC.len() - 1));
            at = at.max(last);
            if !window.extend(at.saturating_sub(as_u64(BEFORE_BYTES)))? {
                break;
            }
            continue;
        };
        let place = at.saturating_add(as_u64(place));
        at = place.saturating_add(1);
        let Some(start) = place.checked_sub(as_u64(BEFORE_BYTES)) else {
            continue;
        };
        if window.from(start).len() < INSERTION_BYTES_MAX {
            window.extend(start)?;
        }
        match read_insertion(window.from(start)) {
            Some(Insertion {
                key, bytes, fits, ..
            }) if fits => {
                found.whole.insert(key.number, Place { start, bytes });
                found.safe = found.safe.max(key.safe);
                at = start.saturating_add(as_u64(bytes));
            }
            Some(insertion) if is_all_there(insertion.value) => {
                found.damaged.insert(insertion.key.number);
            }
            _ => {}
        }
    }
    found
        .damaged
        .retain(|number| !found.whole.contains_key(number));
    Ok((found, window.end(), window.crc))
}

/// A part of a file, which goes on to its end.
struct Window {
    file: File,
    bytes: Vec<u8>,
    /// Where it begins in the file, and how much of `bytes` is of it.
    start: u64,
    filled: usize,
    /// Of all that was read.
    crc: u32,
}

impl Window {
    fn open(path: &Path) -> io::Result<Self> {
        let mut window = Self {
            file: File::open(path)?,
            bytes: vec![0; WINDOW_BYTES + INSERTION_BYTES_MAX],
            start: 0,
            filled: 0,
            crc: 0,
        };
        window.extend(0)?;
        Ok(window)
    }

    /// Where it ends in the file.
    fn end(&self) -> u64 {
        self.start.saturating_add(as_u64(self.filled))
    }

    /// What it has from a place on.
    fn from(&self, at: u64) -> &[u8] {
        let skipped = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.bytes.get(skipped..self.filled).unwrap_or_default()
    }

    /// Lets go of what lies before a place, and reads on. `false`: the file has ended.
    fn extend(&mut self, keep: u64) -> io::Result<bool> {
        let kept = self.from(keep).len();
        self.bytes.copy_within(self.filled - kept..self.filled, 0);
        self.start = self.end().saturating_sub(as_u64(kept));
        self.filled = kept;
        let end = self.end();
        let into = self.bytes.get_mut(kept..).unwrap_or_default();
        let got = read_at(&self.file, into, end)?;
        let read = into.get(..got).unwrap_or_default();
        self.crc = crc32c::crc32c_append(self.crc, read);
        self.filled += got;
        Ok(got > 0)
    }
}

/// The value at a place, if it is still what was put.
pub(super) fn read(file: &File, place: Place) -> io::Result<Option<Value>> {
    let mut bytes = vec![0; place.bytes];
    let got = read_at(file, &mut bytes, place.start)?;
    let read = read_insertion(bytes.get(..got).unwrap_or_default());
    let Some(Insertion { key, value, .. }) = read else {
        return Ok(None);
    };
    let head = Bytes::copy_from_slice(key.head);
    let (number, fits) = (key.number, key.fits(value));
    let length = value.len();
    let mut bytes = Bytes::from(bytes);
    let bytes = bytes.split_off(bytes.len().saturating_sub(length));
    Ok(fits.then_some(Value {
        number,
        head,
        bytes,
    }))
}

/// What looks like an insertion.
struct Insertion<'a> {
    key: Key<'a>,
    value: &'a [u8],
    /// Bytes of all of it.
    bytes: usize,
    fits: bool,
}

/// The insertion at the beginning of `bytes`, if there is one to its end.
fn read_insertion(bytes: &[u8]) -> Option<Insertion<'_>> {
    let rest = bytes.strip_prefix(&[0])?;
    let (&length, rest) = rest.split_first()?;
    let length = usize::from(length);
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&length) {
        return None;
    }
    let (key, rest) = rest.split_at_checked(length)?;
    let (length, rest) = read_length(rest)?;
    let (value, rest) = rest.split_at_checked(length)?;
    let key = Key::read(key)?;
    if length > VALUE_BYTES_MAX || key.safe > key.number || key.number >= VALUES_MAX {
        return None;
    }
    Some(Insertion {
        key,
        value,
        bytes: bytes.len().saturating_sub(rest.len()),
        fits: key.fits(value),
    })
}

/// It does not look as if not all of it had been written.
fn is_all_there(value: &[u8]) -> bool {
    let ends = value.last_chunk::<4>().is_some_and(|last| *last != [0; 4]);
    ends && memmem::find(value, &[0; HOLE_BYTES_MIN]).is_none()
}

/// sled's variable integers, as far as lengths of values need them.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let first = usize::from(first);
    match first {
        0..=240 => Some((first, rest)),
        241..=248 => {
            let (&low, rest) = rest.split_first()?;
            Some((240 + 256 * (first - 241) + usize::from(low), rest))
        }
        249 => {
            let ([high, low], rest) = rest.split_first_chunk::<2>()?;
            Some((2288 + 256 * usize::from(*high) + usize::from(*low), rest))
        }
        250 => {
            let ([low, middle, high], rest) = rest.split_first_chunk::<3>()?;
            let length = u32::from_le_bytes([*low, *middle, *high, 0]);
            Some((usize::try_from(length).ok()?, rest))
        }
        _ => None,
    }
}

/// Fills `into` from the file, as far as that goes.
fn read_at(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(as_u64(filled))) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
