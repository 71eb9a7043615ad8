//! What can go wrong, and how Elasticsearch words it.

use serde_json::{Map, Value, json};

/// Why the indices of a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be read or made.
    #[error("cannot open the index directory {dir}: {error}")]
    Directory {
        /// The directory.
        dir: String,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Why an index cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IndexError {
    /// The name breaks the rules for names.
    #[error("invalid index name [{name}], {reason}")]
    Name {
        /// The name.
        name: String,
        /// Which rule.
        reason: &'static str,
    },
    /// The files are unreadable or of another format.
    #[error("could not open index [{name}]: {reason}")]
    Open {
        /// The index.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The search is closed.
    #[error("the indices are closed")]
    Closed,
}

/// Why documents were not taken. In every case the handle is done for: get the index anew and go
/// on from its position.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Writing failed; what was not durable is gone from the queue.
    #[error("could not write to index [{index}]: {reason}")]
    Failed {
        /// The index.
        index: String,
        /// What is wrong.
        reason: String,
    },
    /// The index was deleted.
    #[error("index [{index}] was deleted")]
    Deleted {
        /// The index.
        index: String,
    },
    /// The search is closed.
    #[error("index [{index}] is closed")]
    Closed {
        /// The index.
        index: String,
    },
}

/// A refused request in Elasticsearch's words.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}: {reason}")]
pub struct SearchError {
    /// The HTTP status.
    pub status: u16,
    /// Elasticsearch's name of the error.
    pub kind: &'static str,
    /// What is wrong, naming the culprit.
    pub reason: String,
    /// The index it is about.
    pub index: Option<String>,
    /// Whether it is reported as the failure of a shard.
    pub shard: bool,
    /// The error behind it.
    pub caused_by: Option<(&'static str, String)>,
}

impl SearchError {
    /// An error with a status of its own.
    #[must_use]
    pub fn new(status: u16, kind: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            reason: reason.into(),
            index: None,
            shard: false,
            caused_by: None,
        }
    }

    /// A request that cannot be understood.
    #[must_use]
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self::new(400, "parsing_exception", reason)
    }

    /// A request with a wrong argument.
    #[must_use]
    pub fn argument(reason: impl Into<String>) -> Self {
        Self::new(400, "illegal_argument_exception", reason)
    }

    /// An index that is not there.
    #[must_use]
    pub fn no_index(name: &str) -> Self {
        let mut error = Self::new(
            404,
            "index_not_found_exception",
            format!("no such index [{name}]"),
        );
        error.index = Some(name.to_owned());
        error
    }

    /// A failure inside.
    #[must_use]
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(500, "exception", reason)
    }

    /// Reports it as the failure of a shard, as Elasticsearch does for what it finds late.
    #[must_use]
    pub fn in_shard(mut self) -> Self {
        self.shard = true;
        self
    }

    /// Adds the error behind it.
    #[must_use]
    pub fn because(mut self, kind: &'static str, reason: impl Into<String>) -> Self {
        self.caused_by = Some((kind, reason.into()));
        self
    }

    fn cause(&self) -> Map<String, Value> {
        let mut cause = Map::new();
        cause.insert("type".into(), json!(self.kind));
        cause.insert("reason".into(), json!(self.reason));
        if let Some(index) = &self.index {
            if self.kind == "index_not_found_exception" {
                cause.insert("resource.type".into(), json!("index_or_alias"));
                cause.insert("resource.id".into(), json!(index));
                cause.insert("index_uuid".into(), json!("_na_"));
            }
            cause.insert("index".into(), json!(index));
        }
        cause
    }

    /// The body Elasticsearch would answer with.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let cause = self.cause();
        let mut full = cause.clone();
        if let Some((kind, reason)) = &self.caused_by {
            full.insert("caused_by".into(), json!({"type": kind, "reason": reason}));
        }
        if self.shard {
            let failed = json!([{
                "shard": 0,
                "index": self.index.clone().unwrap_or_default(),
                "node": crate::NODE_NAME,
                "reason": full,
            }]);
            return json!({
                "error": {
                    "root_cause": [cause],
                    "type": "search_phase_execution_exception",
                    "reason": "all shards failed",
                    "phase": "query",
                    "grouped": true,
                    "failed_shards": failed,
                },
                "status": self.status,
            });
        }
        let mut error = Map::new();
        error.insert("root_cause".into(), json!([cause]));
        error.extend(full);
        json!({"error": error, "status": self.status})
    }
}

impl From<tantivy::TantivyError> for SearchError {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<std::io::Error> for SearchError {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<IndexError> for SearchError {
    fn from(error: IndexError) -> Self {
        match &error {
            IndexError::Name { name, .. } => {
                let mut found = Self::new(400, "invalid_index_name_exception", error.to_string());
                found.index = Some(name.clone());
                found
            }
            IndexError::Open { .. } => Self::internal(error.to_string()),
            IndexError::Closed => Self::new(503, "node_closed_exception", error.to_string()),
        }
    }
}
