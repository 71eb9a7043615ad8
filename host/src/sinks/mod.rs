//! Where records go: each sink says what it has accepted and what survives a crash.

mod config;

pub use config::{
    DashboardSinkConfig, FileFormat, FileSinkConfig, SearchSinkConfig, SinkConfig, StdoutFormat,
    StdoutSinkConfig, TopicSinkConfig,
};
