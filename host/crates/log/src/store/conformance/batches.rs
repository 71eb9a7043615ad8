//! Batches whose contents tell them apart.

use bytes::Bytes;
use wstream_record::{
    BatchBuilder, BatchError, Offset, ProducerId, Record, RecordBatch, Timestamp,
};

use crate::store::Aborted;

pub(super) const TRANSACTIONAL: u8 = 1 << 4;
pub(super) const CONTROL: u8 = 1 << 5;
/// The key of a marker that aborts.
const ABORTS: &str = "aborts";
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

/// A control batch that says what it aborts, so that a start can tell.
pub(super) fn aborting(producer: i64, first: Offset, stable: Offset) -> RecordBatch {
    let numbers = [producer, first.0, stable.0].map(|n| n.to_string());
    let batch = keyed(1_000, &[(Some(ABORTS), Some(&numbers.join(" ")))]);
    with_attributes(&batch, TRANSACTIONAL | CONTROL)
}

/// What such a batch aborts.
pub(super) fn aborted_by(batch: &RecordBatch) -> Option<Aborted> {
    let records = batch.records().ok()?;
    let record = &records.first()?.record;
    if record.key.as_deref() != Some(ABORTS.as_bytes()) {
        return None;
    }
    let text = std::str::from_utf8(record.value.as_deref()?).ok()?;
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
    Some(Aborted {
        producer: ProducerId(numbers.next()?),
        first: Offset(numbers.next()?),
        last: batch.header().base_offset,
        stable: Offset(numbers.next()?),
    })
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
