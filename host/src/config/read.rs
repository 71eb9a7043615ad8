//! Reads a text section by section into the structs of the components.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use wstream_record::TopicName;

use super::check;
use super::decode::{Place, decode};
use super::document::{Document, Table, Value};
use super::problem::{ConfigError, Problem, nearest};
use super::{Config, LoadOptions, TopicConfig, folder_of};
use crate::sinks::SinkConfig;
use crate::sources::SourceConfig;

/// Longest name of a source, pipeline or sink.
const NAME_BYTES_MAX: usize = 100;
const SECTIONS: [&str; 4] = ["topics", "sources", "pipelines", "sinks"];
const SOURCES: [&str; 2] = ["csv", "jsonl"];
const SINKS: [&str; 5] = ["search", "dashboard", "topic", "file", "stdout"];

/// Names that the file declares, whether or not their tables can be read: what is declared badly
/// is not undeclared too.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) topics: Vec<String>,
    pub(super) sinks: Vec<String>,
    /// Pipelines that are not all there, since parts of them are wrong.
    pub(super) partial: BTreeSet<String>,
}

/// Reads a text that stands in `file`.
pub(super) fn read(
    file: &Path,
    text: String,
    options: LoadOptions,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let (mut document, problems) = Document::parse(&text, variable);
    if !problems.is_empty() {
        return Err(ConfigError::new(file, problems));
    }
    let mut root = std::mem::take(&mut document.root);
    let mut reader = Reader {
        document: &document,
        config: Config::default(),
        declared: Declared::default(),
        problems,
    };
    for (key, value) in root.iter_mut() {
        let at = key.span().start;
        reader.section(key.get_ref(), at, value.get_mut());
    }
    let Reader {
        mut config,
        declared,
        mut problems,
        ..
    } = reader;
    document.root = root;
    let folder = folder_of(file);
    config.resolve(&folder);
    problems.extend(check::check(
        &config, &declared, &document, &folder, options,
    ));
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError::new(file, problems))
    }
}

struct Reader<'a> {
    document: &'a Document<'a>,
    config: Config,
    declared: Declared,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn section(&mut self, section: &str, at: usize, value: &mut Value<'_>) {
        if !SECTIONS.contains(&section) {
            let near = nearest(section, SECTIONS);
            if let (Some(near), DeValue::Table(entries)) = (near, value) {
                entries
                    .keys()
                    .for_each(|name| self.declare(near, name.get_ref()));
            }
            let hint = near.map_or_else(
                || {
                    format!(
                        "known sections: {}",
                        SECTIONS.map(|s| format!("[{s}.NAME]")).join(", ")
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            return self.report(at, format!("unknown section `{section}`"), Some(hint));
        }
        let DeValue::Table(entries) = value else {
            let message = format!("`{section}` is not a table of names");
            return self.report(at, message, Some(format!("write [{section}.NAME]")));
        };
        for (name, entry) in entries.iter_mut() {
            self.declare(section, name.get_ref());
            self.entry(section, name, entry.get_mut());
        }
    }

    /// Notes a name, so that what is declared badly does not count as undeclared too.
    fn declare(&mut self, section: &str, name: &str) {
        match section {
            "topics" => self.declared.topics.push(name.to_owned()),
            "sinks" => self.declared.sinks.push(name.to_owned()),
            _ => {}
        }
    }

    fn entry(&mut self, section: &str, name: &Spanned<Cow<'_, str>>, entry: &mut Value<'_>) {
        let (name, at) = (name.get_ref().as_ref(), name.span().start);
        let place = Place {
            label: format!("[{section}.{name}]"),
            at,
        };
        let DeValue::Table(table) = entry else {
            let message = format!("`{name}` in [{section}] is not a table");
            return self.report(
                at,
                message,
                Some(format!("write [{section}.{name}] and its keys below")),
            );
        };
        match section {
            "topics" => self.topic(name, table, &place),
            "sources" => {
                self.name_is_plain(section, name, at);
                let source = self.source(table, &place);
                self.config
                    .sources
                    .extend(source.map(|source| (name.to_owned(), source)));
            }
            "pipelines" => {
                self.name_is_plain(section, name, at);
                let before = self.problems.len();
                let pipeline = decode(table, &place, self.document, &mut self.problems);
                if self.problems.len() > before {
                    self.declared.partial.insert(name.to_owned());
                }
                self.config
                    .pipelines
                    .extend(pipeline.map(|pipeline| (name.to_owned(), pipeline)));
            }
            _ => {
                self.name_is_plain(section, name, at);
                let sink = self.sink(table, &place);
                self.config
                    .sinks
                    .extend(sink.map(|sink| (name.to_owned(), sink)));
            }
        }
    }

    fn topic(&mut self, name: &str, table: &mut Table<'_>, place: &Place) {
        let topic: Option<TopicConfig> = decode(table, place, self.document, &mut self.problems);
        match TopicName::new(name) {
            Ok(name) => self.config.topics.extend(topic.map(|topic| (name, topic))),
            Err(error) => self.report(place.at, error.to_string(), None),
        }
    }

    fn source(&mut self, table: &mut Table<'_>, place: &Place) -> Option<SourceConfig> {
        let kind = self.kind(table, place, &SOURCES)?;
        let (document, problems) = (self.document, &mut self.problems);
        match kind {
            "csv" => decode(table, place, document, problems).map(SourceConfig::Csv),
            _ => decode(table, place, document, problems).map(SourceConfig::Jsonl),
        }
    }

    fn sink(&mut self, table: &mut Table<'_>, place: &Place) -> Option<SinkConfig> {
        let kind = self.kind(table, place, &SINKS)?;
        let (document, problems) = (self.document, &mut self.problems);
        match kind {
            "search" => decode(table, place, document, problems).map(SinkConfig::Search),
            "dashboard" => decode(table, place, document, problems).map(SinkConfig::Dashboard),
            "topic" => decode(table, place, document, problems).map(SinkConfig::Topic),
            "file" => decode(table, place, document, problems).map(SinkConfig::File),
            _ => decode(table, place, document, problems).map(SinkConfig::Stdout),
        }
    }

    /// Takes `type` out of the table. serde would buffer a tagged enum and lose every place, so
    /// the kinds are told apart here.
    fn kind(
        &mut self,
        table: &mut Table<'_>,
        place: &Place,
        kinds: &[&'static str],
    ) -> Option<&'static str> {
        let label = &place.label;
        let all = || format!("known types: {}", kinds.join(", "));
        let Some(value) = table.remove("type") else {
            self.report(
                place.at,
                format!("missing key `type` in {label}"),
                Some(all()),
            );
            return None;
        };
        let at = value.span().start;
        let Some(text) = value.get_ref().as_str() else {
            let source = self.document.source(value.span()).to_owned();
            self.report(
                at,
                format!("`type` in {label} is {source}, which is not a string"),
                Some(all()),
            );
            return None;
        };
        let kind = kinds.iter().find(|kind| **kind == text).copied();
        if kind.is_none() {
            let near = nearest(text, kinds.iter().copied());
            let hint = near.map_or_else(all, |near| format!("did you mean \"{near}\"?"));
            self.report(
                at,
                format!("`type` in {label} cannot be \"{text}\""),
                Some(hint),
            );
        }
        kind
    }

    fn name_is_plain(&mut self, section: &str, name: &str, at: usize) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain) {
            return;
        }
        let hint = format!("use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9, '.', '_', '-'");
        self.report(
            at,
            format!("{name:?} cannot name one of the {section}"),
            Some(hint),
        );
    }

    fn report(&mut self, at: usize, message: String, hint: Option<String>) {
        self.problems
            .push(self.document.problem(Some(at), message, hint));
    }
}
