//! Consumer groups: which positions each group has committed.
//!
//! A pipeline is a group too (`wstream.pipeline.NAME`), so that any Kafka tool shows its lag.

mod format;
mod offsets;

pub use offsets::{Committed, OffsetCommit, Offsets, OffsetsError};
