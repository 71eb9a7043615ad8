//! CSV files: each row becomes a JSON object of strings, in the order of the header row.

mod config;

pub use config::CsvConfig;
