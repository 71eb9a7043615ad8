//! What a node can set about its log. Every bound has its name and default here.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wstream_record::ByteSize;

use crate::sled::FreeSpace;

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A killed process: the bytes are with the kernel.
    #[default]
    Process,
    /// A power cut: the bytes are on the device.
    Disk,
}

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The data directory. The log lives in `log/`, `metadata/` and `aside/` of it.
    pub dir: PathBuf,
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// Appends are refused while the file system has less room than this.
    pub disk_free_min: ByteSize,
    /// Streams that the partitions are spread over: one for each disk that serves the directory.
    pub streams: usize,
    /// Bytes that wait to be written, for all partitions together; further submits wait for room.
    pub queue_bytes_max: ByteSize,
    /// The same for one partition, so that one cannot starve the rest.
    pub queue_partition_bytes_max: ByteSize,
    /// Threads that write and flush, for all streams together.
    pub writer_threads_max: usize,
    /// Reads that go to the store at one time; further reads wait.
    pub store_reads_max: usize,
    /// Segments held open, for all streams together.
    pub segments_open_max: usize,
    /// Bytes at which a segment rolls.
    pub segment_bytes: ByteSize,
    /// Bytes of the newest batches kept in memory for readers, per partition.
    pub tail_partition_bytes_max: ByteSize,
    /// The same for the whole node.
    pub tail_bytes_max: ByteSize,
    /// How long an idempotent producer that is silent is remembered.
    pub producer_expiry: Duration,
    /// How long a database may take to be flushed, synced, opened or closed: after that another one
    /// takes its place. A write that takes longer makes the node say that it is unhealthy.
    pub flush_wait_max: Duration,
    /// How often all that is stored is read and compared with its checksums.
    pub scrub_interval: Duration,
    /// How often retention and the age of segments are looked at.
    pub maintenance_interval: Duration,
    /// How free space is asked for; tests put their own in.
    pub free_space: FreeSpace,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("wstream-data"),
            durability: Durability::default(),
            disk_free_min: ByteSize::mib(512),
            streams: 1,
            queue_bytes_max: ByteSize::mib(64),
            queue_partition_bytes_max: ByteSize::mib(8),
            writer_threads_max: 8,
            store_reads_max: 16,
            segments_open_max: 64,
            segment_bytes: ByteSize::mib(32),
            tail_partition_bytes_max: ByteSize::mib(1),
            tail_bytes_max: ByteSize::mib(64),
            producer_expiry: Duration::from_secs(24 * 3600),
            flush_wait_max: Duration::from_secs(30),
            scrub_interval: Duration::from_secs(7 * 24 * 3600),
            maintenance_interval: Duration::from_secs(10),
            free_space: FreeSpace::system(),
        }
    }
}
