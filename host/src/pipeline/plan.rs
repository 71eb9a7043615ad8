//! What a pipeline does, with every name resolved: modules, outputs and sinks.

use std::collections::BTreeMap;
use std::sync::Arc;

use wstream_record::TopicName;
use wstream_transform::{StateLimits, Transform};

use super::config::{OnFailure, PipelineConfig};
use super::trial::Trial;
use crate::sinks::{SinkConfig, SinkTarget};

/// Outputs of a module that are looked at beside a pipeline.
const REHEARSED_OUTPUTS_MAX: u16 = 64;
/// Steps of one pipeline.
const STEPS_MAX: usize = 64;

/// A pipeline with its names resolved.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: Arc<str>,
    /// The topics it reads.
    pub from: Vec<TopicName>,
    /// Where failed records go, if not to each source topic's own dead-letter topic.
    pub dead_letter: Option<TopicName>,
    /// The transforms, in order.
    pub(super) steps: Vec<Step>,
    /// The module of a step that is on trial.
    pub(super) trial: Option<Trial>,
    /// Every sink once.
    pub(super) sinks: Vec<SinkTarget>,
    /// Names of the sinks of the last transform's records.
    pub(super) to: Vec<Arc<str>>,
    /// Sinks by route. Route 0 is what leaves the last transform.
    pub(super) routes: Vec<Vec<usize>>,
}

/// One transform of a plan.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) transform: Transform,
    pub(super) name: Arc<str>,
    pub(super) version: Option<Arc<str>>,
    pub(super) on_failure: OnFailure,
    pub(super) state_limits: StateLimits,
    /// Routes of the outputs above 0.
    pub(super) routes: BTreeMap<u16, usize>,
}

/// Why a pipeline cannot be as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It reads nothing.
    #[error("pipeline {pipeline} reads no topic: write from = [\"TOPIC\"]")]
    NoTopic {
        /// The pipeline.
        pipeline: String,
    },
    /// A sink that is not declared.
    #[error(
        "pipeline {pipeline} names sink {sink:?}, which is not declared{}",
        near(known, sink)
    )]
    UnknownSink {
        /// The pipeline.
        pipeline: String,
        /// What it names.
        sink: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An output that the module does not have.
    #[error("module {module} has no output {output:?}{}", near(known, output))]
    UnknownOutput {
        /// The module.
        module: String,
        /// What the pipeline names.
        output: String,
        /// What the module says of itself.
        known: Vec<String>,
    },
    /// An output of the module that goes nowhere.
    #[error(
        "output {output:?} of module {module} goes nowhere: write outputs = {{ {output} = [\"SINK\"] }}"
    )]
    Unrouted {
        /// The module.
        module: String,
        /// The output.
        output: String,
    },
    /// The first output goes to the next step or to `to`.
    #[error(
        "output {output:?} of module {module} is the default: it goes on to `to`, not to a sink of its own"
    )]
    DefaultOutput {
        /// The module.
        module: String,
        /// The output.
        output: String,
    },
    /// More steps than a pipeline can have, or not as many modules as steps.
    #[error(
        "pipeline {pipeline} has {steps} transforms and {given} modules, at most {STEPS_MAX} are possible"
    )]
    Steps {
        /// The pipeline.
        pipeline: String,
        /// In the configuration.
        steps: usize,
        /// Given to it.
        given: usize,
    },
}

fn near(known: &[String], wanted: &str) -> String {
    let alike = known.iter().find(|k| {
        let same = k
            .chars()
            .zip(wanted.chars())
            .take_while(|(a, b)| a == b)
            .count();
        same >= 3 || k.eq_ignore_ascii_case(wanted)
    });
    match alike {
        Some(alike) => format!(": is it {alike:?}?"),
        None if known.is_empty() => String::new(),
        None => format!(": there are {}", known.join(", ")),
    }
}

impl Plan {
    /// Resolves `config`: `transforms` are its steps' modules in service, in their order, and
    /// `sinks` all declared sinks by name.
    ///
    /// # Errors
    /// A name is not there, or an output goes nowhere.
    pub fn new(
        name: &str,
        config: &PipelineConfig,
        transforms: Vec<Transform>,
        sinks: &BTreeMap<String, SinkConfig>,
    ) -> Result<Self, PlanError> {
        let known = sinks
            .iter()
            .map(|(name, config)| SinkTarget::new(name, config.clone()));
        Self::with_targets(name, config, transforms, &known.collect::<Vec<_>>())
    }

    /// As `new`, with sinks that need not come from a file.
    pub(super) fn with_targets(
        name: &str,
        config: &PipelineConfig,
        transforms: Vec<Transform>,
        known: &[SinkTarget],
    ) -> Result<Self, PlanError> {
        if config.from.is_empty() {
            return Err(PlanError::NoTopic {
                pipeline: name.to_owned(),
            });
        }
        let (steps, given) = (config.transforms.len(), transforms.len());
        if steps != given || steps > STEPS_MAX {
            return Err(PlanError::Steps {
                pipeline: name.to_owned(),
                steps,
                given,
            });
        }
        let mut plan = Self {
            name: name.into(),
            from: config.from.clone(),
            dead_letter: config.dead_letter.clone(),
            steps: Vec::new(),
            trial: None,
            sinks: Vec::new(),
            to: config.to.iter().map(|s| s.as_str().into()).collect(),
            routes: Vec::new(),
        };
        plan.from.sort();
        plan.from.dedup();
        plan.add_route(&config.to, known)?;
        for (step, transform) in config.transforms.iter().zip(transforms) {
            let outputs = transform.outputs().to_vec();
            let module = transform.name().to_owned();
            let mut routes = BTreeMap::new();
            for (output, sinks) in &step.outputs {
                let number = output_number(&module, &outputs, output)?;
                routes.insert(number, plan.add_route(sinks, known)?);
            }
            for (number, output) in (0_u16..).zip(&outputs).skip(1) {
                if !routes.contains_key(&number) {
                    return Err(PlanError::Unrouted {
                        module,
                        output: output.clone(),
                    });
                }
            }
            let version = transform.version();
            plan.steps.push(Step {
                name: module.as_str().into(),
                version: version.map(Into::into),
                on_failure: step.on_failure,
                state_limits: StateLimits {
                    entries: step.limits.state_entries,
                    bytes: step.limits.state.0,
                },
                routes,
                transform,
            });
        }
        Ok(plan)
    }

    fn add_route(&mut self, names: &[String], known: &[SinkTarget]) -> Result<usize, PlanError> {
        let mut route = Vec::new();
        for name in names {
            let at = match self.sinks.iter().position(|s| *s.name == **name) {
                Some(at) => at,
                None => {
                    let target = known.iter().find(|s| *s.name == **name);
                    let unknown = || PlanError::UnknownSink {
                        pipeline: self.name.to_string(),
                        sink: name.clone(),
                        known: known.iter().map(|s| s.name.to_string()).collect(),
                    };
                    self.sinks.push(target.ok_or_else(unknown)?.clone());
                    self.sinks.len() - 1
                }
            };
            if !route.contains(&at) {
                route.push(at);
            }
        }
        self.routes.push(route);
        Ok(self.routes.len() - 1)
    }

    /// Steps without sinks, to run beside a pipeline; a record that fails in one of them is told,
    /// whatever the pipeline's policy.
    #[must_use]
    pub fn rehearsal(name: &str, from: &[TopicName], transforms: Vec<Transform>) -> Self {
        let step = |transform: Transform| Step {
            name: transform.name().into(),
            version: transform.version().map(Into::into),
            on_failure: OnFailure::DeadLetter,
            state_limits: StateLimits::default(),
            // Each output is a route of its own.
            routes: (1..REHEARSED_OUTPUTS_MAX)
                .map(|output| (output, usize::from(output)))
                .collect(),
            transform,
        };
        Self {
            name: name.into(),
            from: from.to_vec(),
            dead_letter: None,
            steps: transforms.into_iter().map(step).collect(),
            trial: None,
            sinks: Vec::new(),
            to: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Puts a module of its steps on trial.
    pub fn set_trial(&mut self, trial: Trial) {
        self.trial = Some(trial);
    }

    /// Whether a transform keeps keyed state.
    pub(super) fn keeps_state(&self) -> bool {
        let mut modules = self.steps.iter().map(|step| step.transform.module());
        modules.any(|module| module.inspection().keyed_state)
    }

    /// The transforms, in order.
    pub fn transforms(&self) -> impl Iterator<Item = &Transform> {
        self.steps.iter().map(|step| &step.transform)
    }
}

/// The number of an output by its name; modules that name none are addressed by number.
fn output_number(module: &str, outputs: &[String], wanted: &str) -> Result<u16, PlanError> {
    let named = outputs.iter().position(|o| o == wanted);
    let number = match named {
        Some(at) => u16::try_from(at).ok(),
        None if outputs.is_empty() => wanted.parse().ok(),
        None => None,
    };
    match number {
        Some(0) => Err(PlanError::DefaultOutput {
            module: module.to_owned(),
            output: wanted.to_owned(),
        }),
        Some(number) => Ok(number),
        None => Err(PlanError::UnknownOutput {
            module: module.to_owned(),
            output: wanted.to_owned(),
            known: outputs.iter().skip(1).cloned().collect(),
        }),
    }
}
