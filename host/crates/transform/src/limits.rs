//! What a module may use: plain values, and the shared cell that makes them changeable while
//! instances run. A new value holds from the next check on, without a restart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wstream_record::ByteSize;

/// The largest memory limit: frames and addresses stay below 2 GiB.
pub const MEMORY_MAX: ByteSize = ByteSize(2 << 30);

/// Limits of one transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for one record.
    pub record_time: Duration,
    /// Memory and tables of one instance; at most 2 GiB.
    pub memory: ByteSize,
    /// Bytes of all outputs of one record.
    pub output_bytes: ByteSize,
    /// Lines per second of all instances together that reach the log; the rest is counted.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_time: Duration::from_secs(1),
            memory: ByteSize(64 << 20),
            output_bytes: ByteSize(8 << 20),
            log_lines_per_second: 100,
        }
    }
}

/// `Limits` that many instances read while someone changes them.
#[derive(Debug)]
pub(crate) struct SharedLimits {
    record_nanos: AtomicU64,
    memory: AtomicU64,
    output_bytes: AtomicU64,
    log_lines_per_second: AtomicU64,
}

impl SharedLimits {
    pub(crate) fn new(limits: Limits) -> Self {
        let shared = Self {
            record_nanos: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            log_lines_per_second: AtomicU64::new(0),
        };
        shared.set(limits);
        shared
    }

    pub(crate) fn set(&self, limits: Limits) {
        let nanos = u64::try_from(limits.record_time.as_nanos()).unwrap_or(u64::MAX);
        self.record_nanos.store(nanos, Ordering::Relaxed);
        let memory = limits.memory.0.min(MEMORY_MAX.0);
        self.memory.store(memory, Ordering::Relaxed);
        self.output_bytes
            .store(limits.output_bytes.0, Ordering::Relaxed);
        self.log_lines_per_second
            .store(limits.log_lines_per_second.into(), Ordering::Relaxed);
    }

    /// `get().output_bytes`, for those that ask for each record.
    #[inline]
    pub(crate) fn output_bytes(&self) -> u64 {
        self.output_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self) -> Limits {
        let lines = self.log_lines_per_second.load(Ordering::Relaxed);
        Limits {
            record_time: Duration::from_nanos(self.record_nanos.load(Ordering::Relaxed)),
            memory: ByteSize(self.memory.load(Ordering::Relaxed)),
            output_bytes: ByteSize(self.output_bytes.load(Ordering::Relaxed)),
            log_lines_per_second: u32::try_from(lines).unwrap_or(u32::MAX),
        }
    }
}

/// Memory of all instances of a node together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    max: u64,
}

impl Budget {
    pub(crate) fn new(max: ByteSize) -> Self {
        Self {
            used: AtomicU64::new(0),
            max: max.0,
        }
    }

    pub(crate) fn max(&self) -> ByteSize {
        ByteSize(self.max)
    }

    pub(crate) fn used(&self) -> ByteSize {
        ByteSize(self.used.load(Ordering::Relaxed))
    }

    /// Takes `bytes` if there are so many left.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.max);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .is_ok()
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
