//! What runs in this node now: the node writes it, the API and the metrics read it.
//!
//! Everything is a snapshot taken when asked, so that nothing here can hold back the data path.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use crate::pipeline::{PipelineStatus, Report, TrialStatus};
use crate::sources::SourceStatus;

/// Snapshots of a named thing.
type Probe<T> = Arc<dyn Fn() -> T + Send + Sync>;

/// The registry of what runs. Clones share it.
#[derive(Clone, Default)]
pub struct Running(Arc<RwLock<Parts>>);

#[derive(Default)]
struct Parts {
    sources: BTreeMap<String, Probe<SourceStatus>>,
    pipelines: BTreeMap<String, Probe<PipelineStatus>>,
    sinks: BTreeMap<String, Probe<SinkView>>,
    steps: BTreeMap<String, Probe<TransformView>>,
    trials: BTreeMap<String, Probe<TrialStatus>>,
    rehearsals: BTreeMap<String, Probe<Report>>,
    ready: bool,
    reload_error: Option<String>,
}

/// A source as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceView {
    /// What it says of itself.
    #[serde(flatten)]
    pub status: SourceStatus,
    /// Rows put into the log per second.
    pub records_per_second: f64,
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
    /// Nanoseconds in its calls.
    #[serde(skip)]
    pub nanoseconds: u64,
    /// Nanoseconds per record, over the process' life.
    pub ns_per_record: u64,
    /// Memory of its instances.
    pub memory_bytes: u64,
    /// Instances alive.
    pub instances: u64,
}

impl TransformView {
    /// Adds what the same module did in another step.
    fn add(&mut self, other: Self) {
        self.pipelines.extend(other.pipelines);
        self.pipelines.dedup();
        self.records += other.records;
        self.outputs += other.outputs;
        for (name, n) in other.failures {
            *self.failures.entry(name).or_default() += n;
        }
        self.nanoseconds += other.nanoseconds;
        self.ns_per_record = self.nanoseconds.checked_div(self.records).unwrap_or(0);
        self.memory_bytes += other.memory_bytes;
        self.instances += other.instances;
    }
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
    kind!(set_source, remove_source, sources, SourceStatus);
    kind!(set_pipeline, remove_pipeline, pipelines, PipelineStatus);
    kind!(set_sink, remove_sink, sinks, SinkView);

    /// Registers the module of a pipeline's step under a name of its own.
    pub fn set_transform(
        &self,
        name: &str,
        probe: impl Fn() -> TransformView + Send + Sync + 'static,
    ) {
        self.0
            .write()
            .steps
            .insert(name.to_owned(), Arc::new(probe));
    }

    /// Forgets the steps whose names begin with `prefix`.
    pub fn remove_transforms(&self, prefix: &str) {
        self.0
            .write()
            .steps
            .retain(|name, _| !name.starts_with(prefix));
    }

    /// Snapshots of all modules, those of one name and digest together.
    #[must_use]
    pub fn transforms(&self) -> Vec<TransformView> {
        let mut merged: BTreeMap<(String, String), TransformView> = BTreeMap::new();
        let probes: Vec<_> = self.0.read().steps.values().cloned().collect();
        for step in probes.iter().map(|probe| probe()) {
            match merged.entry((step.name.clone(), step.sha256.clone())) {
                Entry::Vacant(entry) => drop(entry.insert(step)),
                Entry::Occupied(mut entry) => entry.get_mut().add(step),
            }
        }
        merged.into_values().collect()
    }

    /// Keeps the last trial of a module.
    pub fn set_trial(&self, module: &str, probe: impl Fn() -> TrialStatus + Send + Sync + 'static) {
        let probe: Probe<TrialStatus> = Arc::new(probe);
        self.0.write().trials.insert(module.to_owned(), probe);
    }

    /// The last trial of a module.
    #[must_use]
    pub fn trial(&self, module: &str) -> Option<TrialStatus> {
        let probe = self.0.read().trials.get(module).cloned();
        probe.map(|probe| probe())
    }

    /// Keeps the last rehearsal of a module.
    pub fn set_rehearsal(&self, module: &str, probe: impl Fn() -> Report + Send + Sync + 'static) {
        let probe: Probe<Report> = Arc::new(probe);
        self.0.write().rehearsals.insert(module.to_owned(), probe);
    }

    /// The last rehearsal of a module.
    #[must_use]
    pub fn rehearsal(&self, module: &str) -> Option<Report> {
        let probe = self.0.read().rehearsals.get(module).cloned();
        probe.map(|probe| probe())
    }

    /// Forgets the trial and the rehearsal of a module.
    pub fn forget_module(&self, module: &str) {
        let mut parts = self.0.write();
        parts.trials.remove(module);
        parts.rehearsals.remove(module);
    }

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
