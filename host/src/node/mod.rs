//! A node: everything that `wstream run` starts, in order, and stops in reverse.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What the command line says of a node.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The pipeline file; `None` runs without pipelines.
    pub file: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// Address of the page and the API.
    pub http: SocketAddr,
    /// Address of the Elasticsearch API.
    pub search: SocketAddr,
    /// Token that protects changes; `None` accepts changes on loopback.
    pub http_token: Option<String>,
    /// Whether listeners beyond loopback are allowed without a token.
    pub insecure: bool,
    /// Reload the file when it changes.
    pub watch: bool,
    /// Exit when all finite sources are read and every sink has confirmed.
    pub once: bool,
    /// With `once`: exit 1 if a record was dead-lettered.
    pub fail_on_dead_letter: bool,
}
