//! How a log begins: what the store holds is put beside what the metadata names.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use wstream_record::{ByteSize, Clock, PartitionId, TopicId, TopicPartition};

use super::reserve::Reserve;
use super::upkeep::{self, Tidy, Upkeep};
use super::{Inner, Log, Topic, limits};
use crate::config::LogConfig;
use crate::derived::ProducerBudget;
use crate::errors::{OpenError, StoreError};
use crate::metadata::Metadata;
use crate::partition::{GroupBounds, Opening, Recovery, Shared, Stream, TailBudget};
use crate::pool::Pool;
use crate::sled::real::RealDisk;
use crate::store::disk::{DiskOptions, DiskStore};
use crate::store::memory::MemoryStore;
use crate::store::{LogStore, PartitionKey, Recovered};
use crate::topic::TopicInfo;

/// Kafka's `min.cleanable.dirty.ratio`.
const DIRTY_PERCENT: u64 = 50;

/// What a log is made of.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) config: LogConfig,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn LogStore>,
    pub(crate) metadata: Metadata,
    /// For a log in a directory.
    pub(crate) reserve: Option<Reserve>,
    /// What runs commits and reads.
    pub(crate) pool: Pool,
    /// What runs the rest.
    pub(crate) background: Pool,
    pub(crate) bounds: GroupBounds,
}

/// Finds what to do with each partition that the store holds.
struct Sorting<'a> {
    store: &'a dyn LogStore,
    recovery: Recovery,
    found: HashMap<PartitionKey, Recovered>,
}

impl Log {
    pub(super) fn open_now(config: LogConfig, clock: Clock) -> Result<Self, OpenError> {
        let reserve = Reserve::new(&config);
        reserve.look_at_start();
        let metadata = Metadata::open(config.dir.join("metadata"))?;
        let dir = config.dir.join("log");
        // Whatever was opened before has a log: one that is not there is not begun again.
        if metadata.index() > 0 && !dir.join("streams").exists() {
            let reason = "the log was there and is not any more: is its disk mounted? To begin \
                          without its records, take another data directory";
            return Err(StoreError::failed("open", dir, &reason).into());
        }
        let store = open_store(&config, clock.clone())?;
        let log = Self::assemble(Assembly {
            pool: writers(&config),
            background: background(),
            bounds: GroupBounds::default(),
            store,
            metadata,
            reserve: Some(reserve),
            clock,
            config,
        })?;
        log.0.look_after_reserve();
        log.tick();
        Ok(log)
    }

    pub(super) fn open_in_memory(clock: Clock) -> Self {
        let config = LogConfig::default();
        let log = Self::assemble(Assembly {
            pool: writers(&config),
            background: background(),
            bounds: GroupBounds::default(),
            store: Arc::new(MemoryStore::new(clock.clone(), config.streams)),
            metadata: Metadata::in_memory(),
            reserve: None,
            clock,
            config,
        });
        let log = log.expect("a store in memory that holds nothing does not fail");
        log.tick();
        log
    }

    /// Puts a log together from its parts. Nothing happens by itself in it before `tick`.
    pub(crate) fn assemble(assembly: Assembly) -> Result<Self, OpenError> {
        let Assembly {
            config,
            clock,
            store,
            metadata,
            reserve,
            pool,
            background,
            bounds,
        } = assembly;
        let tails = TailBudget::new(config.tail_bytes_max, config.tail_partition_bytes_max);
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            pool,
            store: Arc::clone(&store),
            tails: Arc::new(tails),
            producers: Arc::new(ProducerBudget::default()),
            room: Semaphore::new(room(config.queue_bytes_max)),
            queue_bytes_max: config.queue_bytes_max,
            queue_partition_bytes_max: config.queue_partition_bytes_max,
        });
        let mut recovery = Recovery::new(Arc::clone(&shared.producers), clock.now());
        let recovered = store.recover(&mut recovery)?;
        let streams = (0..store.streams())
            .map(|n| Arc::new(Stream::new(n, Arc::clone(&store), clock.clone(), bounds)));
        let streams: Vec<_> = streams.collect();
        let epoch = metadata.node_started()?;
        let mut sorting = Sorting {
            store: &*store,
            recovery,
            found: recovered.into_iter().map(|r| (r.key, r)).collect(),
        };
        let topics = metadata.topics();
        sorting.begin_behind(&topics)?;
        let openings: Vec<_> = topics
            .iter()
            .map(|info| sorting.openings(info, &shared.producers))
            .collect();
        let (leftovers, unknown) = sorting.rest(&metadata, &streams);
        let inner = Arc::new_cyclic(|weak: &Weak<Inner>| Inner {
            upkeep: Arc::new(Upkeep::new(weak.clone())),
            tidy: Arc::new(Tidy::new(Arc::clone(&store), weak.clone())),
            config,
            store,
            shared,
            streams,
            background,
            metadata,
            reserve,
            epoch,
            changes: Mutex::new(()),
            topics: RwLock::default(),
            leftovers: Mutex::new(leftovers),
            unknown: Mutex::new(unknown),
            ticker: Mutex::default(),
        });
        for (info, openings) in topics.into_iter().zip(openings) {
            let name = info.name.clone();
            let partitions = openings.into_iter().map(|o| inner.open_partition(o));
            let partitions = partitions.collect();
            inner
                .topics
                .write()
                .insert(name, Topic { info, partitions });
        }
        inner.remove_leftovers();
        Ok(Self(inner))
    }

    /// Lets what happens now and then happen by itself.
    fn tick(&self) {
        match upkeep::start_ticker(&self.0) {
            Ok(ticker) => *self.0.ticker.lock() = Some(ticker),
            Err(error) => tracing::error!(%error, "could not start the log's maintenance"),
        }
    }
}

impl Sorting<'_> {
    /// Partitions of which the store knows nothing begin where it says.
    fn begin_behind(&mut self, topics: &[TopicInfo]) -> Result<(), StoreError> {
        let keys = topics.iter().flat_map(|info| {
            let numbers = (0..info.config.partitions).map(PartitionId);
            numbers.map(|partition| PartitionKey {
                topic: info.id,
                partition,
            })
        });
        let unknown: Vec<_> = keys.filter(|key| !self.found.contains_key(key)).collect();
        let behind = self.store.begin_behind(&unknown)?.into_iter();
        self.found
            .extend(behind.map(|recovered| (recovered.key, recovered)));
        Ok(())
    }

    /// The partitions of a topic.
    fn openings(&mut self, info: &TopicInfo, producers: &Arc<ProducerBudget>) -> Vec<Opening> {
        let numbers = (0..info.config.partitions).map(PartitionId);
        let openings = numbers.map(|partition| {
            let key = PartitionKey {
                topic: info.id,
                partition,
            };
            let found = self.found.remove(&key);
            let recovery = &mut self.recovery;
            opening(self.store, recovery, info, partition, found, producers)
        });
        openings.collect()
    }

    /// What no topic claims: of deleted ones, to be removed, and of unknown ones, to be kept.
    fn rest(
        mut self,
        metadata: &Metadata,
        streams: &[Arc<Stream>],
    ) -> (Vec<PartitionKey>, BTreeMap<TopicId, Vec<Recovered>>) {
        let mut leftovers = Vec::new();
        let mut unknown: BTreeMap<TopicId, Vec<Recovered>> = BTreeMap::new();
        for (key, found) in std::mem::take(&mut self.found) {
            if metadata.is_deleted(key.topic) {
                leftovers.push(key);
                continue;
            }
            unknown.entry(key.topic).or_default().push(found);
            // The store forgets what it is not told again. Nothing stands for what does not read.
            let mut bytes = Vec::new();
            if let Ok(derived) = self.recovery.take(self.store, &found) {
                derived.encode(&mut bytes);
            }
            streams[self.store.stream_of(key)].keep_stranger(key, bytes);
        }
        for (topic, found) in &unknown {
            let partitions = found.len();
            tracing::error!(%topic, partitions, "there is data of a topic that is not known; it is kept: see `wstream log forgotten`");
        }
        (leftovers, unknown)
    }
}

/// What a partition of a topic begins with, given what the store holds of it.
pub(super) fn opening(
    store: &dyn LogStore,
    recovery: &mut Recovery,
    info: &TopicInfo,
    partition: PartitionId,
    found: Option<Recovered>,
    producers: &Arc<ProducerBudget>,
) -> Opening {
    let key = PartitionKey {
        topic: info.id,
        partition,
    };
    let name = TopicPartition::new(info.name.clone(), partition);
    let mut opening = Opening::empty(name, key, limits(&info.config), producers);
    let Some(found) = found else {
        return opening;
    };
    opening.log_start = found.start;
    opening.log_end = found.end;
    opening.high_watermark = found.high_watermark;
    match recovery.take(store, &found) {
        Ok(derived) => opening.derived = derived,
        Err(error) => {
            tracing::error!(partition = %opening.name, %error, "the partition is offline: its batches do not read");
            opening.unreadable = Some(format!("its batches do not read: {error}"));
        }
    }
    opening
}

/// The store in the data directory.
fn open_store(config: &LogConfig, clock: Clock) -> Result<Arc<dyn LogStore>, StoreError> {
    let root = config.dir.join("log");
    let aside = config.dir.join("aside");
    let disk = RealDisk::open(root, aside, config.free_space.clone())?;
    let disk = disk.with_wait_max(config.flush_wait_max);
    let options = DiskOptions {
        durability: config.durability,
        disk_free_min: config.disk_free_min,
        streams: config.streams,
        segment_bytes: config.segment_bytes,
        scrub_interval: config.scrub_interval,
        dirty_percent: DIRTY_PERCENT,
    };
    Ok(Arc::new(DiskStore::new(Arc::new(disk), &options, clock)))
}

/// A stream is written by one thread at a time: more threads than streams would only take turns.
fn writers(config: &LogConfig) -> Pool {
    let threads = config.writer_threads_max.min(config.streams);
    Pool::threads("log-writer", threads, config.store_reads_max)
}

fn background() -> Pool {
    Pool::background("log-upkeep")
}

fn room(bytes: ByteSize) -> usize {
    let permits = usize::try_from(bytes.0).unwrap_or(usize::MAX);
    permits.min(Semaphore::MAX_PERMITS)
}
