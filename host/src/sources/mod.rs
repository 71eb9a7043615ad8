//! Inputs: each row of a file becomes exactly one record of a topic, or exactly one dead letter,
//! whatever is killed when.
//!
//! A `Source` turns an input into rows and can start again at any position it has given out.
//! `runner` drives it: it routes rows to partitions, appends them as an idempotent producer, and
//! keeps the position in the internal topic `__wstream_sources`. After a kill it reads again from
//! that position and skips, partition by partition, what the log already holds.
//! Nothing here interprets what rows mean: that is what transforms are for.

pub mod config;
pub mod csv;
pub mod jsonl;

pub use config::{InvalidSetting, SourceConfig};
pub use csv::CsvConfig;
pub use jsonl::JsonlConfig;
