//! From the log through transforms to sinks: one task per pipeline and partition, in order.

mod config;

pub use config::{LimitsConfig, OnFailure, PipelineConfig, StepConfig};
