//! Numbers the node shows under `/metrics`, named by the transform; at most 100 names.
//!
//! What a record added before it failed in a call that was redone is not counted twice: the host
//! takes metrics over when the call has succeeded. Off wasm they go to
//! [`testing::metrics`](crate::testing::metrics).

use crate::abi;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sum that grows.
    Counter = 0,
    /// The latest value.
    Gauge = 1,
    /// A distribution.
    Histogram = 2,
}

/// Adds to a counter.
pub fn count(name: &str, add: f64) {
    abi::metric(Kind::Counter, name, add);
}

/// Sets a gauge.
pub fn gauge(name: &str, value: f64) {
    abi::metric(Kind::Gauge, name, value);
}

/// Adds a value to a histogram.
pub fn observe(name: &str, value: f64) {
    abi::metric(Kind::Histogram, name, value);
}
