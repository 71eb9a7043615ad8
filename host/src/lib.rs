//! wstream: a WebAssembly-extensible stream processor in one binary.
//!
//! ```text
//! sources --> topics (wstream-log) --> transforms (wstream-transform) --> sinks
//!                 |                                                        |
//!                 +-- consumers, live tail                  search index --+-- dashboards
//! ```
//!
//! The modules stand in the order in which a record meets them.
//! The log is the only thing between a source and a pipeline: neither sees the other.

pub mod api;
pub mod bench;
pub mod cases;
pub mod cli;
pub mod config;
pub mod dashboard;
mod documents;
pub mod elastic;
pub mod groups;
pub mod http;
pub mod http_guard;
pub mod metrics;
pub mod node;
pub mod pipeline;
pub mod registry;
pub mod running;
pub mod schemas;
pub mod shutdown;
pub mod sinks;
pub mod sources;
pub mod stderr;
pub mod units;
