//! Write a wstream transform in Rust: a function from a record to outputs or a failure.
//!
//! ```
//! use wstream_guest::{Failure, NoConfig, Output, Outputs, Record, Transform, export};
//!
//! struct Shout;
//!
//! impl Transform for Shout {
//!     type Config = NoConfig;
//!
//!     fn new(_: NoConfig) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure> {
//!         let value = record.value().ok_or_else(|| Failure::new(1, "no value"))?;
//!         out.send(Output::of(record).value(&value.to_ascii_uppercase()));
//!         Ok(())
//!     }
//! }
//!
//! export!(Shout);
//! ```
//!
//! The record that fails goes to the dead-letter topic with code and message; its neighbours are
//! not touched. A panic does the same, with the place and the message of the panic. A record for
//! which nothing is sent is dropped.
//!
//! How: [`export!`] gives the module the exports of the `wstream_v1` ABI (`guest-sdk/ABI.md`).
//! One call brings a batch, [`Record`] borrows from it, [`Outputs`] writes straight into the
//! answer; both buffers are reused. [`json`] edits JSON objects by splicing their bytes.
//! Off wasm the same code runs natively, and [`testing`] runs `cases.jsonl` on it.
//!
//! What it does not do: threads, files, sockets and waiting. A transform sees one record at a
//! time, in the order of its partition.

pub mod abi;
mod batch;
mod failure;
mod frame;
pub mod json;
pub mod log;
pub mod metric;
mod output;
mod record;
pub mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;

pub use batch::process_batch;
pub use failure::Failure;
pub use frame::FrameError;
pub use output::{Output, Outputs};
pub use record::{Header, Headers, Record};
pub use state::{State, StateError};

/// A transform: made once from its configuration, then given every record in turn.
pub trait Transform: Sized + 'static {
    /// The configuration, read from the pipeline's `config = { ... }`; `{}` without one.
    /// `#[serde(deny_unknown_fields)]` makes a misspelt key an error at start.
    type Config: serde::de::DeserializeOwned;

    /// The outputs by name; the first is the default one. The same list as in `transform.toml`.
    const OUTPUTS: &'static [&'static str] = &["default"];

    /// Makes the transform.
    ///
    /// # Errors
    /// The configuration cannot work; the pipeline does not start and shows the message.
    fn new(config: Self::Config) -> Result<Self, Failure>;

    /// Transforms one record: sends any number of outputs, or fails.
    ///
    /// # Errors
    /// What is wrong with this record. What was sent for it before is taken back.
    fn transform(&mut self, record: &Record<'_>, out: &mut Outputs<'_>) -> Result<(), Failure>;
}

/// The configuration of a transform that has none: any key is refused.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Milliseconds since 1970 on the host's clock.
#[must_use]
pub fn now_ms() -> i64 {
    abi::now_ms()
}
