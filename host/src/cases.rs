//! Cases: `{"in": record, "out": [records]}` or `{"in": record, "error": {"code","message"}}`,
//! with `"config"` where the transform wants one, and `"output"` in a record that was sent to
//! another output than the first, and `"after"` for records that come before the case's own.
//!
//! A case comes out the same here as natively in the transform's own tests: each has an instance
//! and a keyed state of its own, a configuration that is refused is the case's error, and an output
//! without a time has the time of its record.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use wstream_record::{JsonRecord, Offset, PartitionId, Record, StoredRecord, TopicName};
use wstream_transform::{
    InitError, InputBatch, Instance, Limits, Module, Output, Service, Transform,
};

/// The topic of a record that names none.
const TOPIC_DEFAULT: &str = "test";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<'a> {
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    /// Records that the same instance gets before; what becomes of them is not compared.
    #[serde(borrow, default)]
    after: Vec<&'a RawValue>,
    #[serde(borrow, rename = "in")]
    input: &'a RawValue,
    #[serde(borrow)]
    out: Option<Vec<&'a RawValue>>,
    error: Option<Failed>,
}

/// Why a record failed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, thiserror::Error)]
#[error("{message} (code {code})")]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// The module's code, or the host's.
    pub code: u16,
    /// Why.
    pub message: String,
}

/// A record that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    output: String,
    partition: Option<PartitionId>,
    record: Record,
}

/// What became of a record.
pub type Outcome = Result<Vec<Sent>, Failed>;

/// Runs records through one module, under any configuration.
#[derive(Debug)]
pub struct Cases {
    name: String,
    module: Module,
    limits: Limits,
    output_topics: Vec<String>,
    /// By configuration, so that what instances share is made once.
    transforms: HashMap<String, Transform>,
}

impl Cases {
    /// Nothing is started yet. `name` is what the module's lines in the log are under.
    #[must_use]
    pub fn new(name: &str, module: Module, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            module,
            limits,
            output_topics: vec!["default".to_owned()],
            transforms: HashMap::new(),
        }
    }

    /// The topics that a module of the Redpanda SDKs may write to by name, the default one first.
    #[must_use]
    pub fn with_output_topics(mut self, topics: &[String]) -> Self {
        if !topics.is_empty() {
            self.output_topics = topics.to_vec();
        }
        self
    }

    /// Runs one case; what differs if it came out otherwise.
    ///
    /// # Errors
    /// The line is no case, or the module does not start.
    pub async fn check(&mut self, line: &str) -> anyhow::Result<Option<String>> {
        let case: Case<'_> = serde_json::from_str(line).context("not a case")?;
        let input = JsonRecord::parse(case.input.get())?;
        let wanted = match (&case.out, case.error) {
            (None, Some(error)) => Err(error),
            (Some(out), None) => Ok(self.wanted(out, &input)?),
            _ => bail!("not a case: give either \"out\" or \"error\""),
        };
        let config = case.config.map_or("{}", RawValue::get);
        let got = match self.start(config).await? {
            Ok(mut instance) => {
                for before in &case.after {
                    let before = JsonRecord::parse(before.get()).context("not a case: after")?;
                    self.feed(&mut instance, &before).await?.ok();
                }
                self.feed(&mut instance, &input).await?
            }
            Err(refused) => Err(refused),
        };
        let same = got == wanted;
        Ok((!same).then(|| format!("wanted {}\n     got {}", shown(&wanted), shown(&got))))
    }

    /// An instance under a configuration, or why the module refuses it.
    ///
    /// # Errors
    /// The module does not start.
    pub async fn start(&mut self, config: &str) -> anyhow::Result<Result<Instance, Failed>> {
        let transform = match self.transforms.get(config) {
            Some(transform) => transform.clone(),
            None => {
                let json: Box<RawValue> = serde_json::from_str(config)?;
                let service = Service {
                    config: Some(&json),
                    limits: self.limits,
                    output_topics: self.output_topics.clone(),
                    ..Service::default()
                };
                let transform = Transform::with(&self.name, &self.module, service);
                self.transforms.insert(config.to_owned(), transform.clone());
                transform
            }
        };
        match transform.instantiate().await {
            Ok(instance) => Ok(Ok(instance)),
            Err(InitError::Refused { code, message }) => Ok(Err(Failed { code, message })),
            Err(error @ InitError::Failed { .. }) => Err(error.into()),
        }
    }

    /// What becomes of one more record in an instance.
    ///
    /// # Errors
    /// No instance could be started.
    pub async fn feed(
        &self,
        instance: &mut Instance,
        input: &JsonRecord,
    ) -> anyhow::Result<Outcome> {
        let topic = input
            .topic
            .clone()
            .map_or_else(|| TopicName::new(TOPIC_DEFAULT), Ok)?;
        let stored = StoredRecord {
            offset: input.offset.unwrap_or(Offset(0)),
            record: input.record.clone(),
        };
        let mut batch = InputBatch::new(topic, input.partition.unwrap_or_default(), vec![stored]);
        let mut outputs = Vec::new();
        loop {
            let processed = instance.process(batch).await;
            if let Some(error) = processed.error {
                return Err(error.into());
            }
            outputs.extend(
                processed
                    .outputs
                    .into_iter()
                    .map(|output| self.sent(output)),
            );
            if let Some(failure) = processed.failures.into_iter().next() {
                return Ok(Err(Failed {
                    code: failure.code,
                    message: failure.message,
                }));
            }
            match processed.rest {
                Some(rest) => batch = rest,
                None => return Ok(Ok(outputs)),
            }
        }
    }

    fn sent(&self, output: Output) -> Sent {
        let Output {
            output,
            partition,
            record,
            ..
        } = output;
        Sent {
            output: self.output_name(output),
            partition,
            record,
        }
    }

    fn output_name(&self, output: u16) -> String {
        let names = self.module.outputs(&self.output_topics);
        let first = || {
            if output == 0 {
                "default".to_owned()
            } else {
                format!("output {output}")
            }
        };
        names
            .get(usize::from(output))
            .cloned()
            .unwrap_or_else(first)
    }

    fn wanted(&self, out: &[&RawValue], input: &JsonRecord) -> anyhow::Result<Vec<Sent>> {
        let read = |json: &&RawValue| {
            // Fields as text: numbers inside of `value_json` keep theirs.
            let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(json.get())?;
            let named = fields
                .remove("output")
                .map(|name| serde_json::from_str(name.get()))
                .transpose()?;
            let mut record = JsonRecord::parse(&serde_json::to_string(&fields)?)?;
            if !fields.contains_key("timestamp") {
                record.record.timestamp = input.record.timestamp;
            }
            let output = named.unwrap_or_else(|| self.output_name(0));
            Ok(Sent {
                output,
                partition: record.partition,
                record: record.record,
            })
        };
        out.iter().map(read).collect()
    }

    /// Nanoseconds in the module, and records worked on, under all configurations.
    #[must_use]
    pub fn time(&self) -> (u64, u64) {
        let stats = self.transforms.values().map(Transform::stats);
        stats.fold((0, 0), |(nanos, records), stats| {
            (nanos + stats.nanos, records + stats.records)
        })
    }

    /// A record and what became of it, as a case.
    #[must_use]
    pub fn as_case(&self, input: &JsonRecord, config: &str, outcome: &Outcome) -> String {
        let config = if config == "{}" {
            String::new()
        } else {
            format!("\"config\":{config},")
        };
        let became = match outcome {
            Err(Failed { code, message }) => {
                format!("\"error\":{}", json!({"code": code, "message": message}))
            }
            Ok(sent) => {
                let records: Vec<String> = sent
                    .iter()
                    .map(|sent| self.as_record(sent, input))
                    .collect();
                format!("\"out\":[{}]", records.join(","))
            }
        };
        format!("{{{config}\"in\":{},{became}}}", input.to_json())
    }

    /// What was sent, as a case writes it: without what a case does not need to say.
    fn as_record(&self, sent: &Sent, input: &JsonRecord) -> String {
        let mut record = JsonRecord {
            partition: sent.partition,
            record: sent.record.clone(),
            ..JsonRecord::default()
        };
        if sent.record.timestamp == input.record.timestamp {
            record.record.timestamp = wstream_record::Timestamp::NONE;
        }
        let text = record.to_json();
        if sent.output == self.output_name(0) {
            return text;
        }
        let rest = text.trim_start_matches('{');
        let comma = if rest == "}" { "" } else { "," };
        format!("{{\"output\":{}{comma}{rest}", json!(sent.output))
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Err(failed) => format!("the failure {failed}"),
        Ok(sent) if sent.is_empty() => "nothing".to_owned(),
        Ok(sent) => {
            let one = |sent: &Sent| {
                let record = JsonRecord {
                    partition: sent.partition,
                    record: sent.record.clone(),
                    ..JsonRecord::default()
                };
                format!("{} {}", sent.output, record.to_json())
            };
            sent.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}
