//! Runs user transforms compiled to WebAssembly; a module costs itself its record and nothing more.
//!
//! `Runtime` compiles bytes into a `Module`; a `Transform` is a module in service under a name with
//! its configuration and limits; an `Instance` of it works on the batches of one partition, in
//! order, and says for each record: outputs, or a failure. `guest-sdk/ABI.md` is the text of the
//! boundary.
//!
//! Guests run on threads of this crate. They get no files, no network and no memory of the host;
//! every byte they hand over is checked. The crate knows no topics, no dead letters, no retries:
//! what becomes of outputs and failures is the pipeline's.

mod executor;
mod failure;
mod frame;
mod guest;
mod host;
mod imports;
mod inspect;
mod instance;
mod keyed;
mod last_words;
mod limits;
mod loghub;
mod module;
mod runtime;
mod schemas;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod transform;

pub use failure::{Cause, Failure, Output, code_name};
pub use frame::{
    BadFrame, Entries, Entry, EntryBody, Fault, Headers, OutputEntry, PayloadError, PayloadRecord,
};
pub use inspect::{Inspection, Kind, Metadata, ModuleError, inspect};
pub use instance::{InitError, InputBatch, Instance, Processed};
pub use keyed::{KeyedState, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, StateChange, StateLimits};
pub use limits::{Limits, MEMORY_MAX};
pub use loghub::{LogLine, LogReader};
pub use module::Module;
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use schemas::{Registering, SchemaDefinition, SchemaKind, SchemaRegistry, SubjectSchema};
pub use stats::{HISTOGRAM_BOUNDS, Histogram, Metric, Stats};
pub use transform::{Service, Transform};
