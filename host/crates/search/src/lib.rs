//! The embedded search index: any JSON object is taken without a mapping, becomes durable and
//! searchable at the next commit, exactly once, and answers Elasticsearch's searches.
//!
//! One tantivy index per name, written by a thread of its own behind a bounded queue; a commit
//! carries the positions of its sources. Queries and aggregations read columns, words and stored
//! documents through snapshots of the last commit. It speaks JSON values, not HTTP: the listener
//! is the host's.

mod aggs;
mod catalog;
mod config;
mod document;
mod error;
mod hash;
#[doc(hidden)]
pub mod hostile;
mod index;
mod query;
mod schema;
mod search;
mod snapshot;
mod time;
mod tokenizer;

pub use catalog::{IndexInfo, Search};
pub use config::SearchConfig;
pub use document::{
    COLUMN_PATHS_MAX, DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, DOCUMENT_KEYS_MAX, KEY_BYTES_MAX,
};
pub use error::{IndexError, OpenError, SearchError, WriteError};
pub use index::{Document, Index, Prepared, Rejected, SourceBatch, SourceKey};
pub use schema::COLUMN_STRING_BYTES_MAX;
pub use search::{Answer, DocumentAnswer, SearchOptions, Target, TotalHits, filter_answer};

/// The name of the one node in answers that need one.
pub(crate) const NODE_NAME: &str = "wstream";
