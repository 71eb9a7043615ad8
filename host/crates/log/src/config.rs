//! What a node can set about its log. Every bound has its name and default here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wstream_record::ByteSize;

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
    /// Bytes that wait in one partition's queue; further submits wait for room.
    pub queue_bytes_max: ByteSize,
    /// Threads that write and flush, for all partitions together.
    pub writer_threads_max: usize,
    /// Reads that go to the store at one time; further reads wait.
    pub store_reads_max: usize,
    /// Segments held open, for all partitions together.
    pub segments_open_max: usize,
    /// Bytes that went through the segments held open, which is what they hold in memory; 4 MiB
    /// for each are granted in any case.
    pub segments_open_bytes_max: ByteSize,
    /// Bytes of the newest batches kept in memory for readers, per partition.
    pub tail_partition_bytes_max: ByteSize,
    /// The same for the whole node.
    pub tail_bytes_max: ByteSize,
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
            queue_bytes_max: ByteSize::mib(8),
            writer_threads_max: 8,
            store_reads_max: 16,
            segments_open_max: 64,
            segments_open_bytes_max: ByteSize::mib(64),
            tail_partition_bytes_max: ByteSize::mib(1),
            tail_bytes_max: ByteSize::mib(64),
            maintenance_interval: Duration::from_secs(10),
            free_space: FreeSpace::system(),
        }
    }
}

/// Asks how many bytes a file system has left.
#[derive(Clone)]
pub struct FreeSpace(Arc<Probe>);

type Probe = dyn Fn(&Path) -> io::Result<ByteSize> + Send + Sync;

impl FreeSpace {
    /// What the operating system says an unprivileged process may still write.
    #[must_use]
    pub fn system() -> Self {
        Self::from_fn(|path| {
            let stat = rustix::fs::statvfs(path)?;
            Ok(ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)))
        })
    }

    /// What `probe` says.
    pub fn from_fn(probe: impl Fn(&Path) -> io::Result<ByteSize> + Send + Sync + 'static) -> Self {
        Self(Arc::new(probe))
    }

    /// Bytes left on the file system of `path`.
    ///
    /// # Errors
    /// The path cannot be asked about.
    pub fn of(&self, path: &Path) -> io::Result<ByteSize> {
        (self.0)(path)
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreeSpace")
    }
}
