//! Kafka's conventions above the record batch: compressed records and the default partitioner.
//!
//! Bytes in, values out: no I/O, no async. Decoders are bounded by the caller and treat every
//! byte as hostile: they return a value or an error.

mod compression;
mod partitioner;

pub use compression::{DecodeError, compress, records};
pub use partitioner::{murmur2, partition_for};
