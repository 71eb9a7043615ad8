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

/// Numbers that a seed determines.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % bound.max(1)
    }
}
