//! The partitioned log of wstream: an acknowledged append survives, in its order, what the
//! node's durability says; readers see it whole or not at all.
//!
//! `Log` holds topics, `Partition` appends and reads. The line where an append is acknowledged
//! is in `partition/commit.rs`, `Core::acknowledge`; what happened before it is told there.
//! Record batches are stored as they came, with offset and leader epoch stamped in.
//! This crate does not decompress, does not route records to partitions, and does not replicate.

mod config;
mod data_dir;
mod errors;
mod log;
mod metadata;
mod partition;
mod store;
mod summary;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topic;
mod writers;

pub use config::{Durability, FreeSpace, LogConfig};
pub use data_dir::{DataDir, DataDirError, FORMAT};
pub use errors::{
    AppendError, DeleteError, MetadataError, OpenError, ReadError, RewriteError, StoreError,
    TopicError,
};
pub use log::Log;
pub use metadata::{DOCUMENT_BYTES_MAX, Metadata};
pub use partition::{AppendTicket, Appended, Bounds, Partition};
pub use store::SetAside;
pub use summary::EpochStart;
pub use topic::{
    MESSAGE_BYTES_MAX_DEFAULT, PARTITIONS_MAX, SEGMENT_AGE_DEFAULT, SEGMENT_BYTES_DEFAULT,
    TopicConfig, TopicInfo,
};
