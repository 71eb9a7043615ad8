//! A module in service under a name: its configuration, limits, counters and log, shared by all
//! its instances.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tracing::Level;
use wstream_record::Timestamp;

use crate::inspect::Kind;
use crate::instance::{InitError, Instance};
use crate::keyed::{KeyedState, StateLimits};
use crate::limits::{Limits, SharedLimits};
use crate::loghub::LogLine;
use crate::module::Module;
use crate::schemas::SchemaRegistry;
use crate::stats::{Counters, Stats, add};

/// A module in service. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Transform {
    pub(crate) shared: Arc<Shared>,
}

/// What all instances of a transform share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) module: Module,
    pub(crate) config: Box<str>,
    /// What a program finds as its environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Names of the outputs by which a program addresses them; the first is the default.
    pub(crate) output_topics: Vec<String>,
    pub(crate) schemas: Option<Arc<dyn SchemaRegistry>>,
    version: Option<Arc<str>>,
    pub(crate) limits: SharedLimits,
    pub(crate) counters: Counters,
    allowance: Mutex<Allowance>,
}

/// How a module is put into service.
#[derive(Debug, Default)]
pub struct Service<'a> {
    /// The JSON that the module gets, `{}` if `None`. The members of an object are the environment
    /// of a Redpanda module: texts as they are, other values as JSON.
    pub config: Option<&'a RawValue>,
    /// What it may use.
    pub limits: Limits,
    /// The version it is registered as.
    pub version: Option<String>,
    /// What a Redpanda module finds as `REDPANDA_INPUT_TOPIC`.
    pub input_topic: Option<&'a str>,
    /// What a Redpanda module finds as `REDPANDA_OUTPUT_TOPIC_0`, `_1`, ..., and writes to by name.
    pub output_topics: Vec<String>,
    /// The registry that Redpanda modules ask.
    pub schemas: Option<Arc<dyn SchemaRegistry>>,
}

fn environment(
    config: Option<&RawValue>,
    input_topic: Option<&str>,
    output_topics: &[String],
) -> Vec<(String, String)> {
    let config = config.map_or("{}", RawValue::get);
    let config: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(config).unwrap_or_default();
    let text = |value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let own = config.into_iter().map(|(name, value)| (name, text(value)));
    let input = input_topic.map(|topic| ("REDPANDA_INPUT_TOPIC".to_owned(), topic.to_owned()));
    let outputs = output_topics.iter().enumerate();
    let outputs = outputs.map(|(i, topic)| (format!("REDPANDA_OUTPUT_TOPIC_{i}"), topic.clone()));
    own.chain(input).chain(outputs).collect()
}

/// Lines left in the running second.
#[derive(Debug, Default)]
struct Allowance {
    second: u64,
    lines: u32,
}

impl Transform {
    /// Puts a module into service. `config` is the JSON that `wstream_init` gets, `{}` if `None`.
    #[must_use]
    pub fn new(name: &str, module: &Module, config: Option<&RawValue>, limits: Limits) -> Self {
        let service = Service {
            config,
            limits,
            ..Service::default()
        };
        Self::with(name, module, service)
    }

    /// Puts a module into service with all there is to say.
    #[must_use]
    pub fn with(name: &str, module: &Module, service: Service<'_>) -> Self {
        let Service {
            config,
            limits,
            version,
            input_topic,
            output_topics,
            schemas,
        } = service;
        let shared = Shared {
            name: name.into(),
            module: module.clone(),
            config: config.map_or("{}", RawValue::get).into(),
            environment: match module.kind() {
                Kind::Redpanda => environment(config, input_topic, &output_topics),
                Kind::WstreamV1 | Kind::Component => Vec::new(),
            },
            output_topics,
            schemas,
            version: version
                .or_else(|| module.metadata().version.clone())
                .map(Into::into),
            limits: SharedLimits::new(limits),
            counters: Counters::default(),
            allowance: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The name it has in service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The version it is registered as, else the one it says it has.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.shared.version.as_deref()
    }

    /// Names of its outputs, the default first; none if it names none.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        self.shared.module.outputs(&self.shared.output_topics)
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.shared.module
    }

    /// A fresh instance: one for each partition that is worked on.
    ///
    /// # Errors
    /// The module refuses the configuration, or fails or takes too long while it starts.
    pub async fn instantiate(&self) -> Result<Instance, InitError> {
        let clock = self.shared.module.runtime().clock.clone();
        let state = KeyedState::new(StateLimits::default(), clock);
        self.instantiate_with(state).await
    }

    /// As `instantiate`, with the keyed state of its partition.
    ///
    /// # Errors
    /// As `instantiate`.
    pub async fn instantiate_with(&self, state: KeyedState) -> Result<Instance, InitError> {
        Instance::start(Arc::clone(&self.shared), state).await
    }

    /// The limits as they are.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared.limits.get()
    }

    /// Changes the limits; running instances see it at their next check.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limits.set(limits);
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }
}

impl Shared {
    /// Logs a line, if the limit allows one more in this second.
    pub(crate) fn log(&self, now: Duration, timestamp: Timestamp, level: Level, text: String) {
        if !self.allow_line(now) {
            add(&self.counters.log_lines_dropped, 1);
            return;
        }
        let transform = &*self.name;
        match level {
            Level::ERROR => tracing::error!(target: "wstream::transform", transform, "{text}"),
            Level::WARN => tracing::warn!(target: "wstream::transform", transform, "{text}"),
            Level::INFO => tracing::info!(target: "wstream::transform", transform, "{text}"),
            Level::DEBUG => tracing::debug!(target: "wstream::transform", transform, "{text}"),
            Level::TRACE => tracing::trace!(target: "wstream::transform", transform, "{text}"),
        }
        self.module.runtime().logs.send(LogLine {
            transform: Arc::clone(&self.name),
            version: self.version.clone(),
            timestamp,
            level,
            text,
        });
    }

    fn allow_line(&self, now: Duration) -> bool {
        let max = self.limits.get().log_lines_per_second;
        let mut allowance = self.allowance.lock();
        if allowance.second != now.as_secs() {
            *allowance = Allowance {
                second: now.as_secs(),
                lines: 0,
            };
        }
        let allowed = allowance.lines < max;
        allowance.lines += u32::from(allowed);
        allowed
    }

    /// Counts memory of an instance; false if a limit forbids it.
    pub(crate) fn take_memory(&self, held: u64, more: u64) -> bool {
        let fits = held
            .checked_add(more)
            .is_some_and(|sum| sum <= self.limits.get().memory.0);
        let taken = fits && self.module.runtime().budget.take(more);
        if taken {
            add(&self.counters.memory, more);
        }
        taken
    }

    pub(crate) fn give_memory_back(&self, bytes: u64) {
        self.module.runtime().budget.give_back(bytes);
        self.counters.memory.fetch_sub(bytes, Ordering::Relaxed);
    }
}
