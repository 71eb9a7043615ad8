//! Batches for the tests of this crate.

use bytes::Bytes;
use wstream_record::{BatchBuilder, ProducerStamp, Record, RecordBatch, Timestamp};

/// A batch of `count` records with values of `bytes` bytes, all at time 1,000.
pub(crate) fn batch_of(count: usize, bytes: usize, producer: Option<ProducerStamp>) -> RecordBatch {
    batch_at(&vec![1_000; count], bytes, producer)
}

/// A batch with one record of `bytes` bytes per timestamp.
pub(crate) fn batch_at(
    timestamps: &[i64],
    bytes: usize,
    producer: Option<ProducerStamp>,
) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for &timestamp in timestamps {
        builder.push(&Record {
            timestamp: Timestamp(timestamp),
            value: Some(Bytes::from(vec![b'v'; bytes])),
            ..Record::default()
        });
    }
    builder.finish(producer).expect("the batch has records")
}
