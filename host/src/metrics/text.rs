//! Prometheus' text format: one HELP and TYPE line per name, then every sample of that name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Histogram;

/// What kind of number a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Moves both ways.
    Gauge,
}

/// A number that another component counts.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The metric's name.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Labels in order.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}

/// Collects samples by name and writes them grouped.
#[derive(Debug, Default)]
pub struct TextWriter {
    names: BTreeMap<&'static str, Group>,
}

#[derive(Debug)]
struct Group {
    head: String,
    lines: String,
}

impl TextWriter {
    /// Nothing written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter's sample.
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.line(name, help, "counter", "", labels, &value.to_string());
    }

    /// A gauge's sample.
    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: i64) {
        self.line(name, help, "gauge", "", labels, &value.to_string());
    }

    /// A sample that was counted elsewhere.
    pub fn sample(&mut self, sample: &Sample) {
        let kind = match sample.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<_> = sample
            .labels
            .iter()
            .map(|(k, v)| (*k, v.as_str()))
            .collect();
        self.line(
            sample.name,
            sample.help,
            kind,
            "",
            &labels,
            &sample.value.to_string(),
        );
    }

    /// A histogram: its buckets, sum and count.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&str, &str)],
        histogram: &Histogram,
    ) {
        let count = histogram.count().to_string();
        let bounds = histogram.cumulative();
        let bounds = bounds
            .iter()
            .map(|(bound, n)| (bound.to_string(), n.to_string()));
        for (bound, n) in bounds.chain([("+Inf".to_owned(), count.clone())]) {
            let labels: Vec<_> = labels
                .iter()
                .copied()
                .chain([("le", bound.as_str())])
                .collect();
            self.line(name, help, "histogram", "_bucket", &labels, &n);
        }
        let sum = histogram.sum_seconds().to_string();
        self.line(name, help, "histogram", "_sum", labels, &sum);
        self.line(name, help, "histogram", "_count", labels, &count);
    }

    fn line(
        &mut self,
        name: &'static str,
        help: &str,
        kind: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: &str,
    ) {
        let group = self.names.entry(name).or_insert_with(|| Group {
            head: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"),
            lines: String::new(),
        });
        let out = &mut group.lines;
        out.push_str(name);
        out.push_str(suffix);
        for (i, (key, value)) in labels.iter().enumerate() {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let open = if i == 0 { '{' } else { ',' };
            write!(out, "{open}{key}=\"{value}\"").expect("a String takes every write");
        }
        out.push_str(if labels.is_empty() { " " } else { "} " });
        out.push_str(value);
        out.push('\n');
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.names
            .into_values()
            .map(|g| g.head + &g.lines)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_text_is_prometheus() {
        let mut out = TextWriter::new();
        out.counter("b_total", "B.", &[("x", "a\"\\\n")], 3);
        out.counter("b_total", "B.", &[], 4);
        out.gauge("a", "A.", &[], -1);
        let want = "# HELP a A.\n# TYPE a gauge\na -1\n\
            # HELP b_total B.\n# TYPE b_total counter\nb_total{x=\"a\\\"\\\\\\n\"} 3\nb_total 4\n";
        assert_eq!(out.finish(), want);
    }

    #[test]
    fn histogram_buckets_are_cumulative() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_millis(3));
        histogram.record(Duration::from_secs(600));
        let mut out = TextWriter::new();
        out.histogram("h_seconds", "H.", &[("p", "x")], &histogram);
        let text = out.finish();
        for row in [
            "h_seconds_bucket{p=\"x\",le=\"0.0001\"} 1",
            "h_seconds_bucket{p=\"x\",le=\"0.005\"} 2",
            "h_seconds_bucket{p=\"x\",le=\"60\"} 2",
            "h_seconds_bucket{p=\"x\",le=\"+Inf\"} 3",
            "h_seconds_sum{p=\"x\"} 600.0031",
            "h_seconds_count{p=\"x\"} 3",
        ] {
            assert!(text.contains(row), "{row} in\n{text}");
        }
    }
}
