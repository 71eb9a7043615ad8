//! The two frames of `wstream_v1` as plain functions on bytes: `guest-sdk/ABI.md` is their text. And
//! `payload`, the form in which Redpanda modules read and write single records.
//!
//! The output decoder trusts nothing: it never indexes, never allocates by a length it read, and
//! names the first fault with its position. It copies nothing either: entries borrow the frame.

mod input;
mod output;
pub(crate) mod payload;
mod pool;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use input::{encode, frame_bytes, record_bytes};
pub use output::{BadFrame, Entries, Entry, EntryBody, Fault, Headers, OutputEntry};
pub use payload::{PayloadError, PayloadRecord};
pub(crate) use pool::Pool;
pub(crate) use writer::FrameWriter;
