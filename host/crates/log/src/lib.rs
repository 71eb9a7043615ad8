//! The partitioned log of wstream: an acknowledged append survives, in its order, what the
//! node's durability says; readers see it whole or not at all.
//!
//! `Log` holds topics, `Partition` appends and reads. The line where an append is acknowledged
//! is in `partition/group/part.rs`, `Part::answer`; what happened before it is told there.
//! Record batches are stored as they came, with offset and leader epoch stamped in.
//! This crate does not decompress and does not route records to partitions.

mod config;
mod data_dir;
mod derived;
mod errors;
mod health;
mod log;
mod metadata;
mod numbers;
mod partition;
mod pool;
mod retention;
#[cfg(test)]
#[path = "../../../../tests/sim/mod.rs"]
mod sim;
mod sled;
mod store;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topic;

pub use config::{Durability, LogConfig};
pub use data_dir::{DataDir, DataDirError, FORMAT};
pub use derived::{EpochEnd, EpochStart, Marker};
pub use errors::{
    AppendError, DeleteError, DocumentError, MetadataError, OpenError, ReadError, StoreError,
    TopicError,
};
pub use health::Problem;
pub use log::{Forgotten, ForgottenPartition, Log};
pub use metadata::{DOCUMENT_BYTES_MAX, Entropy, Metadata, Restored};
pub use partition::{
    AppendTicket, Appended, Commit, Fetched, Marks, Partition, Role, Stats, Upto, Waiter,
};
pub use sled::FreeSpace;
pub use store::{Aborted, Missing};
pub use table::{Decoder, LastRecord, LastRecords, Table, TableBatch, TableError, TableSettings};
pub use topic::{
    Cleanup, MESSAGE_BYTES_MAX_DEFAULT, PARTITIONS_MAX, RetentionBy, SEGMENT_AGE_DEFAULT,
    SEGMENT_BYTES_DEFAULT, TOMBSTONES_KEPT_DEFAULT, TOPIC_SETTINGS, TopicChange, TopicConfig,
    TopicInfo, TopicSetting, TopicSpec,
};
