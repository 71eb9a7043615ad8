//! The metadata's state machine: commands in, state out, nothing else.
//!
//! A state is also a list of commands that rebuild it: that is what a snapshot holds.
//! A command is stored as one line of JSON and, after it, the document's bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wstream_record::TopicName;

use crate::topic::TopicConfig;

/// What changes the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) change: Change,
    /// The document, for `PutDocument`.
    pub(crate) body: Bytes,
}

/// The part of a command that is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Creates a topic or replaces its settings.
    PutTopic {
        name: TopicName,
        config: TopicConfig,
    },
    /// The topic is gone for users; its records are being removed.
    DeleteTopic {
        name: TopicName,
    },
    /// Its records are removed.
    TopicDeleted {
        name: TopicName,
    },
    /// Creates or replaces a document, whose bytes are the body.
    PutDocument {
        kind: String,
        name: String,
    },
    DeleteDocument {
        kind: String,
        name: String,
    },
    /// Producer ids below this have been given out.
    ProducerIds {
        below: i64,
    },
}

/// What all commands so far come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<TopicName, TopicConfig>,
    /// Topics whose records are being removed.
    pub(crate) deleting: BTreeMap<TopicName, TopicConfig>,
    /// By kind and name.
    pub(crate) documents: BTreeMap<(String, String), Bytes>,
    pub(crate) producer_ids_below: i64,
}

impl From<Change> for Command {
    fn from(change: Change) -> Self {
        let body = Bytes::new();
        Self { change, body }
    }
}

impl Command {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(&self.change).expect("a command has only string keys");
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, String> {
        let end = bytes.iter().position(|&b| b == b'\n');
        let end = end.ok_or_else(|| "it has no end of line".to_owned())?;
        let change = serde_json::from_slice(&bytes[..end]).map_err(|e| e.to_string())?;
        let body = bytes.slice(end + 1..);
        Ok(Self { change, body })
    }
}

impl State {
    pub(crate) fn apply(&mut self, command: Command) {
        match command.change {
            Change::PutTopic { name, config } => {
                self.topics.insert(name, config);
            }
            Change::DeleteTopic { name } => {
                if let Some(config) = self.topics.remove(&name) {
                    self.deleting.insert(name, config);
                }
            }
            Change::TopicDeleted { name } => {
                self.deleting.remove(&name);
            }
            Change::PutDocument { kind, name } => {
                self.documents.insert((kind, name), command.body);
            }
            Change::DeleteDocument { kind, name } => {
                self.documents.remove(&(kind, name));
            }
            Change::ProducerIds { below } => {
                self.producer_ids_below = self.producer_ids_below.max(below);
            }
        }
    }

    /// Commands that lead from nothing to this state.
    pub(crate) fn rebuild(&self) -> Vec<Command> {
        let put = |(name, config): (&TopicName, &TopicConfig)| Change::PutTopic {
            name: name.clone(),
            config: config.clone(),
        };
        let delete =
            |(name, _): (&TopicName, &TopicConfig)| Change::DeleteTopic { name: name.clone() };
        let below = self.producer_ids_below;
        // A topic that is being deleted may have a successor of its name.
        let deleting = self.deleting.iter().map(put);
        let deletions = self.deleting.iter().map(delete);
        let changes = deleting
            .chain(deletions)
            .chain(self.topics.iter().map(put))
            .chain([Change::ProducerIds { below }])
            .map(Command::from);
        let documents = self.documents.iter().map(|((kind, name), body)| Command {
            change: Change::PutDocument {
                kind: kind.clone(),
                name: name.clone(),
            },
            body: body.clone(),
        });
        changes.chain(documents).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<Command> {
        let topic = |name: &str| TopicName::new(name).unwrap();
        let put = |name: &str, partitions| {
            Command::from(Change::PutTopic {
                name: topic(name),
                config: TopicConfig::partitions(partitions),
            })
        };
        let document = |name: &str, body: &'static [u8]| Command {
            change: Change::PutDocument {
                kind: "dashboard".to_owned(),
                name: name.to_owned(),
            },
            body: Bytes::from_static(body),
        };
        vec![
            put("a", 1),
            put("b", 2),
            put("a", 3),
            Change::DeleteTopic { name: topic("b") }.into(),
            document("x", b"{}\n\xff"),
            document("y", b""),
            Change::DeleteDocument {
                kind: "dashboard".to_owned(),
                name: "y".to_owned(),
            }
            .into(),
            Change::ProducerIds { below: 2_000 }.into(),
            Change::ProducerIds { below: 1_000 }.into(),
        ]
    }

    #[test]
    fn commands_survive_their_encoding() {
        for command in commands() {
            let decoded = Command::decode(&command.encode().into()).unwrap();
            assert_eq!(decoded, command);
        }
        for bad in ["", "{}", "{}\n", "{\"put_nothing\":{}}\n"] {
            assert!(Command::decode(&Bytes::from(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_state_is_rebuilt_by_its_commands() {
        let mut state = State::default();
        commands().into_iter().for_each(|c| state.apply(c));
        assert_eq!(state.topics.len(), 1);
        assert_eq!(state.deleting.len(), 1);
        assert_eq!(state.documents.len(), 1);
        assert_eq!(state.producer_ids_below, 2_000);
        let mut rebuilt = State::default();
        state.rebuild().into_iter().for_each(|c| rebuilt.apply(c));
        assert_eq!(rebuilt, state);
    }
}
