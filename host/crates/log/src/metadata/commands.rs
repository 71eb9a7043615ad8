//! What changes the metadata, with the condition under which it does, and what it is answered.
//!
//! A command holds everything that its effect depends on besides the state: ids are in it, times
//! would be. It is stored as one line of JSON and, behind it, a document's bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wstream_record::{ByteSize, LeaderEpoch, TopicId, TopicName};

use super::DOCUMENT_BYTES_MAX;
use crate::errors::{DocumentError, MetadataError, TopicError};
use crate::topic::{TopicChange, TopicInfo, TopicSpec};

/// Most producer ids in one block.
pub(crate) const PRODUCER_IDS_MAX: i64 = 1_000_000;
/// Bytes of the line of JSON of the largest command: names, and settings of a topic.
const LINE_BYTES_MAX: ByteSize = ByteSize::mib(1);

/// What changes the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// Creates a topic if there is none of that name.
    CreateTopic {
        name: TopicName,
        id: TopicId,
        spec: TopicSpec,
    },
    /// Changes a topic's settings, or adds partitions.
    AlterTopic {
        name: TopicName,
        change: TopicChange,
    },
    /// Deletes a topic; with an id only if it is still that one.
    DeleteTopic {
        name: TopicName,
        id: Option<TopicId>,
    },
    /// Creates or replaces a document.
    PutDocument {
        kind: String,
        name: String,
        condition: Condition,
        #[serde(skip)]
        body: Bytes,
    },
    /// Deletes a document that is there.
    DeleteDocument {
        kind: String,
        name: String,
        if_version: Option<u64>,
    },
    /// Takes a block of producer ids.
    ProducerIds { count: i64 },
    /// The node starts: it leads its partitions in a new epoch.
    NodeStarted,
    /// Nothing; it has an index.
    Noop,
}

/// When a document is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// Always.
    Always,
    /// If there is none.
    IfAbsent,
    /// If it is there in this version.
    IfVersion(u64),
}

/// What a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The topic, created or altered.
    Topic(TopicInfo),
    /// The topic that was deleted.
    TopicDeleted { id: TopicId, partitions: i32 },
    /// The document's version: the index of the command that put it.
    Version(u64),
    /// The document was deleted.
    DocumentDeleted,
    /// Producer ids from the first one to below the other.
    ProducerIds { first: i64, below: i64 },
    /// The node's leader epoch.
    Epoch(LeaderEpoch),
    /// It is done.
    Done,
    /// Its condition does not hold: nothing was changed.
    Refused(Refused),
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is a topic of that name or id.
    TopicExists(TopicName),
    /// There is no such topic.
    TopicUnknown(TopicName),
    /// A topic cannot have that many.
    Partitions { partitions: i32 },
    /// The topic has more partitions than it is to have.
    FewerPartitions {
        name: TopicName,
        has: i32,
        wanted: i32,
    },
    /// A topic's setting is impossible.
    Setting {
        key: String,
        value: String,
        reason: String,
    },
    /// There is such a document.
    DocumentExists { version: u64 },
    /// The document is there in another version, or not at all.
    DocumentVersion { found: Option<u64> },
    /// There is no such document.
    DocumentUnknown,
    /// So many producer ids cannot be taken.
    Count { count: i64 },
}

impl Command {
    /// Refuses what is too large to be stored.
    pub(super) fn check_size(&self) -> Result<(), MetadataError> {
        let (name, bytes, max) = match self {
            Self::PutDocument {
                kind, name, body, ..
            } => {
                let bytes = kind.len() + name.len() + body.len();
                (name.as_str(), bytes, DOCUMENT_BYTES_MAX)
            }
            Self::DeleteDocument { kind, name, .. } => {
                (name.as_str(), kind.len() + name.len(), DOCUMENT_BYTES_MAX)
            }
            Self::CreateTopic { name, spec, .. } => {
                (name.as_str(), settings_bytes(spec), LINE_BYTES_MAX)
            }
            Self::AlterTopic { name, change } => {
                (name.as_str(), change_bytes(change), LINE_BYTES_MAX)
            }
            Self::DeleteTopic { .. }
            | Self::ProducerIds { .. }
            | Self::NodeStarted
            | Self::Noop => return Ok(()),
        };
        let bytes = ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX));
        if bytes <= max {
            return Ok(());
        }
        let name = name.chars().take(80).collect();
        Err(MetadataError::TooLarge { name, bytes, max })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).expect("a command has only string keys");
        out.push(b'\n');
        if let Self::PutDocument { body, .. } = self {
            out.extend_from_slice(body);
        }
        out
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, String> {
        let end = bytes.iter().position(|&b| b == b'\n');
        let end = end.ok_or_else(|| "a command has no end of line".to_owned())?;
        let (line, rest) = (bytes.slice(..end), bytes.slice(end + 1..));
        let mut command = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
        match &mut command {
            Self::PutDocument { body, .. } => *body = rest,
            _ if rest.is_empty() => {}
            _ => return Err("a command has bytes behind it".to_owned()),
        }
        Ok(command)
    }
}

fn change_bytes(change: &TopicChange) -> usize {
    match change {
        TopicChange::Whole(spec) => settings_bytes(spec),
        TopicChange::Some { set, unset, .. } => {
            let set = set.iter().map(|(k, v)| k.len() + v.len());
            set.chain(unset.iter().map(String::len)).sum()
        }
    }
}

fn settings_bytes(spec: &TopicSpec) -> usize {
    spec.overrides.iter().map(|(k, v)| k.len() + v.len()).sum()
}

impl Refused {
    /// As an error of a command about a topic.
    pub(crate) fn into_topic_error(self) -> TopicError {
        match self {
            Self::TopicExists(name) => TopicError::Exists(name),
            Self::TopicUnknown(name) => TopicError::Unknown(name),
            Self::Partitions { partitions } => TopicError::Partitions { partitions },
            Self::FewerPartitions { name, has, wanted } => {
                TopicError::FewerPartitions { name, has, wanted }
            }
            Self::Setting { key, value, reason } => TopicError::Setting { key, value, reason },
            Self::DocumentExists { .. }
            | Self::DocumentVersion { .. }
            | Self::DocumentUnknown
            | Self::Count { .. } => unreachable!("commands about topics are not refused so"),
        }
    }

    /// As an error of a command about a document.
    pub(crate) fn into_document_error(self) -> DocumentError {
        match self {
            Self::DocumentExists { version } => DocumentError::Exists { version },
            Self::DocumentVersion { found } => DocumentError::Version { found },
            Self::DocumentUnknown => DocumentError::Version { found: None },
            Self::TopicExists(_)
            | Self::TopicUnknown(_)
            | Self::Partitions { .. }
            | Self::FewerPartitions { .. }
            | Self::Setting { .. }
            | Self::Count { .. } => unreachable!("commands about documents are not refused so"),
        }
    }
}

impl From<TopicError> for Refused {
    /// What `TopicSpec::resolve` says.
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Exists(name) => Self::TopicExists(name),
            TopicError::Unknown(name) => Self::TopicUnknown(name),
            TopicError::Partitions { partitions } => Self::Partitions { partitions },
            TopicError::FewerPartitions { name, has, wanted } => {
                Self::FewerPartitions { name, has, wanted }
            }
            TopicError::Setting { key, value, reason } => Self::Setting { key, value, reason },
            TopicError::NotForgotten(_) | TopicError::Metadata(_) | TopicError::Store(_) => {
                unreachable!("a state has nothing to do with stores")
            }
        }
    }
}
