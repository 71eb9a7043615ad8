//! Files of lines: each whole line is a record's value, byte for byte.

mod config;
mod path;

pub use config::JsonlConfig;
