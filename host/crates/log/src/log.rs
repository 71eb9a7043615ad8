//! The node's log: topics, their partitions, and the metadata that names them.
//!
//! A topic is there for users once its command is stored and its partitions are open. A deleted
//! one is gone at once; its files are removed then, or at the next start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use tokio::sync::Semaphore;
use wstream_record::{Clock, PartitionId, ProducerId, TopicName, TopicPartition};

use crate::config::LogConfig;
use crate::errors::{MetadataError, OpenError, StoreError, TopicError};
use crate::metadata::{Change, Metadata};
use crate::partition::{Partition, Shared, TailBudget};
use crate::store::disk::DiskStore;
use crate::store::memory::MemoryStore;
use crate::store::{LogStore, SetAside};
use crate::topic::{PARTITIONS_MAX, TopicConfig, TopicInfo};
use crate::writers::Writers;

/// The node's log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Box<dyn LogStore>,
    shared: Arc<Shared>,
    metadata: Metadata,
    topics: RwLock<BTreeMap<TopicName, Topic>>,
    /// Held while topics are created, changed or deleted.
    changes: tokio::sync::Mutex<()>,
    maintenance: Mutex<Option<Maintenance>>,
}

#[derive(Debug, Clone)]
struct Topic {
    info: TopicInfo,
    partitions: Vec<Partition>,
}

impl Log {
    /// Opens the log in the data directory `config.dir`, which is made if there is none.
    ///
    /// # Errors
    /// The metadata or a partition does not open. A single segment that does not open is no
    /// error: see `set_aside`.
    pub async fn open(config: LogConfig, clock: Clock) -> Result<Self, OpenError> {
        let opened = blocking(move || Self::open_now(&config, clock)).await;
        opened.map_err(OpenError::Metadata)?
    }

    fn open_now(config: &LogConfig, clock: Clock) -> Result<Self, OpenError> {
        let metadata = Metadata::open(config.dir.join("metadata"))?;
        let store = DiskStore::open(config, clock.clone())?;
        for (topic, settings) in metadata.deleting() {
            for partition in (0..settings.partitions).map(PartitionId) {
                store.remove(&TopicPartition::new(topic.clone(), partition))?;
            }
            metadata.apply_now(Change::TopicDeleted { name: topic }.into())?;
        }
        let topics = metadata.topics();
        let names = topics.iter().flat_map(|(topic, settings)| {
            (0..settings.partitions).map(move |p| format!("{topic}-{p}"))
        });
        store.keep_strangers_aside(&names.collect())?;
        let log = Self::new(Box::new(store), metadata, config, clock);
        log.0.open_topics(topics)?;
        let interval = config.maintenance_interval;
        *log.0.maintenance.lock() = Some(Maintenance::start(Arc::downgrade(&log.0), interval));
        Ok(log)
    }

    /// A log that lives and ends with the process.
    #[must_use]
    pub fn in_memory(clock: Clock) -> Self {
        let store = Box::new(MemoryStore::new(clock.clone()));
        let metadata = Metadata::in_memory();
        Self::new(store, metadata, &LogConfig::default(), clock)
    }

    fn new(store: Box<dyn LogStore>, metadata: Metadata, config: &LogConfig, clock: Clock) -> Self {
        let tails = TailBudget::new(config.tail_bytes_max, config.tail_partition_bytes_max);
        let shared = Shared {
            clock,
            writers: Writers::new(config.writer_threads_max),
            tails: Arc::new(tails),
            store_reads: Semaphore::new(config.store_reads_max),
            queue_bytes_max: config.queue_bytes_max,
        };
        Self(Arc::new(Inner {
            store,
            shared: Arc::new(shared),
            metadata,
            topics: RwLock::default(),
            changes: tokio::sync::Mutex::default(),
            maintenance: Mutex::default(),
        }))
    }

    /// Segments that did not open since the node started: kept aside, not served.
    #[must_use]
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.0.store.set_aside()
    }

    /// The node's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// It exists, its number of partitions is impossible, or the store failed.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        config: TopicConfig,
    ) -> Result<TopicInfo, TopicError> {
        check_partitions(config.partitions)?;
        let _changing = self.0.changes.lock().await;
        if self.0.topics.read().contains_key(name) {
            return Err(TopicError::Exists(name.clone()));
        }
        self.put_topic(name, config, Vec::new()).await
    }

    /// Gives a topic new settings. More partitions are added; fewer are refused.
    ///
    /// # Errors
    /// There is no such topic, it would lose partitions, or the store failed.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        config: TopicConfig,
    ) -> Result<TopicInfo, TopicError> {
        check_partitions(config.partitions)?;
        let _changing = self.0.changes.lock().await;
        let topic = self.0.topics.read().get(name).cloned();
        let topic = topic.ok_or_else(|| TopicError::Unknown(name.clone()))?;
        let has = topic.info.config.partitions;
        if config.partitions < has {
            return Err(TopicError::FewerPartitions {
                name: name.clone(),
                has,
                wanted: config.partitions,
            });
        }
        self.put_topic(name, config, topic.partitions).await
    }

    async fn put_topic(
        &self,
        name: &TopicName,
        config: TopicConfig,
        mut partitions: Vec<Partition>,
    ) -> Result<TopicInfo, TopicError> {
        let info = TopicInfo {
            name: name.clone(),
            config,
        };
        let put = Change::PutTopic {
            name: name.clone(),
            config: info.config.clone(),
        };
        self.0.metadata.apply(put.into()).await?;
        for partition in &partitions {
            partition.configure(&info.config);
        }
        let has = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        let inner = Arc::clone(&self.0);
        let opening = info.clone();
        let new = blocking(move || {
            let new = (has..opening.config.partitions).map(PartitionId);
            new.map(|p| inner.open_partition(&opening, p)).collect()
        });
        let new: Result<Vec<Partition>, StoreError> = new.await?;
        partitions.extend(new?);
        let topic = Topic {
            info: info.clone(),
            partitions,
        };
        self.0.topics.write().insert(name.clone(), topic);
        Ok(info)
    }

    /// Deletes a topic and all its records.
    ///
    /// # Errors
    /// There is no such topic, or the store failed.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), TopicError> {
        let _changing = self.0.changes.lock().await;
        if !self.0.topics.read().contains_key(name) {
            return Err(TopicError::Unknown(name.clone()));
        }
        let delete = Change::DeleteTopic { name: name.clone() };
        self.0.metadata.apply(delete.into()).await?;
        let topic = self.0.topics.write().remove(name);
        let inner = Arc::clone(&self.0);
        let removed: Result<(), StoreError> = blocking(move || {
            for partition in topic.iter().flat_map(|t| &t.partitions) {
                partition.shut(true);
                partition.close()?;
                inner.store.remove(partition.name())?;
            }
            Ok(())
        })
        .await?;
        removed?;
        let deleted = Change::TopicDeleted { name: name.clone() };
        self.0.metadata.apply(deleted.into()).await?;
        Ok(())
    }

    /// A topic.
    #[must_use]
    pub fn topic(&self, name: &TopicName) -> Option<TopicInfo> {
        let topics = self.0.topics.read();
        topics.get(name).map(|topic| topic.info.clone())
    }

    /// All topics, internal ones included, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        let topics = self.0.topics.read();
        topics.values().map(|topic| topic.info.clone()).collect()
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, name: &TopicPartition) -> Option<Partition> {
        let number = usize::try_from(name.partition.0).ok()?;
        let topics = self.0.topics.read();
        topics.get(&name.topic)?.partitions.get(number).cloned()
    }

    /// The partitions of a topic in order; none if there is no such topic.
    #[must_use]
    pub fn partitions(&self, topic: &TopicName) -> Vec<Partition> {
        let topics = self.0.topics.read();
        topics
            .get(topic)
            .map_or_else(Vec::new, |topic| topic.partitions.clone())
    }

    /// An id that no producer had before.
    ///
    /// # Errors
    /// The metadata store failed.
    pub async fn allocate_producer_id(&self) -> Result<ProducerId, MetadataError> {
        self.0.metadata.allocate_producer_id().await
    }

    /// Rolls and removes segments as the topics' settings say; runs by itself at
    /// `LogConfig::maintenance_interval`.
    pub async fn maintain(&self) {
        let inner = Arc::clone(&self.0);
        drop(blocking(move || inner.maintain()).await);
    }

    /// Writes what is queued, then lets go of all files and threads. Further calls do nothing;
    /// appends and reads are refused from then on.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        drop(blocking(move || inner.close()).await);
    }
}

impl Inner {
    /// Opens all partitions, several at a time.
    fn open_topics(&self, topics: Vec<(TopicName, TopicConfig)>) -> Result<(), StoreError> {
        let infos: Vec<TopicInfo> = topics
            .into_iter()
            .map(|(name, config)| TopicInfo { name, config })
            .collect();
        let work: Vec<(&TopicInfo, PartitionId)> = infos
            .iter()
            .flat_map(|info| (0..info.config.partitions).map(move |p| (info, PartitionId(p))))
            .collect();
        let next = AtomicUsize::new(0);
        let open = || -> Result<Vec<Partition>, StoreError> {
            let mut opened = Vec::new();
            while let Some((info, p)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                opened.push(self.open_partition(info, *p)?);
            }
            Ok(opened)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let opened: Result<Vec<Vec<Partition>>, StoreError> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..threads.min(work.len()))
                .map(|_| scope.spawn(open))
                .collect();
            let joined = started.into_iter().map(|thread| {
                let panicked = |_| StoreError::Failed {
                    doing: "open partitions",
                    path: PathBuf::new(),
                    reason: "a thread panicked".into(),
                };
                thread.join().map_err(panicked)?
            });
            joined.collect()
        });
        let mut partitions: Vec<Partition> = opened?.into_iter().flatten().collect();
        partitions.sort_by(|a, b| a.name().cmp(b.name()));
        let mut partitions = partitions.into_iter().peekable();
        let mut topics = self.topics.write();
        for info in &infos {
            let of_topic = |p: &Partition| p.name().topic == info.name;
            let topic = Topic {
                info: info.clone(),
                partitions: std::iter::from_fn(|| partitions.next_if(of_topic)).collect(),
            };
            topics.insert(info.name.clone(), topic);
        }
        Ok(())
    }

    fn open_partition(
        &self,
        topic: &TopicInfo,
        partition: PartitionId,
    ) -> Result<Partition, StoreError> {
        let name = TopicPartition::new(topic.name.clone(), partition);
        let store = self.store.open(&name, &topic.config)?;
        Partition::open(name, &topic.config, store, Arc::clone(&self.shared))
    }

    fn all_partitions(&self) -> Vec<Partition> {
        let topics = self.topics.read();
        let partitions = topics.values().flat_map(|topic| &topic.partitions);
        partitions.cloned().collect()
    }

    fn maintain(&self) {
        for partition in self.all_partitions() {
            if let Err(error) = partition.maintain() {
                tracing::warn!(partition = %partition.name(), %error, "could not apply retention");
            }
        }
    }

    fn close(&self) {
        let maintenance = self.maintenance.lock().take();
        drop(maintenance);
        let partitions = self.all_partitions();
        for partition in &partitions {
            partition.shut(false);
        }
        self.shared.writers.join();
        for partition in &partitions {
            if let Err(error) = partition.close() {
                tracing::warn!(partition = %partition.name(), %error, "could not close cleanly");
            }
        }
        self.metadata.close();
    }
}

/// The thread that looks after retention. Dropping it ends the thread and waits for it.
#[derive(Debug)]
struct Maintenance {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    fn start(log: Weak<Inner>, interval: Duration) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let until = Arc::clone(&stop);
        let run = move || {
            let (stopping, changed) = &*until;
            let mut stopping = stopping.lock();
            while !*stopping {
                changed.wait_for(&mut stopping, interval);
                if *stopping {
                    return;
                }
                let Some(log) = log.upgrade() else { return };
                MutexGuard::unlocked(&mut stopping, || {
                    log.maintain();
                    drop(log);
                });
            }
        };
        let thread = std::thread::Builder::new().name("log-maintenance".to_owned());
        let thread = match thread.spawn(run) {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "could not start the log's maintenance");
                None
            }
        };
        Self { stop, thread }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread itself may be the one that drops the log's last handle.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the log's maintenance panicked");
            }
        }
    }
}

fn check_partitions(partitions: i32) -> Result<(), TopicError> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        Ok(())
    } else {
        Err(TopicError::Partitions { partitions })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, MetadataError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_ended| MetadataError::Closed)
}
