//! How entries become values of a segment's database, and values entries again.
//!
//! ```text
//! packed    head  0u8 | appended i64
//!           bytes kind u8 | topic [16] | partition i32 | length u32 | payload, again and again
//! alone     head  1u8 | appended i64 | topic [16] | partition i32 | chunk u16 | chunks u16
//!           bytes one batch, or a chunk of one
//! ```
//!
//! All integers are big-endian. Batches of one partition that follow each other in a packed value
//! are one entry. A batch of 32 KiB or more is a value of its own, and above 120 KiB several of
//! equal size. Within a partition the order of values is that of its entries.

use bytes::{Buf, Bytes};
use wstream_record::{Offset, PartitionId, RecordBatch, Timestamp, TopicId};

use crate::sled::{Database, Fault, VALUE_BYTES_MAX};
use crate::store::{Entry, PartitionKey};

/// Bytes at which a packed value is complete.
pub(super) const PACKED_BYTES: usize = 100 << 10;
/// Bytes from which a batch is a value of its own.
pub(super) const ALONE_BYTES_MIN: usize = 32 << 10;
/// Bytes of the largest chunk of a batch that does not fit into one value.
const CHUNK_BYTES: usize = 100 << 10;
/// Bytes before an entry's payload.
pub(super) const ENTRY_HEAD_BYTES: usize = 25;

const PACKED: u8 = 0;
const ALONE: u8 = 1;

const BATCHES: u8 = 0;
const START: u8 = 1;
const END: u8 = 2;
const RESET: u8 = 3;
const HIGH_WATERMARK: u8 = 4;
const GONE: u8 = 5;
const SKIP: u8 = 6;

/// What an entry of a value says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Whole batches, `at` bytes into the value; `values` values, more than one if chunked.
    Batches {
        bytes: Bytes,
        at: u32,
        values: u32,
    },
    Start(Offset),
    End(Offset),
    Reset(Offset),
    HighWatermark(Offset),
    Gone,
    /// The next batch begins here: what lies between was never there.
    Skip(Offset),
}

/// What each segment begins with: a value without entries, so that one that holds nothing has lost
/// something.
pub(super) fn begin<P: Put>(appended: Timestamp, to: &mut P) -> Result<(), P::Error> {
    to.put(&packed_head(appended), &[]).map(|_number| ())
}

fn packed_head(appended: Timestamp) -> [u8; 9] {
    let mut head = [0; 9];
    head[0] = PACKED;
    head[1..].copy_from_slice(&appended.0.to_be_bytes());
    head
}

/// Takes values as they are complete.
pub(super) trait Put {
    type Error;
    /// Stores a value and answers its number.
    fn put(&mut self, head: &[u8], bytes: &[u8]) -> Result<u32, Self::Error>;
    /// The number that the next value will have.
    fn next(&self) -> u32;
}

impl Put for &dyn Database {
    type Error = Fault;
    fn put(&mut self, head: &[u8], bytes: &[u8]) -> Result<u32, Fault> {
        (**self).put(head, bytes)
    }
    fn next(&self) -> u32 {
        self.values()
    }
}

/// Where the bytes of some batches went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Went {
    /// The value, or the first of its chunks.
    pub(super) value: u32,
    pub(super) at: u32,
}

/// Packs entries into values, in order.
#[derive(Debug, Default)]
pub(super) struct Packer {
    packed: Vec<u8>,
    /// Where the last entry begins, if it holds batches.
    last: Option<(PartitionKey, usize)>,
}

impl Packer {
    /// Whether `bytes` more of a partition fit into the packed value that is being made.
    fn fits(&self, bytes: usize) -> bool {
        self.packed.len() + ENTRY_HEAD_BYTES + bytes <= PACKED_BYTES
    }

    /// Adds one or several whole batches.
    pub(super) fn batches<P: Put>(
        &mut self,
        key: PartitionKey,
        batches: &[u8],
        appended: Timestamp,
        to: &mut P,
    ) -> Result<Went, P::Error> {
        if batches.len() >= ALONE_BYTES_MIN {
            self.finish(appended, to)?;
            return alone(key, batches, appended, to).map(|value| Went { value, at: 0 });
        }
        if !self.fits(batches.len()) {
            self.finish(appended, to)?;
        }
        let next = to.next();
        match self.last {
            Some((of, begin)) if of == key => {
                let at = self.packed.len();
                self.packed.extend_from_slice(batches);
                let length = self.packed.len() - begin - ENTRY_HEAD_BYTES;
                let length = u32::try_from(length).expect("a packed value is small");
                self.packed[begin + 21..begin + ENTRY_HEAD_BYTES]
                    .copy_from_slice(&length.to_be_bytes());
                Ok(went(next, at))
            }
            _ => {
                let begin = self.packed.len();
                self.entry(BATCHES, key, batches);
                self.last = Some((key, begin));
                Ok(went(next, begin + ENTRY_HEAD_BYTES))
            }
        }
    }

    /// Adds an entry that is no batch.
    pub(super) fn control<P: Put>(
        &mut self,
        key: PartitionKey,
        entry: &Entry,
        appended: Timestamp,
        to: &mut P,
    ) -> Result<(), P::Error> {
        let (kind, offset) = match entry {
            Entry::Batch(_) => return Ok(()),
            Entry::Start(at) => (START, Some(*at)),
            Entry::End(at) => (END, Some(*at)),
            Entry::Reset(at) => (RESET, Some(*at)),
            Entry::HighWatermark(at) => (HIGH_WATERMARK, Some(*at)),
            Entry::Gone => (GONE, None),
        };
        self.offset_entry(kind, key, offset, appended, to)
    }

    /// Says that the partition's next batch begins at `to_offset` though it ends before.
    pub(super) fn skip<P: Put>(
        &mut self,
        key: PartitionKey,
        to_offset: Offset,
        appended: Timestamp,
        to: &mut P,
    ) -> Result<(), P::Error> {
        self.offset_entry(SKIP, key, Some(to_offset), appended, to)
    }

    fn offset_entry<P: Put>(
        &mut self,
        kind: u8,
        key: PartitionKey,
        offset: Option<Offset>,
        appended: Timestamp,
        to: &mut P,
    ) -> Result<(), P::Error> {
        if !self.fits(8) {
            self.finish(appended, to)?;
        }
        match offset {
            Some(offset) => self.entry(kind, key, &offset.0.to_be_bytes()),
            None => self.entry(kind, key, &[]),
        }
        self.last = None;
        Ok(())
    }

    fn entry(&mut self, kind: u8, key: PartitionKey, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a packed value is small");
        self.packed.push(kind);
        put_key(&mut self.packed, key);
        self.packed.extend_from_slice(&length.to_be_bytes());
        self.packed.extend_from_slice(payload);
    }

    /// Puts what waits.
    pub(super) fn finish<P: Put>(
        &mut self,
        appended: Timestamp,
        to: &mut P,
    ) -> Result<(), P::Error> {
        if self.packed.is_empty() {
            return Ok(());
        }
        to.put(&packed_head(appended), &self.packed)?;
        self.clear();
        Ok(())
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.packed.clear();
        self.last = None;
    }
}

fn went(value: u32, at: usize) -> Went {
    let at = u32::try_from(at).expect("a packed value is small");
    Went { value, at }
}

fn alone<P: Put>(
    key: PartitionKey,
    batch: &[u8],
    appended: Timestamp,
    to: &mut P,
) -> Result<u32, P::Error> {
    let count = if batch.len() <= VALUE_BYTES_MAX {
        1
    } else {
        batch.len().div_ceil(CHUNK_BYTES)
    };
    let size = batch.len().div_ceil(count).max(1);
    let chunks = u16::try_from(count).expect("a batch is bounded by max.message.bytes");
    let mut first = None;
    for (chunk, bytes) in (0_u16..).zip(batch.chunks(size)) {
        let mut head = [0; 33];
        head[0] = ALONE;
        head[1..9].copy_from_slice(&appended.0.to_be_bytes());
        head[9..25].copy_from_slice(&key.topic.0);
        head[25..29].copy_from_slice(&key.partition.0.to_be_bytes());
        head[29..31].copy_from_slice(&chunk.to_be_bytes());
        head[31..].copy_from_slice(&chunks.to_be_bytes());
        let number = to.put(&head, bytes)?;
        first.get_or_insert(number);
    }
    Ok(first.unwrap_or(0))
}

/// Puts values and their chunks together again and says what they hold, in order.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    chunks: Option<Chunks>,
}

#[derive(Debug)]
struct Chunks {
    key: PartitionKey,
    first: u32,
    appended: Timestamp,
    count: u16,
    have: u16,
    bytes: Vec<u8>,
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// The value, or the first of the chunks.
    pub(super) value: u32,
    pub(super) appended: Timestamp,
    pub(super) entries: Vec<(PartitionKey, Said)>,
}

impl Unpacker {
    /// Takes the next value. `None` while chunks are missing.
    ///
    /// # Errors
    /// The value is none that this version writes; nothing of it counts.
    pub(super) fn push(
        &mut self,
        number: u32,
        head: &[u8],
        bytes: &Bytes,
    ) -> Result<Option<Unpacked>, &'static str> {
        let mut head = head;
        let form = head.try_get_u8().map_err(|_| "a value has no head")?;
        let appended = head.try_get_i64().map_err(|_| "a value's head is cut")?;
        let appended = Timestamp(appended);
        match form {
            PACKED => {
                self.chunks = None;
                let entries = unpack(bytes)?;
                Ok(Some(Unpacked {
                    value: number,
                    appended,
                    entries,
                }))
            }
            ALONE => self.push_alone(number, appended, head, bytes),
            _ => Err("a value is of an unknown form"),
        }
    }

    fn push_alone(
        &mut self,
        number: u32,
        appended: Timestamp,
        mut head: &[u8],
        bytes: &Bytes,
    ) -> Result<Option<Unpacked>, &'static str> {
        let key = take_key(&mut head).ok_or("a value's head is cut")?;
        let chunk = head.try_get_u16().map_err(|_| "a value's head is cut")?;
        let count = head.try_get_u16().map_err(|_| "a value's head is cut")?;
        if count == 1 {
            self.chunks = None;
            return Ok(Some(whole(number, appended, key, bytes.clone(), 1)));
        }
        if chunk == 0 {
            self.chunks = Some(Chunks {
                key,
                first: number,
                appended,
                count,
                have: 0,
                bytes: Vec::with_capacity(bytes.len() * usize::from(count)),
            });
        }
        let follows = self.chunks.as_ref().is_some_and(|c| {
            c.key == key
                && c.count == count
                && c.have == chunk
                && c.first.checked_add(u32::from(chunk)) == Some(number)
        });
        let Some(chunks) = self.chunks.as_mut().filter(|_| follows) else {
            self.chunks = None;
            return Err("a chunk follows none of its batch");
        };
        chunks.bytes.extend_from_slice(bytes);
        chunks.have += 1;
        if chunks.have < chunks.count {
            return Ok(None);
        }
        let done = self.chunks.take().expect("it was just there");
        let bytes = Bytes::from(done.bytes);
        let values = u32::from(count);
        Ok(Some(whole(done.first, done.appended, key, bytes, values)))
    }
}

fn whole(
    value: u32,
    appended: Timestamp,
    key: PartitionKey,
    bytes: Bytes,
    values: u32,
) -> Unpacked {
    let said = Said::Batches {
        bytes,
        at: 0,
        values,
    };
    Unpacked {
        value,
        appended,
        entries: vec![(key, said)],
    }
}

fn unpack(value: &Bytes) -> Result<Vec<(PartitionKey, Said)>, &'static str> {
    let mut entries = Vec::new();
    let mut rest: &[u8] = value;
    while !rest.is_empty() {
        let kind = rest.get_u8();
        let key = take_key(&mut rest).ok_or("an entry's head is cut")?;
        let length = rest.try_get_u32().map_err(|_| "an entry's head is cut")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (payload, after) = rest.split_at_checked(length).ok_or("an entry is cut")?;
        let at = u32::try_from(value.len() - rest.len()).map_err(|_| "a value is too large")?;
        rest = after;
        let offset = || {
            let bytes: [u8; 8] = payload.try_into().map_err(|_| "an entry has no offset")?;
            Ok::<_, &'static str>(Offset(i64::from_be_bytes(bytes)))
        };
        let said = match kind {
            BATCHES => Said::Batches {
                bytes: value.slice_ref(payload),
                at,
                values: 1,
            },
            START => Said::Start(offset()?),
            END => Said::End(offset()?),
            RESET => Said::Reset(offset()?),
            HIGH_WATERMARK => Said::HighWatermark(offset()?),
            GONE => Said::Gone,
            SKIP => Said::Skip(offset()?),
            _ => return Err("an entry is of an unknown kind"),
        };
        entries.push((key, said));
    }
    Ok(entries)
}

/// The partition that a value of its own belongs to; `None` for a packed one.
pub(super) fn chunks_of(head: &[u8]) -> Option<u16> {
    let mut count = head.get(31..33)?;
    (head.first() == Some(&ALONE)).then(|| count.get_u16())
}

/// Puts a key at the end.
pub(super) fn put_key(out: &mut Vec<u8>, key: PartitionKey) {
    out.extend_from_slice(&key.topic.0);
    out.extend_from_slice(&key.partition.0.to_be_bytes());
}

/// Takes a key off the front.
pub(super) fn take_key(from: &mut &[u8]) -> Option<PartitionKey> {
    let (topic, rest) = from.split_first_chunk::<16>()?;
    let (partition, rest) = rest.split_first_chunk::<4>()?;
    *from = rest;
    Some(PartitionKey {
        topic: TopicId(*topic),
        partition: PartitionId(i32::from_be_bytes(*partition)),
    })
}

/// Walks over whole batches in `bytes` without copying them.
///
/// # Errors
/// What is there is no batch.
pub(super) fn each_batch(
    bytes: &Bytes,
    mut look: impl FnMut(RecordBatch, usize) -> bool,
) -> Result<(), wstream_record::BatchError> {
    let mut rest = bytes.clone();
    loop {
        let at = bytes.len() - rest.len();
        let Some(batch) = RecordBatch::take_first_trusted(&mut rest)? else {
            return Ok(());
        };
        if !look(batch, at) {
            return Ok(());
        }
    }
}
