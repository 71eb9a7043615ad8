//! Kafka's record batch, version 2: the unit that is produced, stored, replicated and fetched.
//!
//! `RecordBatch` holds one whole batch whose length, version and CRC have been checked.
//! Base offset and leader epoch lie before the bytes that the CRC covers, so the log stamps them
//! without touching the rest. Records are read here when the batch is not compressed;
//! `wstream-kafka` decompresses. Nothing in this file trusts a length.
//! Format: Kafka's `DefaultRecordBatch` and `DefaultRecord`.

mod records;

use bytes::{Buf, Bytes, BytesMut};

use crate::varint;
use crate::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, Record, Sequence, StoredRecord, Timestamp,
};

pub use records::decode_records;

/// Bytes from the base offset to the record count.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes before those that the length field counts: base offset and the length itself.
/// Bits of the attributes.
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the CRC's coverage starts.
const CRC_START: usize = 21;
/// Most headers of one record.
pub const HEADERS_MAX: usize = 10_000;

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch says it has, or fewer than a header.
    #[error("batch is cut: {have} bytes of {need}")]
    Cut {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// Formats 0 and 1 of old clients, or garbage.
    #[error("record format {magic} is not supported, only 2 is")]
    Magic {
        /// The version byte.
        magic: i8,
    },
    /// The checksum does not match.
    #[error("checksum is {computed:#010x}, the batch says {stated:#010x}")]
    Crc {
        /// Of the bytes.
        computed: u32,
        /// In the header.
        stated: u32,
    },
    /// A field has a value that no producer writes.
    #[error("batch is malformed: {0}")]
    Malformed(&'static str),
    /// The records are compressed: read them with `wstream-kafka`.
    #[error("records are compressed with {0:?}")]
    Compressed(Compression),
}

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// snappy, in xerial's framing.
    Snappy,
    /// lz4 frames.
    Lz4,
    /// zstd.
    Zstd,
}

impl Compression {
    /// The codec in the attributes' low three bits.
    fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & 0b111 {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(BatchError::Malformed("unknown compression")),
        }
    }
}

/// The idempotent producer's mark on a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Who.
    pub id: ProducerId,
    /// Which incarnation.
    pub epoch: ProducerEpoch,
    /// The first record's number.
    pub sequence: Sequence,
}

/// What a batch says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Epoch of the leader that stored it.
    pub leader_epoch: LeaderEpoch,
    /// Raw attribute bits: compression 0-2, log-append time 3, transactional 4, control 5.
    pub attributes: i16,
    /// Last offset less base offset.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from.
    pub base_timestamp: Timestamp,
    /// Largest timestamp.
    pub max_timestamp: Timestamp,
    /// The producer, if idempotent.
    pub producer: Option<ProducerStamp>,
    /// Number of records.
    pub records: i32,
    /// How they are compressed.
    pub compression: Compression,
}

impl BatchHeader {
    /// The offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta) + 1)
    }

    /// A transaction marker, which holds no user records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }
}

/// One whole, checked batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBatch {
    bytes: Bytes,
    header: BatchHeader,
}

impl RecordBatch {
    /// Takes exactly one batch.
    ///
    /// # Errors
    /// The bytes are cut, of another format, fail the checksum, or more than one batch.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::parse_trusted(bytes)?;
        batch.check_crc()?;
        Ok(batch)
    }

    /// As `parse`, without the checksum: for bytes this process checked when it stored them.
    ///
    /// # Errors
    /// The bytes are cut, of another format, or more than one batch.
    pub fn parse_trusted(bytes: Bytes) -> Result<Self, BatchError> {
        let need = batch_bytes(&bytes)?;
        if bytes.len() != need {
            return Err(BatchError::Malformed("bytes after the batch"));
        }
        let header = read_header(&bytes)?;
        Ok(Self { bytes, header })
    }

    /// Takes the first batch off the front of `bytes`; `None` when there are none left.
    ///
    /// # Errors
    /// As `parse`.
    pub fn take_first(bytes: &mut Bytes) -> Result<Option<Self>, BatchError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let need = batch_bytes(bytes)?;
        Self::parse(bytes.split_to(need)).map(Some)
    }

    /// As `take_first`, without the checksum: for bytes that were checked when they were stored.
    ///
    /// # Errors
    /// As `parse_trusted`.
    pub fn take_first_trusted(bytes: &mut Bytes) -> Result<Option<Self>, BatchError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let need = batch_bytes(bytes)?;
        Self::parse_trusted(bytes.split_to(need)).map(Some)
    }

    /// Compares the stated checksum with that of the bytes.
    ///
    /// # Errors
    /// They differ.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let stated = (&self.bytes[17..CRC_START]).get_u32();
        let computed = crc32c::crc32c(&self.bytes[CRC_START..]);
        if stated == computed {
            Ok(())
        } else {
            Err(BatchError::Crc { computed, stated })
        }
    }

    /// What the batch says of itself.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The encoded batch.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The encoded batch, by value.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The bytes after the header: records, compressed as the header says.
    #[must_use]
    pub fn records_bytes(&self) -> Bytes {
        self.bytes.slice(BATCH_HEADER_BYTES..)
    }

    /// Stamps place and epoch. In place when nobody else holds the bytes, else on a copy.
    #[must_use]
    pub fn at(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        let mut bytes = self
            .bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        bytes[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
        let header = BatchHeader {
            base_offset,
            leader_epoch,
            ..self.header
        };
        Self {
            bytes: bytes.freeze(),
            header,
        }
    }

    /// Gives all records the time at which they were appended, as Kafka's `LogAppendTime` does.
    #[must_use]
    pub fn with_append_time(self, now: Timestamp) -> Self {
        let mut bytes = self
            .bytes
            .try_into_mut()
            .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let header = BatchHeader {
            attributes: self.header.attributes | (1 << 3),
            base_timestamp: now,
            max_timestamp: now,
            ..self.header
        };
        bytes[21..23].copy_from_slice(&header.attributes.to_be_bytes());
        bytes[27..35].copy_from_slice(&now.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&now.0.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
        Self {
            bytes: bytes.freeze(),
            header,
        }
    }

    /// The records, as slices of the batch.
    ///
    /// # Errors
    /// The records are compressed or malformed.
    pub fn records(&self) -> Result<Vec<StoredRecord>, BatchError> {
        match self.header.compression {
            Compression::None => decode_records(&self.header, &self.records_bytes()),
            other => Err(BatchError::Compressed(other)),
        }
    }
}

/// Bytes of the first batch in `bytes`, checked to be there.
fn batch_bytes(bytes: &Bytes) -> Result<usize, BatchError> {
    if bytes.len() < BATCH_HEADER_BYTES {
        return Err(BatchError::Cut {
            have: bytes.len(),
            need: BATCH_HEADER_BYTES,
        });
    }
    let length = (&bytes[8..12]).get_i32();
    let magic = (&bytes[16..17]).get_i8();
    if magic != 2 {
        return Err(BatchError::Magic { magic });
    }
    let need = usize::try_from(length)
        .ok()
        .and_then(|n| n.checked_add(LENGTH_PREFIX_BYTES))
        .filter(|&n| n >= BATCH_HEADER_BYTES)
        .ok_or(BatchError::Malformed("length is below that of a header"))?;
    if bytes.len() < need {
        return Err(BatchError::Cut {
            have: bytes.len(),
            need,
        });
    }
    Ok(need)
}

fn read_header(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let mut input = bytes;
    let base_offset = Offset(input.get_i64());
    input.advance(4);
    let leader_epoch = LeaderEpoch(input.get_i32());
    input.advance(5);
    let attributes = input.get_i16();
    let last_offset_delta = input.get_i32();
    let base_timestamp = Timestamp(input.get_i64());
    let max_timestamp = Timestamp(input.get_i64());
    let id = ProducerId(input.get_i64());
    let epoch = ProducerEpoch(input.get_i16());
    let sequence = Sequence(input.get_i32());
    let records = input.get_i32();
    if last_offset_delta < 0 {
        return Err(BatchError::Malformed("last offset is below the first"));
    }
    // Compaction may leave fewer records than offsets, never more.
    if records < 0 || i64::from(records) > i64::from(last_offset_delta) + 1 {
        return Err(BatchError::Malformed(
            "record count does not fit the offsets",
        ));
    }
    let producer = (id.0 >= 0).then_some(ProducerStamp {
        id,
        epoch,
        sequence,
    });
    let compression = Compression::from_attributes(attributes)?;
    Ok(BatchHeader {
        base_offset,
        leader_epoch,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer,
        records,
        compression,
    })
}

/// Builds an uncompressed batch record by record. Reusable: `finish` empties it.
#[derive(Debug)]
pub struct BatchBuilder {
    out: Vec<u8>,
    records: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        let out = vec![0; BATCH_HEADER_BYTES];
        Self {
            out,
            records: 0,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
        }
    }

    /// Records added since the last `finish`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.cast_unsigned() as usize
    }

    /// Whether no record was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Encoded bytes so far, header included.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.out.len()
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        let headers = record
            .headers
            .iter()
            .map(|h| (&h.name[..], h.value.as_deref()));
        self.push_parts(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        );
    }

    /// Adds a record given in parts, which need not be `Bytes`.
    pub fn push_parts<'a>(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    ) {
        if self.records == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.0.saturating_sub(self.base_timestamp.0);
        let offset_delta = i64::from(self.records);
        let header_count = i64::try_from(headers.len()).expect("headers fit memory");
        let length = 1
            + varint::len(timestamp_delta)
            + varint::len(offset_delta)
            + nullable_len(key)
            + nullable_len(value)
            + varint::len(header_count)
            + headers
                .clone()
                .map(|(n, v)| nullable_len(Some(n)) + nullable_len(v))
                .sum::<usize>();
        varint::put(
            &mut self.out,
            i64::try_from(length).expect("a record fits memory"),
        );
        self.out.push(0);
        varint::put(&mut self.out, timestamp_delta);
        varint::put(&mut self.out, offset_delta);
        put_nullable(&mut self.out, key);
        put_nullable(&mut self.out, value);
        varint::put(&mut self.out, header_count);
        for (name, value) in headers {
            put_nullable(&mut self.out, Some(name));
            put_nullable(&mut self.out, value);
        }
        self.records += 1;
    }

    /// The batch of all records added, at base offset 0; `None` if there are none.
    pub fn finish(&mut self, producer: Option<ProducerStamp>) -> Option<RecordBatch> {
        self.finish_with(producer, 0)
    }

    /// The same as a control batch of a producer's transaction: what a coordinator writes.
    pub fn finish_control(&mut self, producer: ProducerStamp) -> Option<RecordBatch> {
        self.finish_with(Some(producer), TRANSACTIONAL | CONTROL)
    }

    fn finish_with(
        &mut self,
        producer: Option<ProducerStamp>,
        attributes: i16,
    ) -> Option<RecordBatch> {
        if self.records == 0 {
            return None;
        }
        let capacity = self.out.len();
        let mut fresh = Vec::with_capacity(capacity);
        fresh.resize(BATCH_HEADER_BYTES, 0);
        let mut out = std::mem::replace(&mut self.out, fresh);
        let stamp = producer.unwrap_or(ProducerStamp {
            id: ProducerId::NONE,
            epoch: ProducerEpoch(-1),
            sequence: Sequence(-1),
        });
        let length = i32::try_from(out.len() - LENGTH_PREFIX_BYTES)
            .expect("callers bound batches far below 2 GiB");
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[16] = 2;
        out[21..23].copy_from_slice(&attributes.to_be_bytes());
        out[23..27].copy_from_slice(&(self.records - 1).to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        out[43..51].copy_from_slice(&stamp.id.0.to_be_bytes());
        out[51..53].copy_from_slice(&stamp.epoch.0.to_be_bytes());
        out[53..57].copy_from_slice(&stamp.sequence.0.to_be_bytes());
        out[57..61].copy_from_slice(&self.records.to_be_bytes());
        let crc = crc32c::crc32c(&out[CRC_START..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        let header = BatchHeader {
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch(0),
            attributes,
            last_offset_delta: self.records - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer,
            records: self.records,
            compression: Compression::None,
        };
        self.records = 0;
        Some(RecordBatch {
            bytes: Bytes::from(out),
            header,
        })
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(b) => varint::len(i64::try_from(b.len()).expect("a slice fits i64")) + b.len(),
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(b) => {
            varint::put(out, i64::try_from(b.len()).expect("a slice fits i64"));
            out.extend_from_slice(b);
        }
    }
}

#[cfg(test)]
mod tests;
