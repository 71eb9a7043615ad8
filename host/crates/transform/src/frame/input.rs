//! Encodes the input frame straight into the guest's memory.

use bytes::Bytes;
use wstream_record::{PartitionId, Record, StoredRecord, TopicName};

/// Offset, timestamp, the two lengths and the header count.
const RECORD_BYTES_MIN: usize = 8 + 8 + 4 + 4 + 4;

/// Bytes a record takes in the frame.
pub(crate) fn record_bytes(record: &Record) -> usize {
    RECORD_BYTES_MIN + record.payload_bytes() + record.headers.len() * 8
}

/// Bytes of the frame that `encode` writes.
pub(crate) fn frame_bytes(topic: &TopicName, records: &[StoredRecord]) -> usize {
    let records: usize = records.iter().map(|r| record_bytes(&r.record)).sum();
    2 + topic.as_str().len() + 4 + 4 + records
}

/// Writes the frame; `out` must be exactly `frame_bytes` long. False if it is not, or if a length
/// does not fit its field.
#[must_use]
pub(crate) fn encode(
    out: &mut [u8],
    topic: &TopicName,
    partition: PartitionId,
    records: &[StoredRecord],
) -> bool {
    let mut rest = out;
    write_all(&mut rest, topic, partition, records).is_some() && rest.is_empty()
}

fn write_all(
    out: &mut &mut [u8],
    topic: &TopicName,
    partition: PartitionId,
    records: &[StoredRecord],
) -> Option<()> {
    let name = topic.as_str().as_bytes();
    put(out, &u16::try_from(name.len()).ok()?.to_le_bytes())?;
    put(out, name)?;
    put(out, &partition.0.to_le_bytes())?;
    put(out, &u32::try_from(records.len()).ok()?.to_le_bytes())?;
    for StoredRecord { offset, record } in records {
        put_fixed(out, offset.0.to_le_bytes())?;
        put_fixed(out, record.timestamp.0.to_le_bytes())?;
        put_nullable(out, record.key.as_ref())?;
        put_nullable(out, record.value.as_ref())?;
        put_fixed(out, u32::try_from(record.headers.len()).ok()?.to_le_bytes())?;
        for header in &record.headers {
            put(out, &u32::try_from(header.name.len()).ok()?.to_le_bytes())?;
            put(out, &header.name)?;
            put_nullable(out, header.value.as_ref())?;
        }
    }
    Some(())
}

#[inline]
fn put_nullable(out: &mut &mut [u8], bytes: Option<&Bytes>) -> Option<()> {
    match bytes {
        None => put_fixed(out, (-1i32).to_le_bytes()),
        Some(bytes) => {
            put_fixed(out, i32::try_from(bytes.len()).ok()?.to_le_bytes())?;
            put(out, bytes)
        }
    }
}

/// A field whose length the compiler knows.
#[inline]
fn put_fixed<const N: usize>(out: &mut &mut [u8], bytes: [u8; N]) -> Option<()> {
    let (head, tail) = std::mem::take(out).split_first_chunk_mut()?;
    *head = bytes;
    *out = tail;
    Some(())
}

#[inline]
fn put(out: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (head, tail) = std::mem::take(out).split_at_mut_checked(bytes.len())?;
    head.copy_from_slice(bytes);
    *out = tail;
    Some(())
}
