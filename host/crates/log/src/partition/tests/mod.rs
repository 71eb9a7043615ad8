//! What a partition promises, over a store in memory and in an order that a seed determines.

mod commits;
mod following;
mod model;
mod reads;
mod roles;
mod transactions;

use wstream_record::{
    ByteSize, Offset, ProducerEpoch, ProducerId, ProducerStamp, RecordBatch, Sequence,
};

use super::*;
use crate::testing::{Node, batch_at, batch_of};
use crate::topic::TopicSpec;

const ALL: ByteSize = ByteSize::mib(100);

fn partition(node: &Node) -> Partition {
    node.partition("t", TopicSpec::default())
}

fn stamped(sequence: i32) -> RecordBatch {
    let stamp = ProducerStamp {
        id: ProducerId(9),
        epoch: ProducerEpoch(0),
        sequence: Sequence(sequence),
    };
    batch_of(2, 10, Some(stamp))
}

/// The batch with the attributes of a transaction's, and more.
fn transactional(batch: RecordBatch, more: u8) -> RecordBatch {
    let mut bytes = batch.into_bytes().to_vec();
    bytes[22] |= (1 << 4) | more;
    RecordBatch::parse_trusted(bytes.into()).unwrap()
}

/// A batch of the leader, two offsets long.
fn led(base: i64, epoch: i32) -> RecordBatch {
    batch_of(2, 10, None).at(Offset(base), LeaderEpoch(epoch))
}

fn append(node: &Node, partition: &Partition, count: usize) -> Appended {
    let appended = node.run(partition.append(batch_of(count, 10, None)));
    appended.unwrap()
}

fn fetch(node: &Node, partition: &Partition, from: i64, upto: Upto) -> Fetched {
    let fetched = node.run(partition.fetch(Offset(from), ALL, upto, None));
    fetched.unwrap()
}

fn bases(fetched: &Fetched) -> Vec<i64> {
    let batches = fetched.batches().unwrap();
    batches.iter().map(|b| b.header().base_offset.0).collect()
}

/// Start, stable, high watermark, end.
fn marks(partition: &Partition) -> [i64; 4] {
    let marks = partition.marks();
    [
        marks.log_start.0,
        marks.last_stable.0,
        marks.high_watermark.0,
        marks.log_end.0,
    ]
}
