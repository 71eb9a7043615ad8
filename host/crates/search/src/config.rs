//! Settings of the search.

use std::time::Duration;

use wstream_record::ByteSize;

use crate::document::COLUMN_PATHS_MAX;

/// Bounds and times of all indices.
#[derive(Debug, Clone)]
pub struct SearchConfig {
    /// The longest a document waits for its commit while documents arrive.
    pub commit_interval: Duration,
    /// The shortest, where commits are fast.
    pub commit_interval_min: Duration,
    /// Bytes of documents that make a commit due before that.
    pub commit_bytes: ByteSize,
    /// Bytes of documents that wait for one index's writer.
    pub queue_bytes: ByteSize,
    /// A writer without work for this long is closed.
    pub writer_idle: Duration,
    /// Most writers open at once.
    pub writers_max: usize,
    /// Most searches running at once; more wait.
    pub searches_max: usize,
    /// Most paths of an index that have columns.
    pub column_paths_max: usize,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_millis(500),
            commit_interval_min: Duration::from_millis(200),
            commit_bytes: ByteSize::mib(30),
            queue_bytes: ByteSize::mib(16),
            writer_idle: Duration::from_secs(30),
            writers_max: 16,
            searches_max: 4,
            column_paths_max: COLUMN_PATHS_MAX,
        }
    }
}
