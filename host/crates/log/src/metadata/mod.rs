//! The node's metadata: a log of commands applied to a state in memory. A change is there for
//! readers once its command is stored.
//!
//! Topics with their settings, documents by kind and name (dashboards and the like), and blocks
//! of producer ids. Commands are applied one at a time; reads never wait for the disk.
//! It does not hold large things: modules are files, records are in the log.

mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use wstream_record::{ByteSize, ProducerId, TopicName};

use self::state::State;
pub(crate) use self::state::{Change, Command};
use self::store::DiskCommands;
use crate::errors::MetadataError;
use crate::topic::TopicConfig;

/// Bytes of the largest document, its name included.
pub const DOCUMENT_BYTES_MAX: ByteSize = ByteSize::mib(4);
/// Producer ids taken at once: those of a block not given out before a restart are lost.
const PRODUCER_ID_BLOCK: i64 = 1_000;

/// The node's metadata; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metadata(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    /// Held while a command is stored and applied.
    commands: Mutex<CommandLog>,
    producer_ids: Mutex<std::ops::Range<i64>>,
}

/// Where commands are stored.
#[derive(Debug)]
enum CommandLog {
    /// Nowhere: for logs in memory.
    Memory,
    /// In a database.
    Disk(DiskCommands),
    /// Nowhere any more.
    Closed,
}

impl Metadata {
    pub(crate) fn in_memory() -> Self {
        Self::new(CommandLog::Memory, State::default())
    }

    /// Opens the metadata in `dir`. Blocks.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, MetadataError> {
        let (commands, state) = DiskCommands::open(dir)?;
        Ok(Self::new(CommandLog::Disk(commands), state))
    }

    fn new(commands: CommandLog, state: State) -> Self {
        Self(Arc::new(Inner {
            state: RwLock::new(state),
            commands: Mutex::new(commands),
            producer_ids: Mutex::new(0..0),
        }))
    }

    /// A document.
    #[must_use]
    pub fn document(&self, kind: &str, name: &str) -> Option<Bytes> {
        let key = (kind.to_owned(), name.to_owned());
        self.0.state.read().documents.get(&key).cloned()
    }

    /// All documents of a kind, by name.
    #[must_use]
    pub fn documents(&self, kind: &str) -> Vec<(String, Bytes)> {
        let state = self.0.state.read();
        let from = (kind.to_owned(), String::new());
        let documents = state.documents.range(from..);
        documents
            .take_while(|((k, _), _)| k == kind)
            .map(|((_, name), body)| (name.clone(), body.clone()))
            .collect()
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
        let bytes = ByteSize((kind.len() + name.len() + body.len()) as u64);
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(MetadataError::TooLarge {
                name: name.to_owned(),
                bytes,
                max: DOCUMENT_BYTES_MAX,
            });
        }
        let (kind, name) = (kind.to_owned(), name.to_owned());
        let change = Change::PutDocument { kind, name };
        self.apply(Command { change, body }).await
    }

    /// Deletes a document; says whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_document(&self, kind: &str, name: &str) -> Result<bool, MetadataError> {
        if self.document(kind, name).is_none() {
            return Ok(false);
        }
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.apply(Change::DeleteDocument { kind, name }.into())
            .await?;
        Ok(true)
    }

    pub(crate) async fn allocate_producer_id(&self) -> Result<ProducerId, MetadataError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.allocate_producer_id()).await
    }

    pub(crate) async fn apply(&self, command: Command) -> Result<(), MetadataError> {
        let inner = Arc::clone(&self.0);
        blocking(move || inner.apply(command)).await
    }

    /// Applies a command. Blocks.
    pub(crate) fn apply_now(&self, command: Command) -> Result<(), MetadataError> {
        self.0.apply(command)
    }

    /// Lets go of the database; changes are refused from then on. Blocks.
    pub(crate) fn close(&self) {
        *self.0.commands.lock() = CommandLog::Closed;
    }

    pub(crate) fn topics(&self) -> Vec<(TopicName, TopicConfig)> {
        let state = self.0.state.read();
        let topics = state.topics.iter();
        topics.map(|(n, c)| (n.clone(), c.clone())).collect()
    }

    pub(crate) fn deleting(&self) -> Vec<(TopicName, TopicConfig)> {
        let state = self.0.state.read();
        let topics = state.deleting.iter();
        topics.map(|(n, c)| (n.clone(), c.clone())).collect()
    }
}

impl Inner {
    fn apply(&self, command: Command) -> Result<(), MetadataError> {
        let mut commands = self.commands.lock();
        if matches!(*commands, CommandLog::Closed) {
            return Err(MetadataError::Closed);
        }
        if let CommandLog::Disk(disk) = &mut *commands {
            if !disk.is_open() {
                *self.state.write() = disk.reopen()?;
            }
            if let Err(error) = disk.append(&command) {
                // sled takes nothing more after a failed write; what it holds is the truth.
                match disk.reopen() {
                    Ok(state) => *self.state.write() = state,
                    Err(error) => tracing::error!(%error, "the metadata does not reopen"),
                }
                return Err(error);
            }
        }
        self.state.write().apply(command);
        if let CommandLog::Disk(disk) = &mut *commands {
            let state = self.state.read();
            if let Err(error) = disk.maybe_snapshot(&state) {
                // The commands are all there; the next one reopens the store.
                tracing::warn!(%error, "could not write a metadata snapshot");
                disk.close();
            }
        }
        Ok(())
    }

    fn allocate_producer_id(&self) -> Result<ProducerId, MetadataError> {
        let mut ids = self.producer_ids.lock();
        if ids.is_empty() {
            let first = self.state.read().producer_ids_below;
            let below = first + PRODUCER_ID_BLOCK;
            self.apply(Change::ProducerIds { below }.into())?;
            *ids = first..below;
        }
        ids.next().map(ProducerId).ok_or(MetadataError::Closed)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MetadataError> + Send + 'static,
) -> Result<T, MetadataError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(MetadataError::Closed))
}
