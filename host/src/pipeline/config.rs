//! What the file says about pipelines.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use wstream_record::{ByteSize, TopicName};

use crate::units::{Period, Size};

/// What a Redpanda module finds as its first output topic, unless it is named.
const DEFAULT_OUTPUT: &str = "default";

/// A way from topics through transforms to sinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Topics to read, each partition by a task of its own.
    #[schemars(with = "Vec<String>")]
    pub from: Vec<TopicName>,
    /// What happens to each record, in this order. Default none: records pass as they are.
    #[serde(default)]
    pub transforms: Vec<StepConfig>,
    /// Names of sinks; each gets every record that leaves the last transform.
    #[serde(default)]
    pub to: Vec<String>,
    /// Topic for records that failed. Default the source topic's name with `.dlq` behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub dead_letter: Option<TopicName>,
}

impl PipelineConfig {
    /// Every sink it names, by `to` and by the outputs of its transforms; some perhaps twice.
    pub fn sinks(&self) -> impl Iterator<Item = &String> {
        let steps = self.transforms.iter();
        let routed = steps.flat_map(|step| step.outputs.values().flatten());
        self.to.iter().chain(routed)
    }
}

/// One transform of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepConfig {
    /// A module's name, `NAME@VERSION`, or the path of a `.wasm` file.
    pub module: String,
    /// The module's configuration, given to it as JSON. Default none: `{}`.
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Sinks of the module's further outputs by the output's name. The first output goes on.
    #[serde(default)]
    pub outputs: BTreeMap<String, Vec<String>>,
    /// For modules of the Redpanda SDKs: the topics they may write to by name, the first being the
    /// default output. Default `default`, and the names in `outputs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_topics: Vec<String>,
    /// What happens to a record that fails. Default `dead_letter`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What one record may cost.
    #[serde(default)]
    pub limits: LimitsConfig,
}

impl StepConfig {
    /// The topics that a Redpanda module may write to by name: as written, else the default output
    /// and those that have sinks of their own.
    #[must_use]
    pub fn topics_by_name(&self) -> Vec<String> {
        if !self.output_topics.is_empty() {
            return self.output_topics.clone();
        }
        let routed = self.outputs.keys().cloned();
        std::iter::once(DEFAULT_OUTPUT.to_owned())
            .chain(routed)
            .collect()
    }
}

/// What happens to a record that a transform fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes to the dead-letter topic, unchanged, and the pipeline goes on.
    #[default]
    DeadLetter,
    /// It is counted and dropped, and the pipeline goes on.
    Skip,
    /// The pipeline stops in front of it.
    Stop,
}

/// What one record may cost in a transform; beyond it the record fails and the limit is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Longest time for one record. Default `1s`.
    pub time_per_record: Period,
    /// Largest memory of one instance. Default `64MiB`.
    pub memory: Size,
    /// Most output of one record. Default `8MiB`.
    pub output_per_record: Size,
    /// Most lines that one instance may log in a second; the rest is counted. Default 100.
    pub log_lines_per_second: u32,
    /// Most entries of keyed state for one partition. Default 1,000,000.
    pub state_entries: u64,
    /// Most bytes of keyed state for one partition: keys, values and 64 bytes an entry. They are
    /// held in memory. Default `64MiB`.
    pub state: Size,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            time_per_record: Period(Duration::from_secs(1)),
            memory: Size(ByteSize::mib(64)),
            output_per_record: Size(ByteSize::mib(8)),
            log_lines_per_second: 100,
            state_entries: 1_000_000,
            state: Size(ByteSize::mib(64)),
        }
    }
}
