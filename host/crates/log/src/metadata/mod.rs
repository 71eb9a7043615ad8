//! The node's metadata: a command that was answered is there after a power cut, or the next start
//! is refused and says what reads. Nothing is dropped in silence.
//!
//! A log of commands is applied to a state machine in memory. Commands carry their conditions and
//! are decided where they are applied, one at a time; nobody looks first and writes after. In it
//! are topics with their settings, documents by kind and name (dashboards and the like), blocks of
//! producer ids, and the leader epoch. Reads never wait for the disk.
//! It holds no large things (modules are files, records are in the log) and nothing that is true of
//! this machine only, such as what is being removed here.

mod commands;
mod end;
mod entropy;
mod generation;
mod reading;
mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use wstream_record::{ByteSize, LeaderEpoch, ProducerId, TopicId, TopicName};

pub(crate) use self::commands::{Answer, Command, Condition};
pub use self::entropy::Entropy;
pub(crate) use self::state::State;
use self::store::DiskCommands;
pub use self::store::Restored;
use crate::errors::{DocumentError, MetadataError, StoreError, TopicError};
use crate::topic::{TopicChange, TopicInfo, TopicSpec};

/// Bytes of the largest document, its name included.
pub const DOCUMENT_BYTES_MAX: ByteSize = ByteSize::mib(4);
/// Producer ids taken at once: those of a block not given out before a restart are lost.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// The node's metadata; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metadata(Arc<Inner>);

/// Locks are taken in the order of the fields, and none is held while one above it is taken.
#[derive(Debug)]
struct Inner {
    producer_ids: Mutex<std::ops::Range<i64>>,
    /// Held while a command is decided, stored and applied.
    commands: Mutex<CommandLog>,
    /// Written by who holds `commands`, and only for the moment in which a command is applied.
    state: RwLock<State>,
    /// Why no command is taken at the moment; written by who holds `commands`.
    trouble: RwLock<Option<Arc<str>>>,
    entropy: Entropy,
}

/// Where commands are stored.
#[derive(Debug)]
enum CommandLog {
    /// Nowhere: for logs in memory.
    Memory,
    /// In a database.
    Disk(Box<DiskCommands>),
    /// Nowhere any more.
    Closed,
}

impl Metadata {
    /// Metadata that is gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_memory_with(Entropy::system())
    }

    /// The same, with ids from `entropy`.
    #[must_use]
    pub fn in_memory_with(entropy: Entropy) -> Self {
        Self::new(CommandLog::Memory, State::default(), entropy)
    }

    /// Opens the metadata in `dir`. Blocks.
    ///
    /// # Errors
    /// The store failed, or what it holds is damaged: then nothing was changed.
    pub fn open(dir: PathBuf) -> Result<Self, MetadataError> {
        Self::open_with(dir, Entropy::system())
    }

    /// The same, with ids from `entropy`. Blocks.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(dir: PathBuf, entropy: Entropy) -> Result<Self, MetadataError> {
        let (commands, state) = DiskCommands::open(dir)?;
        Ok(Self::new(
            CommandLog::Disk(Box::new(commands)),
            state,
            entropy,
        ))
    }

    /// Goes back to what reads of the damaged metadata in `dir`, and keeps a copy of the damaged
    /// files in `aside` beside it. Of metadata that is not damaged nothing is changed. Blocks.
    ///
    /// # Errors
    /// The store failed; nothing was changed.
    pub fn restore(dir: &Path) -> Result<Restored, MetadataError> {
        store::restore(dir)
    }

    /// What is in memory, as a start after this one has ended finds it.
    #[cfg(test)]
    pub(crate) fn started_again(&self) -> Self {
        let state = self.0.state.read().clone();
        Self::new(CommandLog::Memory, state, self.0.entropy.clone())
    }

    fn new(commands: CommandLog, state: State, entropy: Entropy) -> Self {
        Self(Arc::new(Inner {
            producer_ids: Mutex::new(0..0),
            commands: Mutex::new(commands),
            state: RwLock::new(state),
            trouble: RwLock::new(None),
            entropy,
        }))
    }

    /// A document.
    #[must_use]
    pub fn document(&self, kind: &str, name: &str) -> Option<Bytes> {
        let state = self.0.state.read();
        state.document(kind, name).map(|d| d.body.clone())
    }

    /// A document with its version.
    #[must_use]
    pub fn document_version(&self, kind: &str, name: &str) -> Option<(u64, Bytes)> {
        let state = self.0.state.read();
        let document = state.document(kind, name)?;
        Some((document.version, document.body.clone()))
    }

    /// All documents of a kind, by name.
    #[must_use]
    pub fn documents(&self, kind: &str) -> Vec<(String, Bytes)> {
        let state = self.0.state.read();
        let of_kind = state.documents.get(kind).into_iter().flatten();
        of_kind.map(|(n, d)| (n.clone(), d.body.clone())).collect()
    }

    /// Creates or replaces a document.
    ///
    /// # Errors
    /// It is too large, or the store failed.
    pub async fn put_document(
        &self,
        kind: &str,
        name: &str,
        body: Bytes,
    ) -> Result<(), MetadataError> {
        match self.put(kind, name, body, Condition::Always).await {
            Ok(_) => Ok(()),
            Err(DocumentError::Metadata(error)) => Err(error),
            Err(DocumentError::Exists { .. } | DocumentError::Version { .. }) => {
                unreachable!("there is no condition")
            }
        }
    }

    /// Creates a document; answers its version.
    ///
    /// # Errors
    /// There is one, it is too large, or the store failed.
    pub async fn create_document(
        &self,
        kind: &str,
        name: &str,
        body: Bytes,
    ) -> Result<u64, DocumentError> {
        self.put(kind, name, body, Condition::IfAbsent).await
    }

    /// Replaces a document that is still there in `version`; answers its new one.
    ///
    /// # Errors
    /// It has another version, it is too large, or the store failed.
    pub async fn put_document_if(
        &self,
        version: u64,
        kind: &str,
        name: &str,
        body: Bytes,
    ) -> Result<u64, DocumentError> {
        let condition = Condition::IfVersion(version);
        self.put(kind, name, body, condition).await
    }

    async fn put(
        &self,
        kind: &str,
        name: &str,
        body: Bytes,
        condition: Condition,
    ) -> Result<u64, DocumentError> {
        let command = Command::PutDocument {
            kind: kind.to_owned(),
            name: name.to_owned(),
            condition,
            body,
        };
        match self.apply(command).await? {
            Answer::Version(version) => Ok(version),
            Answer::Refused(refused) => Err(refused.into_document_error()),
            other => unreachable!("a document is not answered {other:?}"),
        }
    }

    /// Deletes a document; says whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_document(&self, kind: &str, name: &str) -> Result<bool, MetadataError> {
        let answer = self.apply(delete(kind, name, None)).await?;
        Ok(matches!(answer, Answer::DocumentDeleted))
    }

    /// Deletes a document that is still there in `version`.
    ///
    /// # Errors
    /// It has another version, or the store failed.
    pub async fn delete_document_if(
        &self,
        version: u64,
        kind: &str,
        name: &str,
    ) -> Result<(), DocumentError> {
        match self.apply(delete(kind, name, Some(version))).await? {
            Answer::Refused(refused) => Err(refused.into_document_error()),
            _ => Ok(()),
        }
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// There is one, what is asked for is impossible, or the store failed.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        spec: TopicSpec,
    ) -> Result<TopicInfo, TopicError> {
        let id = self.new_topic_id()?;
        let name = name.clone();
        topic_answer(self.apply(Command::CreateTopic { name, id, spec }).await?)
    }

    /// Alters a topic: a `TopicSpec` replaces all that was asked for.
    ///
    /// # Errors
    /// There is none, what is asked for is impossible, or the store failed.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        change: impl Into<TopicChange>,
    ) -> Result<TopicInfo, TopicError> {
        let (name, change) = (name.clone(), change.into());
        topic_answer(self.apply(Command::AlterTopic { name, change }).await?)
    }

    /// Deletes a topic (with an id, only if it is still that one); answers its id and how many
    /// partitions it had.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn delete_topic(
        &self,
        name: &TopicName,
        id: Option<TopicId>,
    ) -> Result<(TopicId, i32), TopicError> {
        let name = name.clone();
        match self.apply(Command::DeleteTopic { name, id }).await? {
            Answer::TopicDeleted { id, partitions } => Ok((id, partitions)),
            Answer::Refused(refused) => Err(refused.into_topic_error()),
            other => unreachable!("a deletion is not answered {other:?}"),
        }
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.0.state.read().topics.values().cloned().collect()
    }

    /// A topic.
    #[must_use]
    pub fn topic(&self, name: &TopicName) -> Option<TopicInfo> {
        self.0.state.read().topics.get(name).cloned()
    }

    /// The topic of an id.
    #[must_use]
    pub fn topic_of(&self, id: TopicId) -> Option<TopicInfo> {
        let state = self.0.state.read();
        state.topics.get(state.names.get(&id)?).cloned()
    }

    /// Whether a topic of that id was deleted; the last 100,000 are known.
    #[must_use]
    pub fn is_deleted(&self, id: TopicId) -> bool {
        self.0.state.read().deleted.contains(id)
    }

    /// The epoch in which this node leads its partitions; it rises at `node_started`.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.0.state.read().epoch
    }

    /// The index of the last command applied.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.state.read().index()
    }

    /// Why the store takes no changes at the moment; each new command tries again.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.0.trouble.read().clone()
    }

    /// A new topic's id.
    pub(crate) fn new_topic_id(&self) -> Result<TopicId, MetadataError> {
        let id = self.0.entropy.topic_id();
        id.map_err(|e| StoreError::failed("ask for random bytes", "the system", &e).into())
    }

    /// Begins a new leader epoch. Blocks.
    pub(crate) fn node_started(&self) -> Result<LeaderEpoch, MetadataError> {
        match self.apply_now(Command::NodeStarted)? {
            Answer::Epoch(epoch) => Ok(epoch),
            other => unreachable!("a start is not answered {other:?}"),
        }
    }

    pub(crate) async fn allocate_producer_id(&self) -> Result<ProducerId, MetadataError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.allocate_producer_id()).await
    }

    /// Decides, stores and applies a command.
    pub(crate) async fn apply(&self, command: Command) -> Result<Answer, MetadataError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.apply(command)).await
    }

    /// The same. Blocks.
    pub(crate) fn apply_now(&self, command: Command) -> Result<Answer, MetadataError> {
        self.0.apply(command)
    }

    /// Lets go of the database; changes are refused from then on. Blocks.
    pub(crate) fn close(&self) {
        *self.0.commands.lock() = CommandLog::Closed;
    }
}

impl Inner {
    fn apply(&self, command: Command) -> Result<Answer, MetadataError> {
        command.check_size()?;
        let mut log = self.commands.lock();
        if matches!(*log, CommandLog::Closed) {
            return Err(MetadataError::Closed);
        }
        // The state does not change before `log` is let go, so what is refused here would be
        // refused as well once it was stored.
        if let Some(refused) = self.state.read().refusal(&command) {
            return Ok(Answer::Refused(refused));
        }
        let index = self.state.read().index() + 1;
        if let CommandLog::Disk(disk) = &mut *log {
            let appended = disk.append(index, &command, &self.state.read());
            *self.trouble.write() = disk.trouble();
            appended?;
        }
        let answer = self.state.write().apply(index, command);
        assert!(
            !matches!(answer, Answer::Refused(_)),
            "a command that was stored is not refused"
        );
        if let CommandLog::Disk(disk) = &mut *log {
            disk.maybe_begin_generation(&self.state.read());
            *self.trouble.write() = disk.trouble();
        }
        Ok(answer)
    }

    fn allocate_producer_id(&self) -> Result<ProducerId, MetadataError> {
        let mut ids = self.producer_ids.lock();
        if ids.is_empty() {
            let count = PRODUCER_ID_BLOCK;
            match self.apply(Command::ProducerIds { count })? {
                Answer::ProducerIds { first, below } => *ids = first..below,
                other => unreachable!("producer ids are not answered {other:?}"),
            }
        }
        ids.next().map(ProducerId).ok_or(MetadataError::Closed)
    }
}

fn delete(kind: &str, name: &str, if_version: Option<u64>) -> Command {
    Command::DeleteDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        if_version,
    }
}

fn topic_answer(answer: Answer) -> Result<TopicInfo, TopicError> {
    match answer {
        Answer::Topic(info) => Ok(info),
        Answer::Refused(refused) => Err(refused.into_topic_error()),
        other => unreachable!("a topic is not answered {other:?}"),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MetadataError> + Send + 'static,
) -> Result<T, MetadataError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(MetadataError::Closed))
}
