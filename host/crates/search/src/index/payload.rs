//! What a commit carries beside its documents: for each source its next offset. Both become
//! visible together or not at all, which is what makes indexing exactly once.

use serde::{Deserialize, Serialize};
use wstream_record::{Offset, PartitionId, TopicName};

/// The form of the payload and of the schema.
const FORMAT: u32 = 1;

/// Where documents come from. An index keeps one position per source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    /// The pipeline that writes.
    pub pipeline: String,
    /// The topic it reads.
    pub topic: TopicName,
    /// The topic's partition.
    pub partition: PartitionId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    pipeline: String,
    topic: TopicName,
    partition: PartitionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Offset>,
}

/// The table of sources in the order of their numbers, which documents hold in `_src`.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    v: u32,
    sources: Vec<Entry>,
}

/// Writes the payload.
pub(crate) fn encode<'a>(
    sources: impl Iterator<Item = (&'a SourceKey, Option<Offset>)>,
) -> Result<String, serde_json::Error> {
    let sources = sources
        .map(|(key, next)| Entry {
            pipeline: key.pipeline.clone(),
            topic: key.topic.clone(),
            partition: key.partition,
            next,
        })
        .collect();
    serde_json::to_string(&Payload { v: FORMAT, sources })
}

/// Reads a payload; an index without a commit has none.
pub(crate) fn decode(text: Option<&str>) -> Result<Vec<(SourceKey, Option<Offset>)>, String> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let payload: Payload = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if payload.v != FORMAT {
        return Err(format!("format {} is not {FORMAT}", payload.v));
    }
    let entries = payload.sources.into_iter();
    Ok(entries
        .map(|entry| {
            let key = SourceKey {
                pipeline: entry.pipeline,
                topic: entry.topic,
                partition: entry.partition,
            };
            (key, entry.next)
        })
        .collect())
}
