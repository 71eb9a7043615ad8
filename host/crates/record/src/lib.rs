//! The vocabulary of wstream: topics, partitions, offsets, records, and the record batch that
//! carries them through the log.
//!
//! Every id, position and size of the project is a type of this crate; bare integers stay inside
//! one function. The batch is Kafka's record batch v2, byte for byte, because the log stores what
//! producers send and Kafka consumers read what the log stores.
//! The crate does no I/O, knows no async, and does not compress: `wstream-kafka` does.

pub mod batch;
mod clock;
mod ids;
mod json;
mod record;
pub mod varint;

pub use batch::{BatchBuilder, BatchError, BatchHeader, Compression, ProducerStamp, RecordBatch};
pub use clock::{Clock, ManualClock};
pub use ids::{
    ByteSize, CoordinatorEpoch, InvalidTopicId, InvalidTopicName, LeaderEpoch, Offset, PartitionId,
    ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId, TopicName, TopicPartition,
};
pub use json::{JsonRecord, JsonRecordError};
pub use record::{Header, Record, StoredRecord};
