//! Batches whose contents tell them apart.

use bytes::Bytes;
use wstream_record::{BatchBuilder, BatchError, Record, RecordBatch, Timestamp};

pub(super) const TRANSACTIONAL: u8 = 1 << 4;
pub(super) const CONTROL: u8 = 1 << 5;
pub(super) const ZSTD: u8 = 4;

/// One record for each time, with values of `bytes` times `fill`.
pub(super) fn filled(fill: u8, times: &[i64], bytes: usize) -> RecordBatch {
    let value = Bytes::from(vec![fill; bytes]);
    build(times.iter().map(|&time| Record {
        timestamp: Timestamp(time),
        value: Some(value.clone()),
        ..Record::default()
    }))
}

/// One record of one time whose batch has `bytes` bytes, at least 70 or so.
pub(super) fn sized(fill: u8, bytes: usize) -> RecordBatch {
    let mut value = bytes.saturating_sub(68);
    loop {
        let batch = filled(fill, &[1_000], value);
        if batch.bytes().len() <= bytes || value == 0 {
            return batch;
        }
        value -= 1;
    }
}

/// Records with key and value, all of one time.
pub(super) fn keyed(time: i64, records: &[(Option<&str>, Option<&str>)]) -> RecordBatch {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    build(records.iter().map(|(key, value)| Record {
        timestamp: Timestamp(time),
        key: key.map(bytes),
        value: value.map(bytes),
        headers: Vec::new(),
    }))
}

fn build(records: impl Iterator<Item = Record>) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    records.for_each(|record| builder.push(&record));
    builder.finish(None).unwrap()
}

/// The batch with these attributes, and the checksum that they need.
pub(super) fn with_attributes(batch: &RecordBatch, attributes: u8) -> RecordBatch {
    let mut bytes = batch.bytes().to_vec();
    bytes[22] = attributes;
    if let Err(BatchError::Crc { computed, .. }) = RecordBatch::parse(bytes.clone().into()) {
        bytes[17..21].copy_from_slice(&computed.to_be_bytes());
    }
    RecordBatch::parse(bytes.into()).unwrap()
}
