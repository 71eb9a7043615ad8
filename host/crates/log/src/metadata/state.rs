//! The metadata's state machine: the same commands in the same order lead to the same state and
//! the same answers on every machine. It knows no clock, no chance and no disk.
//!
//! Every command has an index, from 1. A document's version is the index of the command that put
//! it. A command whose condition does not hold changes nothing but the index.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use wstream_record::{LeaderEpoch, TopicId, TopicName};

use super::commands::{Answer, Command, Condition, PRODUCER_IDS_MAX, Refused};
use crate::topic::{TopicChange, TopicConfig, TopicInfo, TopicSpec};

/// Ids of deleted topics that are remembered; the oldest go.
pub(super) const DELETED_TOPICS_MAX: usize = 100_000;
/// Commands that are taken for lost where nobody knows how many were.
const LOST_UNKNOWN: u64 = 1_000_000;

/// What all commands so far come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(super) index: u64,
    pub(super) epoch: LeaderEpoch,
    pub(super) producer_ids_below: i64,
    pub(super) topics: BTreeMap<TopicName, TopicInfo>,
    pub(super) names: BTreeMap<TopicId, TopicName>,
    pub(super) deleted: DeletedTopics,
    /// By kind, then by name; no kind is empty.
    pub(super) documents: BTreeMap<String, BTreeMap<String, Document>>,
}

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// The index of the command that put it.
    pub(crate) version: u64,
    pub(crate) body: Bytes,
}

/// Ids of topics that were deleted, so that their data is told from data nobody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeletedTopics {
    /// In the order of their deletion.
    order: VecDeque<TopicId>,
    ids: BTreeSet<TopicId>,
}

impl DeletedTopics {
    pub(super) fn insert(&mut self, id: TopicId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > DELETED_TOPICS_MAX {
            let oldest = self.order.pop_front();
            oldest.map(|id| self.ids.remove(&id));
        }
    }

    pub(super) fn contains(&self, id: TopicId) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = TopicId> + '_ {
        self.order.iter().copied()
    }
}

impl State {
    /// The last command's index; 0 before the first.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn document(&self, kind: &str, name: &str) -> Option<&Document> {
        self.documents.get(kind)?.get(name)
    }

    /// Applies the next command, whose index is one above the last one's.
    pub(crate) fn apply(&mut self, index: u64, command: Command) -> Answer {
        assert_eq!(
            index,
            self.index + 1,
            "commands are applied one after another"
        );
        self.index = index;
        self.carry_out(command).unwrap_or_else(Answer::Refused)
    }

    /// Why a command would change nothing, if it were the next one.
    pub(crate) fn refusal(&self, command: &Command) -> Option<Refused> {
        match command {
            Command::CreateTopic { name, id, spec } => self.creation(name, *id, spec).err(),
            Command::AlterTopic { name, change } => self.alteration(name, change).err(),
            Command::DeleteTopic { name, id } => self.deletion(name, *id).err(),
            Command::PutDocument {
                kind,
                name,
                condition,
                ..
            } => self.put_refusal(kind, name, *condition),
            Command::DeleteDocument {
                kind,
                name,
                if_version,
            } => self.delete_refusal(kind, name, *if_version),
            Command::ProducerIds { count } => self.producer_ids_end(*count).err(),
            Command::NodeStarted | Command::Noop => None,
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<Answer, Refused> {
        match command {
            Command::CreateTopic { name, id, spec } => {
                let config = self.creation(&name, id, &spec)?;
                Ok(self.put_topic(name, id, spec, config))
            }
            Command::AlterTopic { name, change } => {
                let (id, spec, config) = self.alteration(&name, &change)?;
                Ok(self.put_topic(name, id, spec, config))
            }
            Command::DeleteTopic { name, id } => {
                let (id, partitions) = self.deletion(&name, id)?;
                self.topics.remove(&name);
                self.names.remove(&id);
                self.deleted.insert(id);
                Ok(Answer::TopicDeleted { id, partitions })
            }
            Command::PutDocument {
                kind,
                name,
                condition,
                body,
            } => {
                self.put_refusal(&kind, &name, condition)
                    .map_or(Ok(()), Err)?;
                let version = self.index;
                let document = Document { version, body };
                self.documents
                    .entry(kind)
                    .or_default()
                    .insert(name, document);
                Ok(Answer::Version(version))
            }
            Command::DeleteDocument {
                kind,
                name,
                if_version,
            } => {
                self.delete_refusal(&kind, &name, if_version)
                    .map_or(Ok(()), Err)?;
                if let Entry::Occupied(mut of_kind) = self.documents.entry(kind) {
                    of_kind.get_mut().remove(&name);
                    if of_kind.get().is_empty() {
                        of_kind.remove();
                    }
                }
                Ok(Answer::DocumentDeleted)
            }
            Command::ProducerIds { count } => {
                let first = self.producer_ids_below;
                let below = self.producer_ids_end(count)?;
                self.producer_ids_below = below;
                Ok(Answer::ProducerIds { first, below })
            }
            Command::NodeStarted => {
                self.epoch = LeaderEpoch(self.epoch.0.saturating_add(1));
                Ok(Answer::Epoch(self.epoch))
            }
            Command::Noop => Ok(Answer::Done),
        }
    }

    fn put_topic(
        &mut self,
        name: TopicName,
        id: TopicId,
        spec: TopicSpec,
        config: TopicConfig,
    ) -> Answer {
        let info = TopicInfo {
            id,
            name: name.clone(),
            config,
            overrides: spec.overrides,
        };
        self.names.insert(id, name.clone());
        self.topics.insert(name, info.clone());
        Answer::Topic(info)
    }

    fn creation(
        &self,
        name: &TopicName,
        id: TopicId,
        spec: &TopicSpec,
    ) -> Result<TopicConfig, Refused> {
        let taken = self.names.contains_key(&id) || self.deleted.contains(id);
        if taken || self.topics.contains_key(name) {
            return Err(Refused::TopicExists(name.clone()));
        }
        Ok(spec.resolve()?)
    }

    fn alteration(
        &self,
        name: &TopicName,
        change: &TopicChange,
    ) -> Result<(TopicId, TopicSpec, TopicConfig), Refused> {
        let unknown = || Refused::TopicUnknown(name.clone());
        let info = self.topics.get(name).ok_or_else(unknown)?;
        let spec = change.applied_to(info);
        let config = spec.resolve()?;
        let (has, wanted) = (info.config.partitions, config.partitions);
        if wanted < has {
            let name = name.clone();
            return Err(Refused::FewerPartitions { name, has, wanted });
        }
        Ok((info.id, spec, config))
    }

    fn deletion(&self, name: &TopicName, id: Option<TopicId>) -> Result<(TopicId, i32), Refused> {
        let info = self.topics.get(name);
        let info = info.filter(|info| id.is_none_or(|id| id == info.id));
        let info = info.ok_or_else(|| Refused::TopicUnknown(name.clone()))?;
        Ok((info.id, info.config.partitions))
    }

    fn put_refusal(&self, kind: &str, name: &str, condition: Condition) -> Option<Refused> {
        let found = self.document(kind, name).map(|d| d.version);
        match condition {
            Condition::Always => None,
            Condition::IfAbsent => found.map(|version| Refused::DocumentExists { version }),
            Condition::IfVersion(wanted) if found == Some(wanted) => None,
            Condition::IfVersion(_) => Some(Refused::DocumentVersion { found }),
        }
    }

    fn delete_refusal(&self, kind: &str, name: &str, if_version: Option<u64>) -> Option<Refused> {
        let found = self.document(kind, name).map(|d| d.version);
        match if_version {
            None if found.is_none() => Some(Refused::DocumentUnknown),
            Some(wanted) if found != Some(wanted) => Some(Refused::DocumentVersion { found }),
            _ => None,
        }
    }

    fn producer_ids_end(&self, count: i64) -> Result<i64, Refused> {
        let end = self.producer_ids_below.checked_add(count);
        end.filter(|_| (1..=PRODUCER_IDS_MAX).contains(&count))
            .ok_or(Refused::Count { count })
    }

    /// Goes on behind commands that nobody knows any more, up to the last one `acknowledged` if
    /// that is known: what they gave out is not given out again.
    pub(super) fn leap(&mut self, acknowledged: Option<u64>) {
        let lost = acknowledged.map_or(LOST_UNKNOWN, |last| last.saturating_sub(self.index));
        // What is lost of the file that says what was acknowledged is one command at most.
        let lost = lost.saturating_add(1);
        self.index = self.index.saturating_add(lost);
        let epochs = i32::try_from(lost).unwrap_or(i32::MAX / 2);
        self.epoch = LeaderEpoch(self.epoch.0.saturating_add(epochs));
        let ids = i64::try_from(lost).unwrap_or(i64::MAX);
        let ids = ids.saturating_mul(PRODUCER_IDS_MAX);
        let below = self.producer_ids_below.saturating_add(ids);
        // Half of all ids stay, whatever was lost.
        self.producer_ids_below = below.min(i64::MAX / 2).max(self.producer_ids_below);
    }
}
