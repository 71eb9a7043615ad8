//! The imports of the ABI off wasm: what was logged, counted and failed is kept for the test.

use std::cell::RefCell;

use crate::log::Level;
use crate::metric::Kind;

/// Of each kind, the first so many are kept; a benchmark that logs must not grow.
const KEPT_MAX: usize = 10_000;

/// A line that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub line: String,
}

/// A number that was reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What the number means.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The number.
    pub value: f64,
}

thread_local! {
    static LOGS: RefCell<Vec<Logged>> = const { RefCell::new(Vec::new()) };
    static METRICS: RefCell<Vec<Metric>> = const { RefCell::new(Vec::new()) };
    static FAILED: RefCell<Option<(i32, String)>> = const { RefCell::new(None) };
}

/// Takes the lines this thread logged.
#[must_use]
pub fn logs() -> Vec<Logged> {
    LOGS.take()
}

/// Takes the numbers this thread reported.
#[must_use]
pub fn metrics() -> Vec<Metric> {
    METRICS.take()
}

/// Takes code and message of the last failure of a whole call on this thread.
#[must_use]
pub fn failed() -> Option<(i32, String)> {
    FAILED.take()
}

pub(crate) fn log(level: i32, line: &str) {
    let level = match level {
        0 => Level::Trace,
        1 => Level::Debug,
        2 => Level::Info,
        3 => Level::Warn,
        _ => Level::Error,
    };
    keep(
        &LOGS,
        Logged {
            level,
            line: line.to_owned(),
        },
    );
}

pub(crate) fn metric(kind: Kind, name: &str, value: f64) {
    keep(
        &METRICS,
        Metric {
            kind,
            name: name.to_owned(),
            value,
        },
    );
}

pub(crate) fn fail(code: i32, message: &str) {
    FAILED.set(Some((code, message.to_owned())));
}

pub(crate) fn now_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "stands in for the host's clock, which guests cannot control either"
    )]
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn keep<T>(kept: &'static std::thread::LocalKey<RefCell<Vec<T>>>, one: T) {
    kept.with_borrow_mut(|kept| {
        if kept.len() < KEPT_MAX {
            kept.push(one);
        }
    });
}
