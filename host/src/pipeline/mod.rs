//! From the log through transforms to sinks: each record of a pipeline's topics is delivered to
//! every sink at least once, in the order of its partition, whatever is killed when; exactly once
//! where the sink holds the position. A record that cannot be delivered becomes a dead letter.
//!
//! ```text
//! supervise --- one task per partition (`runner`: sessions; pauses that grow after a failure)
//!     |             `session`: reader -> chain of transforms -> lanes -> sinks
//!     |                          |               |                |
//!     |                       decode,        dead letters    bound of what is
//!     |                       read ahead    before hand-over  not durable
//!     +--- once a second: positions committed from what the sinks say is durable
//! ```
//!
//! Pipelines start and stop one by one; nothing here knows the configuration file or HTTP.

mod backoff;
mod chain;
mod config;
mod dead_letter;
mod lane;
mod plan;
mod reader;
mod rehearsal;
mod runner;
mod session;
mod state;
mod status;
mod supervise;
#[cfg(test)]
mod tests;
mod trial;

use wstream_record::ByteSize;

use crate::groups::Offsets;
use crate::shutdown::Shutdown;
use crate::sinks::SinkDeps;

pub use config::{LimitsConfig, OnFailure, PipelineConfig, StepConfig};
pub use plan::{Plan, PlanError};
pub use rehearsal::{Rehearsal, RehearsalPlan, RehearsalStart, Report};
pub use status::{PartitionStatus, PipelineState, PipelineStatus, TransformStatus};
pub use supervise::Pipeline;
pub use trial::{Trial, TrialLimits, TrialStatus, Verdict};

/// What a pipeline's group is called: any Kafka tool shows its lag under this name.
pub const GROUP_PREFIX: &str = "wstream.pipeline.";

/// Bytes that one sink of a pipeline may have taken and not made durable, unless told otherwise.
pub const NOT_DURABLE_BYTES_MAX: ByteSize = ByteSize::mib(64);

/// What pipelines are made of.
#[derive(Debug, Clone)]
pub struct PipelineDeps {
    /// Committed positions.
    pub offsets: Offsets,
    /// What sinks are made of; log, metrics and clock are the pipeline's as well.
    pub sinks: SinkDeps,
    /// Bytes that one sink of a pipeline may have taken and not made durable.
    pub not_durable_bytes_max: ByteSize,
    /// Asked to stop, all pipelines stop.
    pub shutdown: Shutdown,
}
