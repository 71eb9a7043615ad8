//! What the parts of a file must say of each other, and what must exist beside it.
//!
//! Each check adds its own problems at the value that is wrong; none stops another.

mod files;
mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wstream_log::{TOPIC_SETTINGS, TopicError, TopicSpec};
use wstream_record::TopicName;

use super::document::Document;
use super::problem::{Problem, nearest};
use super::read::Declared;
use super::{Config, LoadOptions, TopicConfig, names_a_file};
use crate::pipeline::PipelineConfig;
use crate::registry::Reference;
use crate::sinks::SinkConfig;

/// Most partitions of a topic: each costs an open store and a task per pipeline.
const PARTITIONS_MAX: i32 = 1000;

/// Everything wrong with a config whose tables could be read.
pub(super) fn check(
    config: &Config,
    declared: &Declared,
    document: &Document<'_>,
    folder: &Path,
    options: LoadOptions,
) -> Vec<Problem> {
    let mut checker = Checker {
        config,
        declared,
        document,
        folder,
        problems: Vec::new(),
    };
    checker.topics();
    checker.sources(options);
    for (name, pipeline) in &config.pipelines {
        checker.pipeline(name, pipeline);
    }
    checker.sinks();
    checker.cycles();
    checker.problems
}

struct Checker<'a> {
    config: &'a Config,
    declared: &'a Declared,
    document: &'a Document<'a>,
    folder: &'a Path,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, path: &[&str], message: String, hint: impl Into<Option<String>>) {
        let at = self.document.at(path);
        self.problems
            .push(self.document.problem(at, message, hint.into()));
    }

    fn topics(&mut self) {
        for (name, topic) in &self.config.topics {
            if !(1..=PARTITIONS_MAX).contains(&topic.partitions) {
                let message = format!(
                    "topic \"{name}\" cannot have {} partitions",
                    topic.partitions
                );
                let hint = format!("write a number from 1 to {PARTITIONS_MAX}");
                self.report(&["topics", name.as_str(), "partitions"], message, hint);
            }
            if name.is_internal() {
                let message = format!(
                    "topic \"{name}\" would be internal: two underscores in front are the node's own"
                );
                self.report(
                    &["topics", name.as_str()],
                    message,
                    "choose a name without them".to_owned(),
                );
            }
            self.settings(name, topic);
        }
    }

    /// Every setting that the log would refuse, by the log's own rules, or that would change nothing.
    fn settings(&mut self, name: &TopicName, topic: &TopicConfig) {
        for (key, value) in &topic.spec().overrides {
            let in_settings = topic.settings.0.contains_key(key);
            let with_unit = topic.said_with_unit(key);
            let mut path = vec!["topics", name.as_str()];
            match with_unit.filter(|_| !in_settings) {
                Some(place) => path.extend(place),
                None => path.extend(["settings", key.as_str()]),
            }
            if let (Some(place), true) = (with_unit, in_settings) {
                let place = place.join(".");
                let message = format!("topic \"{name}\" has {key} twice, here and as `{place}`");
                self.report(&path, message, "remove one of them".to_owned());
            }
            let alone = TopicSpec::default().with(key, value.clone());
            if let Err(TopicError::Setting { reason, .. }) = alone.resolve() {
                let message = format!("topic \"{name}\" cannot have {key} = {value:?}");
                self.report(&path, message, reason);
            }
            let setting = TOPIC_SETTINGS.iter().find(|setting| setting.key == key);
            if let Some(why) = setting.and_then(|setting| setting.without_effect) {
                let message = format!("topic \"{name}\": {key} changes nothing here");
                self.report(&path, message, format!("take it out: {why}"));
            }
        }
    }

    /// Dead-letter topics come into being by themselves, so they need no declaration.
    fn dead_letters(&self) -> BTreeSet<String> {
        let sources = self
            .config
            .sources
            .values()
            .filter_map(|s| s.dead_letter_topic().ok());
        let pipelines = self.config.pipelines.values().flat_map(|pipeline| {
            let own = |topic: &TopicName| dead_letter_of(pipeline, topic);
            pipeline.from.iter().map(own).collect::<Vec<_>>()
        });
        sources
            .map(|topic| topic.to_string())
            .chain(pipelines)
            .collect()
    }

    fn topic_is_declared(&mut self, topic: &TopicName, path: &[&str]) {
        let known = &self.declared.topics;
        if known.iter().any(|name| name == topic.as_str())
            || self.dead_letters().contains(topic.as_str())
        {
            return;
        }
        let block = format!("add [topics.{}]", table_key(topic.as_str()));
        let hint = match nearest(topic.as_str(), known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"? else {block}"),
            None => block,
        };
        self.report(path, format!("topic \"{topic}\" is not declared"), hint);
    }

    fn sources(&mut self, options: LoadOptions) {
        for (name, source) in &self.config.sources {
            let path = |key| ["sources", name.as_str(), key];
            self.topic_is_declared(source.topic(), &path("topic"));
            match source.check() {
                Ok(()) => self.source_file(name, source),
                Err(wrong) => self.report(
                    &path(wrong.setting),
                    wrong.to_string(),
                    wrong.hint.to_owned(),
                ),
            }
            if source
                .dead_letter_topic()
                .is_ok_and(|topic| topic == *source.topic())
            {
                let message =
                    format!("source \"{name}\" would put its dead letters among its records");
                self.report(
                    &path("dead_letter"),
                    message,
                    "name another topic".to_owned(),
                );
            }
            if options.once && source.follows() {
                let message = format!(
                    "source \"{name}\" follows its file, so a run with --once would never end"
                );
                self.report(
                    &path("follow"),
                    message,
                    "remove `follow = true`, or run without --once".to_owned(),
                );
            }
        }
    }

    fn pipeline(&mut self, name: &str, pipeline: &PipelineConfig) {
        let whole = !self.declared.partial.contains(name);
        if pipeline.from.is_empty() && whole {
            let hint = "name a topic, as in from = [\"my-topic\"]".to_owned();
            self.report(
                &["pipelines", name, "from"],
                format!("pipeline \"{name}\" reads no topic"),
                hint,
            );
        }
        self.topics_read(name, pipeline);
        self.nothing_twice(
            &["pipelines", name, "from"],
            pipeline.from.iter().map(TopicName::as_str),
        );
        for (n, sink) in pipeline.to.iter().enumerate() {
            self.sink_is_declared(sink, &["pipelines", name, "to", &n.to_string()]);
        }
        self.nothing_twice(
            &["pipelines", name, "to"],
            pipeline.to.iter().map(String::as_str),
        );
        self.nobody_else_writes(name, pipeline);
        let routed = pipeline
            .transforms
            .iter()
            .any(|step| !step.outputs.is_empty());
        if pipeline.to.is_empty() && !routed && whole {
            let hint = "name a sink, as in to = [\"my-sink\"]".to_owned();
            self.report(
                &["pipelines", name, "to"],
                format!("pipeline \"{name}\" has no sink"),
                hint,
            );
        }
        self.steps(name, pipeline);
    }

    /// Files and documents are named by the record they come from: of two pipelines that bring the
    /// same topic to one such sink, each would take the other's for its own.
    fn nobody_else_writes(&mut self, name: &str, pipeline: &PipelineConfig) {
        let named = |sink: &&String| {
            matches!(
                self.config.sinks.get(*sink),
                Some(SinkConfig::File(_) | SinkConfig::Search(_))
            )
        };
        let sinks: Vec<_> = pipeline.sinks().filter(named).cloned().collect();
        for (other, earlier) in self.config.pipelines.range(..name.to_owned()) {
            let topic = pipeline.from.iter().find(|t| earlier.from.contains(t));
            let Some(topic) = topic else { continue };
            for sink in &sinks {
                if earlier.sinks().any(|s| s == sink) {
                    let message = format!(
                        "pipelines \"{other}\" and \"{name}\" both bring topic \"{topic}\" to sink \"{sink}\""
                    );
                    let hint = "give one of them a sink of its own".to_owned();
                    self.report(&["pipelines", name, "to"], message, hint);
                }
            }
        }
    }

    /// What a pipeline reads, and where its dead letters go.
    fn topics_read(&mut self, name: &str, pipeline: &PipelineConfig) {
        for (n, topic) in pipeline.from.iter().enumerate() {
            let n = n.to_string();
            self.topic_is_declared(topic, &["pipelines", name, "from", &n]);
            let dead_letter = dead_letter_of(pipeline, topic);
            if let Err(error) = TopicName::new(&dead_letter) {
                let message =
                    format!("topic \"{topic}\" leaves no room for its dead-letter topic: {error}");
                self.report(
                    &["pipelines", name, "from", &n],
                    message,
                    "set `dead_letter`".to_owned(),
                );
            } else if pipeline
                .from
                .iter()
                .any(|topic| topic.as_str() == dead_letter)
            {
                let message = format!(
                    "pipeline \"{name}\" would read its own dead letters from \"{dead_letter}\""
                );
                self.report(
                    &["pipelines", name, "dead_letter"],
                    message,
                    "name another topic in `dead_letter`".to_owned(),
                );
            }
        }
    }

    /// The transforms of a pipeline: their modules and further outputs.
    fn steps(&mut self, name: &str, pipeline: &PipelineConfig) {
        for (n, step) in pipeline.transforms.iter().enumerate() {
            let n = n.to_string();
            let path = ["pipelines", name, "transforms", n.as_str()];
            for (output, sinks) in &step.outputs {
                for (m, sink) in sinks.iter().enumerate() {
                    let m = m.to_string();
                    self.sink_is_declared(
                        sink,
                        &[path.as_slice(), &["outputs", output, &m]].concat(),
                    );
                }
            }
            if names_a_file(&step.module) {
                self.module(&path, step);
            } else if let Err(error) = Reference::parse(&step.module) {
                let hint =
                    "write a name, NAME@VERSION, or the path of a file, as in \"dist/a.wasm\"";
                let place = [path.as_slice(), &["module"]].concat();
                self.report(&place, error.to_string(), hint.to_owned());
            }
        }
    }

    fn nothing_twice<'a>(&mut self, path: &[&str], names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for (n, name) in names.enumerate() {
            if !seen.insert(name) {
                let n = n.to_string();
                self.report(
                    &[path, &[n.as_str()]].concat(),
                    format!("\"{name}\" is named twice"),
                    "name it once".to_owned(),
                );
            }
        }
    }

    fn sink_is_declared(&mut self, sink: &str, path: &[&str]) {
        let known = &self.declared.sinks;
        if known.iter().any(|name| name == sink) {
            return;
        }
        let block = format!("add [sinks.{}]", table_key(sink));
        let hint = match nearest(sink, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"? else {block}"),
            None if self.declared.topics.iter().any(|topic| topic == sink) => {
                format!("\"{sink}\" is a topic: {block} with type = \"topic\", topic = \"{sink}\"")
            }
            None => block,
        };
        self.report(path, format!("sink \"{sink}\" is not declared"), hint);
    }

    fn sinks(&mut self) {
        let mut targets: BTreeMap<(&str, String), &str> = BTreeMap::new();
        let mut sinks: Vec<_> = self.config.sinks.iter().collect();
        sinks.sort_by_key(|(name, _)| self.document.at(&["sinks", name]));
        for (name, sink) in sinks {
            let key = match sink {
                SinkConfig::Search(search) => {
                    self.index_name(name, &search.index);
                    self.document_id(name, search.id.as_deref());
                    "index"
                }
                SinkConfig::Dashboard(dashboard) => {
                    self.dashboard(name, &dashboard.dashboard);
                    "dashboard"
                }
                SinkConfig::Topic(topic) => {
                    self.topic_is_declared(&topic.topic, &["sinks", name, "topic"]);
                    continue;
                }
                SinkConfig::File(_) => "path",
                SinkConfig::Stdout(_) => continue,
            };
            if let Some(other) = targets.insert((key, sink.target()), name) {
                let message = format!(
                    "sinks \"{other}\" and \"{name}\" have the same {key}, \"{}\"",
                    sink.target()
                );
                let hint =
                    format!("name sink \"{other}\" in both pipelines, or choose another {key}");
                self.report(&["sinks", name, key], message, hint);
            }
        }
    }

    fn index_name(&mut self, sink: &str, index: &str) {
        let path = ["sinks", sink, "index"];
        let plain = match without_dates(index) {
            Ok(plain) => plain,
            Err(pattern) => {
                let hint = "write a date as in \"logs-%{+yyyyMMdd}\"".to_owned();
                return self.report(
                    &path,
                    format!("\"{pattern}\" in \"{index}\" is not a date pattern"),
                    hint,
                );
            }
        };
        let wrong = plain.chars().find(|c| {
            c.is_ascii_uppercase()
                || c.is_whitespace()
                || c.is_control()
                || "\\/*?\"<>|,#:".contains(*c)
        });
        let start = plain.starts_with(['-', '_', '+', '.']);
        let hint =
            "write lower-case letters, digits, '-', '_' and '.', and a letter or digit first"
                .to_owned();
        if let Some(wrong) = wrong {
            self.report(
                &path,
                format!("\"{index}\" cannot name an index: it has {wrong:?}"),
                hint,
            );
        } else if plain.is_empty() || start || plain.len() > 255 {
            self.report(&path, format!("\"{index}\" cannot name an index"), hint);
        }
    }

    fn document_id(&mut self, sink: &str, id: Option<&str>) {
        let Some(id) = id else { return };
        let field = id.strip_prefix("$.").is_some_and(|field| !field.is_empty());
        if id != "key" && !field {
            let hint =
                "write \"key\" for the record's key, or \"$.field\" for a field of its value"
                    .to_owned();
            self.report(
                &["sinks", sink, "id"],
                format!("\"{id}\" is no place for a document's id"),
                hint,
            );
        }
    }
}

/// The dead-letter topic of a pipeline's topic, as a text that may be too long for a name.
fn dead_letter_of(pipeline: &PipelineConfig, topic: &TopicName) -> String {
    pipeline
        .dead_letter
        .as_ref()
        .map_or_else(|| format!("{topic}.dlq"), TopicName::to_string)
}

/// A name as it must stand in a table header.
fn table_key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// An index name with `0` in place of each `%{+...}`, or the pattern that is none.
fn without_dates(index: &str) -> Result<String, &str> {
    let mut plain = String::new();
    let mut rest = index;
    while let Some((before, after)) = rest.split_once("%{") {
        let pattern = &rest[before.len()..];
        let (date, next) = after.split_once('}').ok_or(pattern)?;
        let date = date.strip_prefix('+').ok_or(pattern)?;
        let letters = |c: char| "yMdHmsw".contains(c) || "._-".contains(c);
        if date.is_empty() || !date.chars().all(letters) {
            return Err(pattern);
        }
        plain.push_str(before);
        plain.push('0');
        rest = next;
    }
    plain.push_str(rest);
    Ok(plain)
}
