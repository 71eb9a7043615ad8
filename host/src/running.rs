//! What runs in this node now: the node writes it, the API and the metrics read it.
//!
//! Everything is a snapshot taken when asked, so that nothing here can hold back the data path.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

/// Snapshots of a named thing.
type Probe<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// The registry of what runs. Clones share it.
#[derive(Clone, Default)]
pub struct Running(Arc<RwLock<Parts>>);

#[derive(Default)]
struct Parts {
    sources: BTreeMap<String, Probe<SourceView>>,
    pipelines: BTreeMap<String, Probe<PipelineView>>,
    sinks: BTreeMap<String, Probe<SinkView>>,
    transforms: BTreeMap<String, Probe<TransformView>>,
    ready: bool,
    reload_error: Option<String>,
}

/// A source as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// Its name in the file.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it reads.
    pub path: String,
    /// Where its records go.
    pub topic: String,
    /// `reading`, `following`, `waiting`, `done`, `failed` or `stopped`.
    pub state: &'static str,
    /// Rows put into the log by this process.
    pub records: u64,
    /// Rows that became dead letters.
    pub bad_rows: u64,
    /// Bytes read of the input.
    pub bytes_read: u64,
    /// Bytes of the input.
    pub bytes_total: u64,
    /// Rows put into the log per second.
    pub records_per_second: f64,
    /// Why it failed.
    pub error: Option<String>,
}

/// A pipeline as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PipelineView {
    /// Its name in the file.
    pub name: String,
    /// `flowing`, `idle`, `waiting`, `failed` or `done`.
    pub state: &'static str,
    /// Topics it reads.
    pub from: Vec<String>,
    /// Its transforms in order.
    pub transforms: Vec<StepView>,
    /// Sinks of its default output.
    pub to: Vec<String>,
    /// Topics of its dead letters.
    pub dead_letter: Vec<String>,
    /// Records read by this process.
    pub in_total: u64,
    /// Records handed to sinks by this process.
    pub out_total: u64,
    /// Records that failed in this process.
    pub errors_total: u64,
    /// Records read per second.
    pub in_per_second: f64,
    /// Records handed to sinks per second.
    pub out_per_second: f64,
    /// Failed records per second.
    pub errors_per_second: f64,
    /// Records behind the high watermarks.
    pub lag: i64,
    /// Each partition's position.
    pub partitions: Vec<PositionView>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// The module's name.
    pub module: String,
    /// Its version, as the module states it.
    pub version: String,
}

/// A pipeline's position in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PositionView {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record to deliver.
    pub position: i64,
    /// Records behind the high watermark.
    pub lag: i64,
}

/// A sink as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkView {
    /// Its name in the file.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The index, topic, folder or dashboard.
    pub target: String,
    /// Records accepted by this process.
    pub records: u64,
    /// Bytes accepted by this process.
    pub bytes: u64,
    /// Records accepted and not durable yet.
    pub durable_lag: i64,
}

/// A module as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransformView {
    /// The module's name.
    pub name: String,
    /// Its version, as the module states it.
    pub version: String,
    /// Its kind of module.
    pub kind: &'static str,
    /// Digest of its bytes, hexadecimal.
    pub sha256: String,
    /// Bytes of the module.
    pub size: u64,
    /// Pipelines that use it.
    pub pipelines: Vec<String>,
    /// Records given to it.
    pub records: u64,
    /// Outputs taken from it.
    pub outputs: u64,
    /// Failed records by name.
    pub failures: BTreeMap<String, u64>,
    /// Nanoseconds per record, over the process' life.
    pub ns_per_record: u64,
    /// Linear memory of its instances.
    pub memory_bytes: u64,
    /// Instances alive.
    pub instances: i64,
}

macro_rules! kind {
    ($set:ident, $remove:ident, $all:ident, $view:ty) => {
        #[doc = concat!("Registers one of the ", stringify!($all), " under its name.")]
        pub fn $set(&self, name: &str, probe: impl Fn() -> $view + Send + Sync + 'static) {
            self.0.write().$all.insert(name.to_owned(), Arc::new(probe));
        }

        #[doc = concat!("Forgets one of the ", stringify!($all), ".")]
        pub fn $remove(&self, name: &str) {
            self.0.write().$all.remove(name);
        }

        #[doc = concat!("Snapshots of all ", stringify!($all), ", by name.")]
        #[must_use]
        pub fn $all(&self) -> Vec<$view> {
            // Taken outside the lock: a probe may be slow, and may itself register.
            let probes: Vec<_> = self.0.read().$all.values().cloned().collect();
            probes.iter().map(|probe| probe()).collect()
        }
    };
}

impl Running {
    kind!(set_source, remove_source, sources, SourceView);
    kind!(set_pipeline, remove_pipeline, pipelines, PipelineView);
    kind!(set_sink, remove_sink, sinks, SinkView);
    kind!(set_transform, remove_transform, transforms, TransformView);

    /// Says that everything in the file has started.
    pub fn set_ready(&self, ready: bool) {
        self.0.write().ready = ready;
    }

    /// Whether everything in the file has started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.read().ready
    }

    /// Keeps why the last edit of the file was not taken; `None` after one that was.
    pub fn set_reload_error(&self, error: Option<String>) {
        self.0.write().reload_error = error;
    }

    /// Why the last edit of the file was not taken.
    #[must_use]
    pub fn reload_error(&self) -> Option<String> {
        self.0.read().reload_error.clone()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.0.read();
        f.debug_struct("Running")
            .field("sources", &parts.sources.keys())
            .field("pipelines", &parts.pipelines.keys())
            .finish_non_exhaustive()
    }
}
