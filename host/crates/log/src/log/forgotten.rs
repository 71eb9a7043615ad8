//! Data of topics that the metadata does not know, as after damaged metadata was restored: it is kept
//! until somebody adopts it under a name or discards it.
//!
//! Adopting is a command of the metadata, that the topic of this id has that name; its partitions are
//! there at once, with what was derived from them. Discarding removes the data as a deletion does: what
//! is left of it after a crash is found forgotten again.

use wstream_record::{ByteSize, Offset, PartitionId, TopicId, TopicName};

use super::opening::opening;
use super::{Inner, Log, Topic};
use crate::errors::{MetadataError, TopicError};
use crate::metadata::{Answer, Command};
use crate::partition::Recovery;
use crate::store::{PartitionKey, Recovered, Replay as _};
use crate::topic::{TopicInfo, TopicSpec};

/// A topic that the metadata does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// Its id: its name is not known.
    pub topic: TopicId,
    /// Those of its partitions that have data.
    pub partitions: Vec<ForgottenPartition>,
}

/// What is there of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForgottenPartition {
    /// Which.
    pub partition: PartitionId,
    /// The oldest offset.
    pub log_start: Offset,
    /// The offset after the last one.
    pub log_end: Offset,
    /// Of batches.
    pub bytes: ByteSize,
}

impl Forgotten {
    /// The partitions that it had at least.
    #[must_use]
    pub fn partitions_min(&self) -> i32 {
        let last = self.partitions.iter().map(|found| found.partition.0).max();
        last.map_or(1, |last| last.saturating_add(1))
    }
}

impl Log {
    /// Data of topics that the metadata does not know, by id.
    #[must_use]
    pub fn forgotten(&self) -> Vec<Forgotten> {
        let unknown = self.0.unknown.lock();
        let all = unknown.iter().map(|(&topic, found)| {
            let partitions = found.iter().map(|found| ForgottenPartition {
                partition: found.key.partition,
                log_start: found.start,
                log_end: found.end,
                bytes: self.0.store.bytes(found.key),
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort_unstable_by_key(|found| found.partition);
            Forgotten { topic, partitions }
        });
        all.collect()
    }

    /// Makes the data of a forgotten topic that of a topic of this name, with these settings.
    ///
    /// # Errors
    /// There is no data of that id, there is a topic of that name, `spec` has fewer partitions than
    /// have data, or the metadata store failed.
    pub async fn adopt(
        &self,
        id: TopicId,
        name: &TopicName,
        spec: TopicSpec,
    ) -> Result<TopicInfo, TopicError> {
        let name = name.clone();
        self.change(move |inner| inner.adopt(id, name, spec)).await
    }

    /// Removes the data of a forgotten topic.
    ///
    /// # Errors
    /// There is no data of that id, or the store failed: what is left is forgotten still.
    pub async fn discard(&self, id: TopicId) -> Result<(), TopicError> {
        self.change(move |inner| inner.discard(id)).await
    }
}

impl Inner {
    fn forgotten(&self, id: TopicId) -> Result<Vec<Recovered>, TopicError> {
        let unknown = self.unknown.lock();
        let found = unknown.get(&id).cloned();
        found.ok_or(TopicError::NotForgotten(id))
    }

    fn adopt(
        &self,
        id: TopicId,
        name: TopicName,
        spec: TopicSpec,
    ) -> Result<TopicInfo, TopicError> {
        let found = self.forgotten(id)?;
        let last = found.iter().map(|found| found.key.partition.0).max();
        let (has, wanted) = (
            last.map_or(0, |last| last.saturating_add(1)),
            spec.partitions,
        );
        if wanted < has {
            return Err(TopicError::FewerPartitions { name, has, wanted });
        }
        let create = Command::CreateTopic { name, id, spec };
        let info = match self.metadata.apply_now(create)? {
            Answer::Topic(info) => info,
            Answer::Refused(refused) => return Err(refused.into_topic_error()),
            _ => return Err(MetadataError::Closed.into()),
        };
        let mut recovery = Recovery::new(self.shared.producers.clone(), self.shared.clock.now());
        let partitions = (0..info.config.partitions).map(PartitionId).map(|number| {
            let found = found.iter().find(|found| found.key.partition == number);
            if let Some(found) = found {
                let stream = &self.streams[self.store.stream_of(found.key)];
                // Without it, or if it does not read, the batches are read.
                let derived = stream.take_stranger(found.key).unwrap_or_default();
                if !recovery.derived(vec![(found.key, derived)]) {
                    recovery.derived(vec![(found.key, Vec::new())]);
                }
            }
            let found = found.copied();
            let producers = &self.shared.producers;
            self.open_partition(opening(
                &*self.store,
                &mut recovery,
                &info,
                number,
                found,
                producers,
            ))
        });
        let partitions = partitions.collect();
        let topic = Topic {
            info: info.clone(),
            partitions,
        };
        self.topics.write().insert(info.name.clone(), topic);
        self.unknown.lock().remove(&id);
        Ok(info)
    }

    fn discard(&self, id: TopicId) -> Result<(), TopicError> {
        let found = self.forgotten(id)?;
        self.look_after_reserve();
        for (number, stream) in self.streams.iter().enumerate() {
            let keys = found.iter().map(|found| found.key);
            let keys: Vec<PartitionKey> = keys
                .filter(|key| self.store.stream_of(*key) == number)
                .collect();
            if keys.is_empty() {
                continue;
            }
            stream.remove(&keys)?;
            for key in &keys {
                drop(stream.take_stranger(*key));
            }
            let mut unknown = self.unknown.lock();
            if let Some(left) = unknown.get_mut(&id) {
                left.retain(|found| !keys.contains(&found.key));
            }
        }
        self.unknown.lock().remove(&id);
        Ok(())
    }
}
