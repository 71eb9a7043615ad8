//! Batches and logs for the tests of this crate.

mod hooked;

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wstream_record::{
    BatchBuilder, ByteSize, ManualClock, PartitionId, ProducerStamp, Record, RecordBatch,
    Timestamp, TopicName, TopicPartition,
};

pub(crate) use self::hooked::{Call, HookedStore};
use crate::config::LogConfig;
use crate::log::{Assembly, Log};
use crate::metadata::{Entropy, Metadata};
use crate::partition::{GroupBounds, Partition};
use crate::pool::Pool;
use crate::store::memory::MemoryStore;
use crate::topic::TopicSpec;

/// A batch of `count` records with values of `bytes` bytes, all at time 1,000.
pub(crate) fn batch_of(count: usize, bytes: usize, producer: Option<ProducerStamp>) -> RecordBatch {
    batch_at(&vec![1_000; count], bytes, producer)
}

/// A batch with one record of `bytes` bytes per timestamp.
pub(crate) fn batch_at(
    timestamps: &[i64],
    bytes: usize,
    producer: Option<ProducerStamp>,
) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for &timestamp in timestamps {
        builder.push(&Record {
            timestamp: Timestamp(timestamp),
            value: Some(Bytes::from(vec![b'v'; bytes])),
            ..Record::default()
        });
    }
    builder.finish(producer).expect("the batch has records")
}

/// Numbers that a seed determines.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % bound.max(1)
    }
}

/// Copies a directory with all it holds.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("tests have room");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it is there").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}

/// A log in memory of which nothing happens by itself: `run` takes the steps, in an order that a
/// seed determines.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) log: Log,
    pub(crate) pool: Pool,
    pub(crate) background: Pool,
    pub(crate) store: HookedStore,
    pub(crate) metadata: Metadata,
    pub(crate) time: ManualClock,
    pub(crate) config: LogConfig,
}

impl Node {
    /// With the defaults.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, LogConfig::default())
    }

    pub(crate) fn with(seed: u64, config: LogConfig) -> Self {
        let time = ManualClock::new(Timestamp(1_000_000));
        let store = MemoryStore::with_stretches(time.clock(), config.streams, ByteSize(1_000));
        let store = HookedStore::new(store);
        let metadata = Metadata::in_memory_with(Entropy::seeded(seed));
        Self::start(seed, config, time, store, metadata)
    }

    fn start(
        seed: u64,
        config: LogConfig,
        time: ManualClock,
        store: HookedStore,
        metadata: Metadata,
    ) -> Self {
        let pool = Pool::seeded(seed);
        let background = Pool::seeded(seed);
        let log = Log::assemble(Assembly {
            config: config.clone(),
            clock: time.clock(),
            store: Arc::new(store.clone()),
            metadata: metadata.clone(),
            reserve: None,
            pool: pool.clone(),
            background: background.clone(),
            bounds: GroupBounds::SMALL,
        });
        Self {
            log: log.expect("the store in memory opens"),
            pool,
            background,
            store,
            metadata,
            time,
            config,
        }
    }

    /// As if the process had been killed: only what was flushed is there.
    pub(crate) fn restart(self, seed: u64) -> Self {
        self.started_again(seed)
    }

    /// As `started_again`, with metadata that has forgotten everything.
    pub(crate) fn started_with_metadata_lost(&self, seed: u64) -> Self {
        Self::start(
            seed,
            self.config.clone(),
            self.time.clone(),
            self.store.clone(),
            Metadata::in_memory_with(Entropy::seeded(seed + 1_000)),
        )
    }

    /// The same; nothing may be asked of this one afterwards.
    pub(crate) fn started_again(&self, seed: u64) -> Self {
        Self::start(
            seed,
            self.config.clone(),
            self.time.clone(),
            self.store.clone(),
            self.metadata.clone(),
        )
    }

    /// Runs a future to its end, and what it waits for.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
                return done;
            }
            assert!(self.step(), "it waits, and nothing is left to be done");
        }
    }

    /// Runs all that is queued.
    pub(crate) fn settle(&self) {
        while self.step() {}
    }

    fn step(&self) -> bool {
        self.pool.step() || self.background.step()
    }

    /// Whether a future has to wait for something that is not queued.
    pub(crate) fn waits<T>(&self, future: Pin<&mut impl Future<Output = T>>) -> bool {
        self.settle();
        let mut cx = Context::from_waker(Waker::noop());
        future.poll(&mut cx).is_pending()
    }

    /// The only partition of a new topic.
    pub(crate) fn partition(&self, topic: &str, spec: TopicSpec) -> Partition {
        let topic = TopicName::new(topic).expect("tests name topics well");
        let created = self.run(self.log.create_topic(&topic, spec));
        created.expect("there is no such topic yet");
        self.existing(topic.as_str())
    }

    /// The first partition of a topic that is there.
    pub(crate) fn existing(&self, topic: &str) -> Partition {
        let topic = TopicName::new(topic).expect("tests name topics well");
        let name = TopicPartition::new(topic, PartitionId(0));
        self.log.partition(&name).expect("the topic exists")
    }
}
