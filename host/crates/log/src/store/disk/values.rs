//! How batches become values of a segment's database, and values batches again.
//!
//! Batches of one write that are small are put together in one value; one above the largest
//! value is cut into chunks of equal size. A key is the first batch's base offset, the chunk's
//! number and the count of chunks, all big-endian, so that keys sort as offsets do and every
//! chunk knows how many there must be.

use bytes::{Bytes, BytesMut};
use wstream_record::{BatchError, Offset, RecordBatch, Timestamp};

/// The largest value. Above 128 KiB, less some header, sled would write a file of its own
/// for it, which it neither syncs nor reclaims.
pub(super) const VALUE_BYTES_MAX: usize = 120 << 10;
/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 12;
/// Where a batch keeps its length, and what that does not count.
const BATCH_PREFIX_BYTES: usize = 12;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) offset: Offset,
    pub(crate) chunk: u16,
    pub(crate) chunks: u16,
}

/// A value to be stored: some whole batches, or a chunk of one.
#[derive(Debug)]
pub(super) struct Value<'a> {
    pub(super) key: Key,
    pub(super) newest: Timestamp,
    pub(super) content: Content<'a>,
}

#[derive(Debug)]
pub(super) enum Content<'a> {
    Whole(&'a [RecordBatch]),
    Chunk(&'a [u8]),
}

impl Key {
    pub(crate) fn whole(offset: Offset) -> Self {
        Self {
            offset,
            chunk: 0,
            chunks: 1,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut out = [0; KEY_BYTES];
        out[..8].copy_from_slice(&self.offset.0.to_be_bytes());
        out[8..10].copy_from_slice(&self.chunk.to_be_bytes());
        out[10..].copy_from_slice(&self.chunks.to_be_bytes());
        out
    }

    /// `None` for what is not a key: the database has names of its own.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        let (offset, rest) = bytes.split_first_chunk::<8>()?;
        let (chunk, rest) = rest.split_first_chunk::<2>()?;
        let chunks = rest.first_chunk::<2>()?;
        let key = Self {
            offset: Offset(i64::from_be_bytes(*offset)),
            chunk: u16::from_be_bytes(*chunk),
            chunks: u16::from_be_bytes(*chunks),
        };
        (key.offset.0 >= 0 && key.chunk < key.chunks).then_some(key)
    }

    /// Not below any key of the value that holds `offset`.
    pub(super) fn last_of(offset: Offset) -> Self {
        Self {
            offset,
            chunk: u16::MAX,
            chunks: u16::MAX,
        }
    }

    pub(super) fn is_last_chunk(self) -> bool {
        self.chunk + 1 == self.chunks
    }
}

/// A timestamp as bytes that sort as it does.
pub(super) fn sortable(timestamp: Timestamp) -> [u8; 8] {
    (timestamp.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

impl Value<'_> {
    /// The bytes to store, put together in `scratch` if they are several batches.
    pub(super) fn bytes<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        match self.content {
            Content::Chunk(bytes) => bytes,
            Content::Whole([batch]) => batch.bytes(),
            Content::Whole(batches) => {
                scratch.clear();
                for batch in batches {
                    scratch.extend_from_slice(batch.bytes());
                }
                scratch
            }
        }
    }
}

/// Cuts bytes into chunks of equal size, of `max` at the most, with their keys.
pub(crate) fn chunks(
    offset: Offset,
    bytes: &[u8],
    max: usize,
) -> impl Iterator<Item = (Key, &[u8])> {
    let count = bytes.len().div_ceil(max).max(1);
    let size = bytes.len().div_ceil(count).max(1);
    let chunks = u16::try_from(count).expect("callers bound what they store");
    let key = move |chunk| Key {
        offset,
        chunk,
        chunks,
    };
    (0..chunks).map(key).zip(bytes.chunks(size))
}

/// Batches as values.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) values: Vec<Value<'a>>,
    /// How many batches they hold.
    pub(super) batches: usize,
}

/// Lays out batches, which carry their offsets, as values. If `more` are coming, the last ones
/// are left out where they make up less than half a value.
pub(super) fn lay_out(batches: &[RecordBatch], more: bool) -> Layout<'_> {
    let mut values = all_values(batches);
    let mut count = batches.len();
    if more
        && let Some(Content::Whole(whole)) = values.last().map(|v| &v.content)
        && whole.iter().map(|b| b.bytes().len()).sum::<usize>() < VALUE_BYTES_MAX / 2
    {
        count -= whole.len();
        values.pop();
    }
    Layout {
        values,
        batches: count,
    }
}

fn all_values(batches: &[RecordBatch]) -> Vec<Value<'_>> {
    let mut out = Vec::new();
    let mut rest = batches;
    while let Some(first) = rest.first() {
        if first.bytes().len() > VALUE_BYTES_MAX {
            cut(first, &mut out);
            rest = &rest[1..];
            continue;
        }
        let mut bytes = 0;
        let fits = |batch: &&RecordBatch| {
            bytes += batch.bytes().len();
            bytes <= VALUE_BYTES_MAX
        };
        let count = rest.iter().take_while(fits).count();
        let (whole, after) = rest.split_at(count);
        let newest = whole.iter().map(|b| b.header().max_timestamp).max();
        out.push(Value {
            key: Key::whole(first.header().base_offset),
            newest: newest.unwrap_or(Timestamp::NONE),
            content: Content::Whole(whole),
        });
        rest = after;
    }
    out
}

fn cut<'a>(batch: &'a RecordBatch, out: &mut Vec<Value<'a>>) {
    let offset = batch.header().base_offset;
    let values = chunks(offset, batch.bytes(), VALUE_BYTES_MAX).map(|(key, content)| Value {
        key,
        newest: batch.header().max_timestamp,
        content: Content::Chunk(content),
    });
    out.extend(values);
}

/// Puts values together to batches again.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    chunks: BytesMut,
    /// The chunk that must come next, if a batch has begun.
    next: Option<Key>,
}

impl Assembler {
    /// Takes the next value. Answers the bytes of whole batches once there are some.
    ///
    /// # Errors
    /// A chunk is missing before this one.
    pub(crate) fn push(&mut self, key: Key, bytes: Bytes) -> Result<Option<Bytes>, BatchError> {
        let missing = BatchError::Malformed("a chunk is missing");
        if key.chunk == 0 {
            if self.next.is_some() {
                return Err(missing);
            }
            if key.chunks == 1 {
                return Ok(Some(bytes));
            }
            self.chunks.clear();
        } else if self.next != Some(key) {
            return Err(missing);
        }
        self.chunks.extend_from_slice(&bytes);
        if key.is_last_chunk() {
            self.next = None;
            return Ok(Some(self.chunks.split().freeze()));
        }
        let chunk = key.chunk + 1;
        self.next = Some(Key { chunk, ..key });
        Ok(None)
    }
}

/// Takes the first batch off bytes whose checksums the database has checked.
///
/// # Errors
/// They are no batches.
pub(super) fn take_batch(bytes: &mut Bytes) -> Result<Option<RecordBatch>, BatchError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = bytes
        .get(8..BATCH_PREFIX_BYTES)
        .and_then(|b| b.try_into().ok());
    let length = length.map_or(0, u32::from_be_bytes) as usize;
    let need = length.saturating_add(BATCH_PREFIX_BYTES);
    let have = bytes.len();
    if need > have {
        return Err(BatchError::Cut { have, need });
    }
    RecordBatch::parse_trusted(bytes.split_to(need)).map(Some)
}

#[cfg(test)]
mod tests {
    use wstream_record::LeaderEpoch;

    use super::*;
    use crate::testing::batch_of;

    fn batches(sizes: &[usize]) -> Vec<RecordBatch> {
        let at = |(n, &size)| batch_of(1, size, None).at(Offset(n as i64), LeaderEpoch(0));
        sizes.iter().enumerate().map(at).collect()
    }

    #[test]
    fn small_batches_share_a_value_and_large_ones_are_cut() {
        // sizes of batches -> (offset, chunk, chunks) of values
        type Row<'a> = (&'a [usize], &'a [(i64, u16, u16)]);
        let rows: [Row<'_>; 5] = [
            (&[10], &[(0, 0, 1)]),
            (&[50_000, 50_000, 50_000], &[(0, 0, 1), (2, 0, 1)]),
            (&[100_000, 100_000], &[(0, 0, 1), (1, 0, 1)]),
            (
                &[10, 130_000, 10],
                &[(0, 0, 1), (1, 0, 2), (1, 1, 2), (2, 0, 1)],
            ),
            (&[300_000], &[(0, 0, 3), (0, 1, 3), (0, 2, 3)]),
        ];
        for (sizes, expected) in rows {
            let batches = batches(sizes);
            let values = lay_out(&batches, false).values;
            let keys: Vec<_> = values
                .iter()
                .map(|v| (v.key.offset.0, v.key.chunk, v.key.chunks))
                .collect();
            assert_eq!(keys, expected, "{sizes:?}");
            let mut assembler = Assembler::default();
            let mut read = Vec::new();
            for value in &values {
                let mut scratch = Vec::new();
                let stored = Bytes::copy_from_slice(value.bytes(&mut scratch));
                assert!(stored.len() <= VALUE_BYTES_MAX);
                if let Some(mut whole) = assembler.push(value.key, stored).unwrap() {
                    while let Some(batch) = take_batch(&mut whole).unwrap() {
                        read.push(batch);
                    }
                }
            }
            assert_eq!(assembler.next, None);
            assert_eq!(read, batches, "{sizes:?}");
        }
    }

    #[test]
    fn less_than_half_a_value_waits_if_more_is_coming() {
        // sizes of batches -> how many are taken, in how many values
        let rows: [(&[usize], usize, usize); 6] = [
            (&[100], 0, 0),
            (&[20_000, 20_000], 0, 0),
            (&[20_000, 20_000, 30_000], 3, 1),
            (&[100_000, 100], 2, 1),
            (&[100_000, 30_000, 100], 1, 1),
            (&[300_000], 1, 3),
        ];
        for (sizes, taken, values) in rows {
            let batches = batches(sizes);
            let layout = lay_out(&batches, true);
            assert_eq!((layout.batches, layout.values.len()), (taken, values));
            assert_eq!(lay_out(&batches, false).batches, sizes.len());
        }
    }

    #[test]
    fn keys_sort_as_offsets_and_chunks_do() {
        let key = |offset, chunk, chunks| Key {
            offset: Offset(offset),
            chunk,
            chunks,
        };
        let keys = [key(0, 0, 1), key(1, 0, 3), key(1, 2, 3), key(256, 0, 1)];
        assert!(keys.windows(2).all(|w| w[0].to_bytes() < w[1].to_bytes()));
        for key in keys {
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
        for other in [&b"time"[..], b"", &[255; 12], &[0; 12]] {
            assert_eq!(Key::from_bytes(other), None);
        }
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(|t| sortable(Timestamp(t)));
        assert!(times.is_sorted());
    }

    #[test]
    fn a_missing_chunk_is_noticed() {
        let batches = batches(&[300_000]);
        let values = lay_out(&batches, true).values;
        let mut scratch = Vec::new();
        let stored = Bytes::copy_from_slice(values[0].bytes(&mut scratch));
        for order in [[0, 2], [1, 2], [0, 0]] {
            let mut assembler = Assembler::default();
            let pushed = order.map(|n| assembler.push(values[n].key, stored.clone()));
            assert!(pushed.iter().any(Result::is_err), "{order:?}");
        }
        for cut in [0, 1, 11, 12, 60] {
            let mut bytes = batches[0].bytes().slice(..cut);
            assert_eq!(take_batch(&mut bytes).is_ok(), cut == 0);
        }
    }
}
