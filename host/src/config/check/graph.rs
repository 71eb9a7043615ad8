//! Ways of records that lead back to where they began.

use std::collections::BTreeSet;

use super::Checker;
use crate::sinks::SinkConfig;

/// A pipeline's way from one topic to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way<'a> {
    from: &'a str,
    pipeline: &'a str,
    to: &'a str,
}

impl Checker<'_> {
    /// Reports each circle of topics once, at the first pipeline of it by name.
    pub(super) fn cycles(&mut self) {
        let config = self.config;
        let target = |sink: &String| match config.sinks.get(sink) {
            Some(SinkConfig::Topic(topic)) => Some(topic.topic.as_str()),
            _ => None,
        };
        let mut ways = Vec::new();
        for (pipeline, told) in &config.pipelines {
            let targets: BTreeSet<&str> = told.sinks().filter_map(target).collect();
            for from in told.from.iter().map(wstream_record::TopicName::as_str) {
                ways.extend(targets.iter().map(|to| Way { from, pipeline, to }));
            }
        }
        let mut reported: BTreeSet<BTreeSet<Way<'_>>> = BTreeSet::new();
        for &way in &ways {
            let Some(circle) = back_to_start(way, &ways) else {
                continue;
            };
            if !reported.insert(circle.iter().copied().collect()) {
                continue;
            }
            let first = circle
                .iter()
                .map(|way| way.pipeline)
                .min()
                .unwrap_or(way.pipeline);
            let mut shown = way.from.to_owned();
            for step in &circle {
                shown.push_str(&format!(" -> [pipelines.{}] -> {}", step.pipeline, step.to));
            }
            let message = format!("records would go round for ever: {shown}");
            self.report(
                &["pipelines", first, "to"],
                message,
                "let one of the pipelines write to another topic".to_owned(),
            );
        }
    }
}

/// The shortest way on from `start` to the topic it came from.
fn back_to_start<'a>(start: Way<'a>, ways: &[Way<'a>]) -> Option<Vec<Way<'a>>> {
    let mut seen = BTreeSet::from([start]);
    let mut routes = std::collections::VecDeque::from([vec![start]]);
    while let Some(route) = routes.pop_front() {
        let end = route.last()?;
        if end.to == start.from {
            return Some(route);
        }
        for way in ways.iter().filter(|way| way.from == end.to) {
            if seen.insert(*way) {
                routes.push_back([route.as_slice(), &[*way]].concat());
            }
        }
    }
    None
}
