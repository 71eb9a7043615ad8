//! The node's log: topics, their partitions, and the metadata that names them.
//!
//! A topic is there for users once its command is stored and answered; what then has to be done
//! here is done whether the caller still waits or not. Data belongs to topic ids: a deleted topic is
//! gone at once, its data is removed then, later, or at the next start, and a topic that is created
//! again under the name has nothing to do with it. Data of topics that the metadata does not know
//! is kept and told, never removed.
//!
//! Order of locks: `changes`, then `topics`, then those of partitions.

mod forgotten;
mod opening;
mod reserve;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use wstream_record::{
    Clock, LeaderEpoch, PartitionId, ProducerId, TopicId, TopicName, TopicPartition,
};

pub use self::forgotten::{Forgotten, ForgottenPartition};
#[cfg(test)]
pub(crate) use self::opening::Assembly;
use self::reserve::Reserve;
use self::upkeep::{Tidy, Upkeep};
use crate::config::LogConfig;
use crate::errors::{MetadataError, OpenError, TopicError};
use crate::health::Problem;
use crate::metadata::{Answer, Command, Metadata};
use crate::partition::{Commit, Limits, Opening, Partition, Role, Shared, Stream};
use crate::pool::{Pool, Ticker};
use crate::retention;
use crate::store::{LogStore, Missing, PartitionKey, Recovered};
use crate::topic::{TopicChange, TopicConfig, TopicInfo, TopicSpec};

/// Partitions that `health` names as offline.
const OFFLINE_NAMED_MAX: usize = 100;

/// The node's log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: LogConfig,
    store: Arc<dyn LogStore>,
    shared: Arc<Shared>,
    streams: Vec<Arc<Stream>>,
    /// Where what need not be done at once is done.
    background: Pool,
    metadata: Metadata,
    /// Room for a full disk; none for a log in memory.
    reserve: Option<Reserve>,
    /// What this node leads with.
    epoch: LeaderEpoch,
    /// Held while topics are created, changed or deleted.
    changes: Mutex<()>,
    topics: RwLock<BTreeMap<TopicName, Topic>>,
    /// Of deleted topics, with data that is still to be removed.
    leftovers: Mutex<Vec<PartitionKey>>,
    /// Topics that are not known, with those of their partitions that have data.
    unknown: Mutex<BTreeMap<TopicId, Vec<Recovered>>>,
    upkeep: Arc<Upkeep>,
    tidy: Arc<Tidy>,
    ticker: Mutex<Option<Ticker>>,
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
    /// The metadata or the store does not open. Damage to single segments is no error: see
    /// `missing`.
    pub async fn open(config: LogConfig, clock: Clock) -> Result<Self, OpenError> {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(config, clock)).await;
        opened.unwrap_or(Err(OpenError::Metadata(MetadataError::Closed)))
    }

    /// A log that lives and ends with the process.
    #[must_use]
    pub fn in_memory(clock: Clock) -> Self {
        Self::open_in_memory(clock)
    }

    /// The node's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// It exists, what is asked for is impossible, or the metadata store failed.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        spec: TopicSpec,
    ) -> Result<TopicInfo, TopicError> {
        let name = name.clone();
        self.change(move |inner| {
            let id = inner.metadata.new_topic_id()?;
            inner.put_topic(Command::CreateTopic { name, id, spec })
        })
        .await
    }

    /// Alters a topic; a `TopicSpec` replaces all of its settings. More partitions are added; fewer
    /// are refused.
    ///
    /// # Errors
    /// There is no such topic, what is asked for is impossible, or the metadata store failed.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        change: impl Into<TopicChange>,
    ) -> Result<TopicInfo, TopicError> {
        let (name, change) = (name.clone(), change.into());
        self.change(move |inner| inner.put_topic(Command::AlterTopic { name, change }))
            .await
    }

    /// Deletes a topic with all its records. Should they not be removable now, they are later.
    ///
    /// # Errors
    /// There is no such topic, or the metadata store failed.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), TopicError> {
        let name = name.clone();
        self.change(move |inner| inner.delete_topic(name)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, TopicError> + Send + 'static,
    ) -> Result<T, TopicError> {
        let inner = Arc::clone(&self.0);
        let changed = self.0.shared.pool.blocking(move || {
            let _changing = inner.changes.lock();
            work(&inner)
        });
        let closed = || Err(MetadataError::Closed.into());
        changed.await.unwrap_or_else(closed)
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

    /// Offsets that were stored and cannot be read, as far as was noticed.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let name_of = |key: PartitionKey| {
            let info = self.0.metadata.topic_of(key.topic)?;
            Some(TopicPartition::new(info.name, key.partition))
        };
        let holes = self.0.store.holes().into_iter();
        let missing = holes.map(|hole| Missing {
            partition: hole.key.and_then(name_of),
            first: hole.first,
            next: hole.next,
            segment: hole.segment,
            kept_at: hole.kept_at,
            reason: hole.reason,
        });
        missing.collect()
    }

    /// What is wrong at the moment; nothing, as a rule.
    #[must_use]
    pub fn health(&self) -> Vec<Problem> {
        self.0.health()
    }

    /// Does what retention and the age of producers and segments want, and tidies up; runs by
    /// itself at `LogConfig::maintenance_interval`.
    pub async fn maintain(&self) {
        let inner = Arc::clone(&self.0);
        let raised = self.0.shared.pool.blocking(move || inner.look_after());
        for raised in raised.await.unwrap_or_default() {
            // A partition that closed meanwhile needs none.
            drop(raised.await);
        }
        let tidy = Arc::clone(&self.0.tidy);
        self.0.shared.pool.blocking(move || tidy.all()).await;
    }

    /// Bytes that the store holds under a key, be it of a topic or not.
    #[cfg(test)]
    pub(crate) fn held(&self, key: PartitionKey) -> wstream_record::ByteSize {
        self.0.store.bytes(key)
    }

    /// Writes what is queued, then lets go of all files and threads. Further calls do nothing;
    /// appends and reads are refused from then on.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        self.0.shared.pool.blocking(move || inner.close()).await;
    }
}

impl Inner {
    /// Creates or alters a topic. What the metadata answers is done here.
    fn put_topic(&self, command: Command) -> Result<TopicInfo, TopicError> {
        let info = match self.metadata.apply_now(command)? {
            Answer::Topic(info) => info,
            Answer::Refused(refused) => return Err(refused.into_topic_error()),
            _ => return Err(MetadataError::Closed.into()),
        };
        let topic = self.topics.read().get(&info.name).cloned();
        let mut partitions = topic.map_or_else(Vec::new, |topic| topic.partitions);
        let limits = limits(&info.config);
        for partition in &partitions {
            partition.configure(limits);
        }
        let has = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        for number in (has..info.config.partitions).map(PartitionId) {
            let key = PartitionKey {
                topic: info.id,
                partition: number,
            };
            let name = TopicPartition::new(info.name.clone(), number);
            let opening = Opening::empty(name, key, limits, &self.shared.producers);
            partitions.push(self.open_partition(opening));
        }
        let topic = Topic {
            info: info.clone(),
            partitions,
        };
        self.topics.write().insert(info.name.clone(), topic);
        Ok(info)
    }

    fn open_partition(&self, opening: Opening) -> Partition {
        let stream = self.store.stream_of(opening.key);
        let readable = opening.unreadable.is_none();
        let partition = Partition::open(opening, &self.streams[stream], &self.shared);
        if readable {
            // Metadata that was restored may lie behind the data.
            let epoch = self.epoch.max(partition.marks().leader_epoch);
            partition.lead(epoch, Commit::Alone);
        }
        partition
    }

    fn delete_topic(&self, name: TopicName) -> Result<(), TopicError> {
        let delete = Command::DeleteTopic {
            name: name.clone(),
            id: None,
        };
        self.look_after_reserve();
        match self.metadata.apply_now(delete)? {
            Answer::TopicDeleted { .. } => {}
            Answer::Refused(refused) => return Err(refused.into_topic_error()),
            _ => return Err(MetadataError::Closed.into()),
        }
        let topic = self.topics.write().remove(&name);
        let partitions = topic.map_or_else(Vec::new, |topic| topic.partitions);
        for partition in &partitions {
            partition.close();
        }
        let keys = partitions.iter().map(Partition::key);
        self.leftovers.lock().extend(keys);
        self.remove_leftovers();
        Ok(())
    }

    fn look_after_reserve(&self) {
        if let Some(reserve) = &self.reserve {
            reserve.look();
        }
    }

    /// Removes what deleted topics left.
    fn remove_leftovers(&self) {
        let mut leftovers = self.leftovers.lock();
        if leftovers.is_empty() {
            return;
        }
        let mut by_stream = vec![Vec::new(); self.streams.len()];
        for key in leftovers.drain(..) {
            by_stream[self.store.stream_of(key)].push(key);
        }
        for (stream, keys) in self.streams.iter().zip(by_stream) {
            if keys.is_empty() {
                continue;
            }
            if let Err(error) = stream.remove(&keys) {
                let partitions = keys.len();
                tracing::warn!(%error, partitions, "could not remove deleted partitions, retrying later");
                leftovers.extend(keys);
            }
        }
    }

    fn all_partitions(&self) -> Vec<Partition> {
        let topics = self.topics.read();
        let partitions = topics.values().flat_map(|topic| &topic.partitions);
        partitions.cloned().collect()
    }

    fn health(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let trouble = self.streams.iter().filter_map(|stream| stream.trouble());
        if let Some(reason) = trouble.into_iter().next() {
            problems.push(Problem::Refusing { reason });
        } else if let Some(reason) = self.store.full() {
            problems.push(Problem::Refusing { reason });
        }
        problems.extend(self.stuck());
        let groups: u64 = self.streams.iter().map(|stream| stream.panics()).sum();
        let times = groups + self.shared.pool.panics() + self.background.panics();
        if times > 0 {
            problems.push(Problem::Panicked { times });
        }
        if let Some(reason) = self.tidy.failed() {
            problems.push(Problem::Untidy { reason });
        }
        let unknown = self.unknown.lock();
        problems.extend(unknown.iter().map(|(&topic, found)| {
            let partitions = found.len();
            Problem::UnknownTopic { topic, partitions }
        }));
        drop(unknown);
        let partitions = self.leftovers.lock().len();
        if partitions > 0 {
            problems.push(Problem::NotRemoved { partitions });
        }
        let offline = self.all_partitions().into_iter().filter_map(|partition| {
            let Role::Offline { reason } = partition.role() else {
                return None;
            };
            Some(Problem::Offline {
                partition: partition.name().clone(),
                reason: reason.to_string(),
            })
        });
        problems.extend(offline.take(OFFLINE_NAMED_MAX));
        problems
    }

    /// Streams of which the store does not come back.
    fn stuck(&self) -> Vec<Problem> {
        let stuck = self.streams.iter().enumerate().filter_map(|(n, stream)| {
            let time = stream.writing_for()?;
            (time > self.config.flush_wait_max).then_some(Problem::Stuck {
                stream: n,
                seconds: time.as_secs(),
            })
        });
        stuck.collect()
    }

    fn close(&self) {
        let ticker = self.ticker.lock().take();
        drop(ticker);
        self.background.abandon();
        let partitions = self.all_partitions();
        for partition in &partitions {
            partition.shut();
        }
        self.shared.room.close();
        for stream in &self.streams {
            stream.shut();
        }
        self.shared.pool.join();
        for stream in &self.streams {
            stream.refuse_rest();
        }
        for partition in &partitions {
            partition.close();
        }
        let derived = || self.streams.iter().flat_map(|s| s.derived()).collect();
        if let Err(error) = self.store.close(&derived) {
            tracing::warn!(%error, "could not close the log cleanly");
        }
        self.metadata.close();
    }
}

fn limits(config: &TopicConfig) -> Limits {
    Limits {
        max_message_bytes: config.max_message_bytes,
        expires_after: retention::expires_after(config),
    }
}
