//! The two frames of `wstream_v1` as plain functions on bytes: `guest-sdk/ABI.md` is their text.
//!
//! The output decoder trusts nothing: it never indexes, never allocates by a length it read, and
//! names the first fault with its position. It copies nothing either: entries borrow the frame.

mod input;
mod output;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use input::{encode, frame_bytes, record_bytes};
pub use output::{BadFrame, Entries, Entry, EntryBody, Fault, Headers, OutputEntry};
pub(crate) use pool::Pool;
