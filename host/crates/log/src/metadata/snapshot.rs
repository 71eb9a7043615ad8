//! A state as bytes, whole: what is encoded and decoded is equal.
//!
//! One line of JSON, behind it the ids of deleted topics, behind those the documents' bytes.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use wstream_record::{LeaderEpoch, TopicId, TopicName};

use super::state::{Document, State};
use crate::topic::{TopicInfo, TopicSpec};

/// The form of what is behind it.
const FORMAT: u32 = 1;
const ID_BYTES: usize = 16;

/// The part that is JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    index: u64,
    epoch: LeaderEpoch,
    producer_ids_below: i64,
    topics: Vec<Topic>,
    deleted: usize,
    documents: Vec<DocumentHead>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topic {
    name: TopicName,
    id: TopicId,
    spec: TopicSpec,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentHead {
    kind: String,
    name: String,
    version: u64,
    bytes: usize,
}

impl State {
    /// All of it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let topics = self.topics.values().map(|info| Topic {
            name: info.name.clone(),
            id: info.id,
            spec: info.spec(),
        });
        let documents = self.documents.iter().flat_map(|(kind, of_kind)| {
            of_kind.iter().map(|(name, document)| DocumentHead {
                kind: kind.clone(),
                name: name.clone(),
                version: document.version,
                bytes: document.body.len(),
            })
        });
        let head = Head {
            format: FORMAT,
            index: self.index,
            epoch: self.epoch,
            producer_ids_below: self.producer_ids_below,
            topics: topics.collect(),
            deleted: self.deleted.iter().len(),
            documents: documents.collect(),
        };
        let mut out = serde_json::to_vec(&head).expect("a state has only string keys");
        out.push(b'\n');
        for id in self.deleted.iter() {
            out.extend_from_slice(&id.0);
        }
        for document in self.documents.values().flat_map(|of_kind| of_kind.values()) {
            out.extend_from_slice(&document.body);
        }
        out
    }

    /// What `encode` wrote. Bodies of documents get memory of their own.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, String> {
        let end = bytes.iter().position(|&b| b == b'\n');
        let end = end.ok_or_else(|| "a snapshot has no end of line".to_owned())?;
        let head: Head = serde_json::from_slice(&bytes.slice(..end)).map_err(|e| e.to_string())?;
        if head.format != FORMAT {
            return Err(format!("a snapshot has form {}, not {FORMAT}", head.format));
        }
        let mut state = Self {
            index: head.index,
            epoch: head.epoch,
            producer_ids_below: head.producer_ids_below,
            ..Self::default()
        };
        for topic in head.topics {
            state.decode_topic(topic)?;
        }
        let mut rest = bytes.slice(end + 1..);
        for _ in 0..head.deleted {
            let mut id = [0; ID_BYTES];
            rest.try_copy_to_slice(&mut id).map_err(|e| e.to_string())?;
            state.deleted.insert(TopicId(id));
        }
        for document in head.documents {
            if rest.len() < document.bytes {
                return Err("a snapshot ends in a document".to_owned());
            }
            // A copy: a slice would keep the whole snapshot in memory.
            let body = Bytes::copy_from_slice(&rest.split_to(document.bytes));
            let of_kind = state.documents.entry(document.kind).or_default();
            let version = document.version;
            of_kind.insert(document.name, Document { version, body });
        }
        if !rest.is_empty() {
            return Err(format!("a snapshot has {} bytes behind it", rest.len()));
        }
        Ok(state)
    }

    fn decode_topic(&mut self, topic: Topic) -> Result<(), String> {
        let config = topic.spec.resolve().map_err(|e| e.to_string())?;
        let info = TopicInfo {
            id: topic.id,
            name: topic.name.clone(),
            config,
            overrides: topic.spec.overrides,
        };
        self.names.insert(topic.id, topic.name.clone());
        self.topics.insert(topic.name, info);
        Ok(())
    }
}
