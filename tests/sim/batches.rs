//! Batches that tell themselves apart: each record carries the number of its batch and its place in
//! it, so that what is read says where it came from.

use bytes::{Buf, BufMut, Bytes};
use wstream_record::{
    BatchBuilder, BatchError, Header, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    ProducerStamp, Record, RecordBatch, Sequence, Timestamp,
};

use crate::testing::Random;

const TRANSACTIONAL: u8 = 1 << 4;
const CONTROL: u8 = 1 << 5;

/// A record as it must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rec {
    /// The number of its batch, and its place in it.
    pub(super) batch: u64,
    pub(super) place: u32,
    pub(super) key: Option<u8>,
    pub(super) tombstone: bool,
    pub(super) time: i64,
    /// Of key and value.
    pub(super) digest: u32,
}

/// What a batch is to be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) keyed: bool,
    pub(super) time: i64,
}

impl Shape {
    /// Mostly small, now and then a value of its own or several.
    pub(super) fn any(random: &mut Random, keyed: bool, now: i64) -> Self {
        let (records, bytes) = match random.below(40) {
            0 => (1, 100_000 + random.below(220_000)),
            1..4 => (1, 30_000 + random.below(40_000)),
            4..10 => (1 + random.below(3), random.below(4_000)),
            _ => (1 + random.below(5), random.below(200)),
        };
        let time = match random.below(30) {
            0 => Timestamp::MAX_VALID.0,
            1 => 0,
            _ => now - i64::try_from(random.below(5_000)).unwrap(),
        };
        Self {
            records,
            bytes,
            keyed,
            time,
        }
    }
}

/// The batch of a number, and what must be found of it.
pub(super) fn numbered(
    number: u64,
    shape: Shape,
    stamp: Option<ProducerStamp>,
    random: &mut Random,
) -> (RecordBatch, Vec<Rec>) {
    let mut builder = BatchBuilder::new();
    for place in 0..shape.records {
        let key = shape.keyed.then(|| u8::try_from(random.below(6)).unwrap());
        let tombstone = shape.keyed && random.below(8) == 0;
        let mut label = Vec::new();
        label.put_u64(number);
        label.put_u32(u32::try_from(place).unwrap());
        let fill = u8::try_from(number % 251).unwrap();
        builder.push(&Record {
            timestamp: Timestamp(shape.time - i64::try_from(place % 7).unwrap().min(shape.time)),
            key: key.map(|key| Bytes::from(vec![key])),
            value: (!tombstone).then(|| Bytes::from(vec![fill; shape.bytes])),
            headers: vec![Header {
                name: Bytes::from_static(b"n"),
                value: Some(label.into()),
            }],
        });
    }
    let batch = builder.finish(stamp).unwrap();
    let recs = records_of(&batch).into_iter().map(|(_, rec)| rec).collect();
    (batch, recs)
}

/// The records of a batch with their offsets; none of a control batch.
pub(super) fn records_of(batch: &RecordBatch) -> Vec<(i64, Rec)> {
    if batch.header().is_control() {
        return Vec::new();
    }
    let records = batch.records().expect("what was stored reads");
    let found = records.into_iter().map(|stored| {
        let record = stored.record;
        let label = record.headers.first().and_then(|h| h.value.clone());
        let mut label = label.expect("each record has a label");
        let mut digest = crc32c::crc32c(record.key.as_deref().unwrap_or_default());
        digest = crc32c::crc32c_append(digest, record.value.as_deref().unwrap_or_default());
        let rec = Rec {
            batch: label.get_u64(),
            place: label.get_u32(),
            key: record.key.as_ref().and_then(|key| key.first().copied()),
            tombstone: record.value.is_none(),
            time: record.timestamp.0,
            digest,
        };
        (stored.offset.0, rec)
    });
    found.collect()
}

/// A batch of a transaction.
pub(super) fn transactional(batch: &RecordBatch) -> RecordBatch {
    with_attributes(batch, TRANSACTIONAL)
}

/// The marker that ends a producer's transaction.
pub(super) fn marker(producer: i64, commit: bool, time: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    let mut key = Vec::new();
    key.put_i16(0);
    key.put_i16(i16::from(commit));
    builder.push(&Record {
        timestamp: Timestamp(time),
        key: Some(key.into()),
        value: Some(Bytes::from_static(&[0; 6])),
        ..Record::default()
    });
    let stamp = ProducerStamp {
        id: ProducerId(producer),
        epoch: ProducerEpoch(0),
        sequence: Sequence(-1),
    };
    let batch = builder.finish(Some(stamp)).unwrap();
    with_attributes(&batch, TRANSACTIONAL | CONTROL)
}

/// The batch at a place, as a leader's.
pub(super) fn placed(batch: RecordBatch, base: i64, epoch: LeaderEpoch) -> RecordBatch {
    batch.at(Offset(base), epoch)
}

fn with_attributes(batch: &RecordBatch, attributes: u8) -> RecordBatch {
    let mut bytes = batch.bytes().to_vec();
    bytes[22] = attributes;
    if let Err(BatchError::Crc { computed, .. }) = RecordBatch::parse(bytes.clone().into()) {
        bytes[17..21].copy_from_slice(&computed.to_be_bytes());
    }
    RecordBatch::parse(bytes.into()).unwrap()
}
