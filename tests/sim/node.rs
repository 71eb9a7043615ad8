//! A node whose disk, clock, threads and ids are simulated: nothing in it happens by itself.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use wstream_record::{ByteSize, ManualClock, Timestamp};

use crate::config::{Durability, LogConfig};
use crate::log::{Assembly, Log};
use crate::metadata::{Entropy, Metadata};
use crate::partition::GroupBounds;
use crate::pool::Pool;
use crate::sled::sim::SimDisk;
use crate::store::disk::{DiskOptions, DiskStore};
use crate::testing::Random;

/// What a seed says of a node.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: LogConfig,
    pub(super) options: DiskOptions,
}

impl Settings {
    pub(super) fn any(random: &mut Random, durability: Durability) -> Self {
        let streams = 1 + random.below(2);
        let segment_bytes = ByteSize([20_000, 100_000, 400_000][random.below(3)]);
        let config = LogConfig {
            durability,
            streams,
            segment_bytes,
            disk_free_min: ByteSize(1_000),
            tail_bytes_max: ByteSize(30_000),
            tail_partition_bytes_max: ByteSize(5_000),
            queue_partition_bytes_max: ByteSize::mib(1),
            ..LogConfig::default()
        };
        let options = DiskOptions {
            durability,
            disk_free_min: config.disk_free_min,
            streams,
            segment_bytes,
            scrub_interval: std::time::Duration::from_secs(3_600),
            dirty_percent: [0, 50][random.below(2)],
        };
        Self { config, options }
    }
}

/// The node.
#[derive(Debug)]
pub(super) struct SimNode {
    pub(super) disk: SimDisk,
    pub(super) log: Log,
    pool: Pool,
    background: Pool,
    pub(super) metadata: Metadata,
    pub(super) time: ManualClock,
    settings: Settings,
}

impl SimNode {
    pub(super) fn new(seed: u64, settings: Settings) -> Self {
        let time = ManualClock::new(Timestamp(1_700_000_000_000));
        let metadata = Metadata::in_memory_with(Entropy::seeded(seed));
        let disk = SimDisk::new(seed);
        let started = Self::start(seed, settings, time, metadata, disk);
        started.expect("an empty disk opens")
    }

    fn start(
        seed: u64,
        settings: Settings,
        time: ManualClock,
        metadata: Metadata,
        disk: SimDisk,
    ) -> Option<Self> {
        let pool = Pool::seeded(seed);
        let background = Pool::seeded(seed ^ 0xff);
        let store = DiskStore::new(Arc::new(disk.clone()), &settings.options, time.clock());
        let log = Log::assemble(Assembly {
            config: settings.config.clone(),
            clock: time.clock(),
            store: Arc::new(store),
            metadata: metadata.clone(),
            reserve: None,
            pool: pool.clone(),
            background: background.clone(),
            bounds: GroupBounds::SMALL,
        });
        let log = match log {
            Ok(log) => log,
            // A start that is cut off may answer anything.
            Err(_) if disk.has_cut() => return None,
            Err(error) => panic!("the log does not open: {error}"),
        };
        Some(Self {
            disk,
            log,
            pool,
            background,
            metadata,
            time,
            settings,
        })
    }

    /// Starts again over what `disk` holds; `None` if that was cut off.
    pub(super) fn started_again(&self, seed: u64, disk: SimDisk) -> Option<Self> {
        let metadata = self.metadata.started_again();
        let (settings, time) = (self.settings.clone(), self.time.clone());
        Self::start(seed, settings, time, metadata, disk)
    }

    pub(super) fn now(&self) -> i64 {
        self.time.clock().now().0
    }

    /// Whether the moment has come at which this node ends.
    pub(super) fn is_cut(&self) -> bool {
        self.disk.has_cut()
    }

    /// Runs one job; `false` if there is none.
    pub(super) fn step(&self) -> bool {
        self.pool.step() || self.background.step()
    }

    /// Runs one background job; `false` if there is none.
    pub(super) fn background_step(&self) -> bool {
        self.background.step()
    }

    /// Runs one job of the writers; `false` if there is none.
    pub(super) fn pool_step(&self) -> bool {
        self.pool.step()
    }

    /// Runs a future to its end; `None` if the node ends before.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let polled = future.as_mut().poll(&mut cx);
            if self.is_cut() {
                return None;
            }
            if let Poll::Ready(done) = polled {
                return Some(done);
            }
            assert!(self.step(), "it waits, and nothing is left to be done");
        }
    }

    /// Polls a future once.
    pub(super) fn poll<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut cx) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }
}
