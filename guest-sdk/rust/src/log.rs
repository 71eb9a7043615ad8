//! Lines for the module's log: `wstream transform logs`, the page, and the node's own log.
//!
//! Off wasm they go to [`testing::logs`](crate::testing::logs).

use crate::abi;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace = 0,
    /// For finding an error.
    Debug = 1,
    /// What happened.
    Info = 2,
    /// Something is wrong and was dealt with.
    Warn = 3,
    /// Something is lost.
    Error = 4,
}

/// Logs a line. The host allows a number of lines a second and counts the rest.
pub fn log(level: Level, line: &str) {
    abi::log(level as i32, line);
}

/// Logs a trace line, formatted as by `format!`.
#[macro_export]
macro_rules! trace { ($($line:tt)+) => { $crate::log::log($crate::log::Level::Trace, &format!($($line)+)) }; }

/// Logs a debug line, formatted as by `format!`.
#[macro_export]
macro_rules! debug { ($($line:tt)+) => { $crate::log::log($crate::log::Level::Debug, &format!($($line)+)) }; }

/// Logs an info line, formatted as by `format!`.
#[macro_export]
macro_rules! info { ($($line:tt)+) => { $crate::log::log($crate::log::Level::Info, &format!($($line)+)) }; }

/// Logs a warning, formatted as by `format!`.
#[macro_export]
macro_rules! warn { ($($line:tt)+) => { $crate::log::log($crate::log::Level::Warn, &format!($($line)+)) }; }

/// Logs an error, formatted as by `format!`.
#[macro_export]
macro_rules! error { ($($line:tt)+) => { $crate::log::log($crate::log::Level::Error, &format!($($line)+)) }; }
