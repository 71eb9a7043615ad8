//! Measures the index: documents a second from JSON text to searchable, and searches over them.
//!
//! Documents are log lines of a web server of about 130 bytes, made from a seed, or the lines of a
//! file; they lie ready in memory before the measurement starts. Parsing them is measured, making
//! or reading them is not. The clock stops when the last commit is durable and searchable.
//! Searches run one after the other in the process, each with a time range of its own.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};
use wstream_search::{Document, Search, SearchConfig, SourceBatch, SourceKey};

use super::{Scratch, cpu_time};

/// Documents in one batch.
const BATCH_DOCUMENTS: usize = 1_000;
/// The time of the first document made: 30 April 1998, when such logs were kept.
const FIRST_MILLIS: i64 = 893_964_617_000;
/// Milliseconds between two documents.
const STEP_MILLIS: i64 = 83;
/// Searches that go before the measured ones.
const WARM_UP: usize = 20;
const INDEX: &str = "bench";

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct SearchBenchOptions {
    /// Documents to make.
    #[arg(long, default_value_t = 1_000_000)]
    pub documents: u64,
    /// A file of JSON lines to index instead.
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// Decides every made document.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Searches of each kind; 0 for none.
    #[arg(long, default_value_t = 200)]
    pub searches: usize,
    /// A directory on the device to measure; a new one in it is used and removed.
    #[arg(long, value_name = "DIR", default_value_os_t = super::scratch_parent())]
    pub dir: PathBuf,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct SearchBenchReport {
    /// Documents indexed.
    pub documents: u64,
    /// Lines that were not JSON objects.
    pub rejected: u64,
    /// Bytes of their text.
    pub input_bytes: u64,
    /// Wall-clock seconds from the first document to the last commit.
    pub seconds: f64,
    /// Documents per second.
    pub documents_per_second: f64,
    /// Megabytes (1,000,000 bytes) of text per second.
    pub megabytes_per_second: f64,
    /// CPU seconds of the process per 1,000,000 documents.
    pub cpu_seconds_per_million: f64,
    /// Commits.
    pub commits: u64,
    /// Bytes of the index's files.
    pub disk_bytes: u64,
    /// Of them per byte of text.
    pub disk_per_input: f64,
    /// The searches.
    pub searches: Vec<SearchTiming>,
}

/// One kind of search.
#[derive(Debug, Clone, Serialize)]
pub struct SearchTiming {
    /// What was searched for.
    pub name: &'static str,
    /// Half of the searches took at most so many milliseconds.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
}

/// Runs the measurement.
///
/// # Errors
/// The file cannot be read, or the disk refuses.
pub async fn run(options: SearchBenchOptions) -> anyhow::Result<SearchBenchReport> {
    let lines = match &options.input {
        Some(path) => read_lines(path)?,
        None => Generator::new(options.seed).lines(options.documents),
    };
    ensure!(!lines.is_empty(), "there is nothing to index");
    let scratch = Scratch::new(&options.dir)?;
    let clock = Clock::system();
    let search = Search::open(scratch.path(), SearchConfig::default(), clock.clone())?;
    let mut report = index(&search, &clock, lines).await?;
    if options.searches > 0 {
        report.searches = measure_searches(&search, &clock, options.searches).await?;
    }
    search.close().await;
    Ok(report)
}

fn read_lines(path: &PathBuf) -> anyhow::Result<Vec<Bytes>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Bytes::from(text);
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines.map(|line| text.slice_ref(line)).collect())
}

async fn index(
    search: &Search,
    clock: &Clock,
    lines: Vec<Bytes>,
) -> anyhow::Result<SearchBenchReport> {
    let source = SourceKey {
        pipeline: "bench".to_owned(),
        topic: TopicName::new("bench")?,
        partition: PartitionId(0),
    };
    let documents = lines.len() as u64;
    let input_bytes: u64 = lines.iter().map(|line| line.len() as u64).sum();
    let handle = search.index(INDEX).await?;
    let commits = handle.committed();
    let (wall, cpu) = (clock.monotonic(), cpu_time());
    let (mut offset, mut rejected) = (0, 0);
    for batch in lines.chunks(BATCH_DOCUMENTS) {
        let documents = (offset..).zip(batch).map(|(offset, json)| Document {
            offset: Offset(offset),
            n: 0,
            key: None,
            timestamp: Timestamp(FIRST_MILLIS),
            json: json.clone(),
        });
        let documents: Vec<Document> = documents.collect();
        offset += i64::try_from(documents.len())?;
        let batch = SourceBatch {
            source: source.clone(),
            next_offset: Offset(offset),
            documents,
        };
        rejected += handle.submit(batch).await?.len() as u64;
    }
    handle.flush().await?;
    let seconds = clock.monotonic().saturating_sub(wall).as_secs_f64();
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64();
    let info = search.list(INDEX).await?;
    let disk_bytes = info.first().map_or(0, |info| info.bytes);
    let commits = *commits.borrow();
    Ok(SearchBenchReport {
        documents,
        rejected,
        input_bytes,
        seconds,
        documents_per_second: documents as f64 / seconds,
        megabytes_per_second: input_bytes as f64 / 1e6 / seconds,
        cpu_seconds_per_million: cpu / documents as f64 * 1e6,
        commits,
        disk_bytes,
        disk_per_input: disk_bytes as f64 / input_bytes as f64,
        searches: Vec::new(),
    })
}

/// The kinds of searches: name, query beside the time range, and the rest of the body.
fn kinds() -> [(&'static str, Value, Value); 6] {
    let status = json!({"terms": {"field": "status"}});
    let minutes = json!({"date_histogram": {"field": "@timestamp", "fixed_interval": "1m"}});
    let half_hours = json!({
        "date_histogram": {"field": "@timestamp", "fixed_interval": "30m"},
        "aggs": {"status": status},
    });
    let page = json!({"size": 20, "sort": [{"@timestamp": "desc"}]});
    [
        (
            "terms(status), all documents",
            Value::Null,
            json!({"size": 0, "aggs": {"a": status}}),
        ),
        (
            "terms(status)",
            json!({}),
            json!({"size": 0, "aggs": {"a": status}}),
        ),
        (
            "terms(request) of 10",
            json!({}),
            json!({"size": 0, "aggs": {"a": {"terms": {"field": "request"}}}}),
        ),
        (
            "date_histogram of 1 m",
            json!({}),
            json!({"size": 0, "aggs": {"a": minutes}}),
        ),
        (
            "date_histogram of 30 m > terms(status)",
            json!({}),
            json!({"size": 0, "aggs": {"a": half_hours}}),
        ),
        (
            "query_string, 20 newest",
            json!({"query_string": {"query": "request:images AND status:200"}}),
            page,
        ),
    ]
}

async fn measure_searches(
    search: &Search,
    clock: &Clock,
    searches: usize,
) -> anyhow::Result<Vec<SearchTiming>> {
    let (first, last) = times(search).await?;
    let mut timings = Vec::new();
    for (name, query, mut body) in kinds() {
        let mut took: Vec<Duration> = Vec::new();
        for round in 0..WARM_UP + searches {
            // A thousandth less at either end each time: no two searches are the same.
            let step = (last - first) / 1_000 * i64::try_from(round)? / 4;
            let range = json!({"range": {"@timestamp": {
                "gte": first + step,
                "lt": last - step,
                "format": "epoch_millis",
            }}});
            body["query"] = match query.as_object() {
                None => json!({"match_all": {}}),
                Some(query) if query.is_empty() => range,
                Some(_) => json!({"bool": {"filter": [query, range]}}),
            };
            let start = clock.monotonic();
            search.search(INDEX, &body).await?;
            if round >= WARM_UP {
                took.push(clock.monotonic().saturating_sub(start));
            }
        }
        took.sort_unstable();
        let quantile = |part: usize| {
            let place = (took.len() * part / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        timings.push(SearchTiming {
            name,
            p50_ms: quantile(50),
            p99_ms: quantile(99),
        });
    }
    Ok(timings)
}

/// The times of the first and the last document.
async fn times(search: &Search) -> anyhow::Result<(i64, i64)> {
    let times = json!({"stats": {"field": "@timestamp"}});
    let body = json!({"size": 0, "aggs": {"times": times}});
    let answer = search.search(INDEX, &body).await?;
    let millis = |end: &str| answer["aggregations"]["times"][end].as_f64();
    let ends = millis("min").zip(millis("max"));
    let (first, last) = ends.context("no document was indexed")?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds are whole")]
    Ok((first as i64, last as i64))
}

/// Makes log lines of a web server from a seed.
struct Generator(u64);

impl Generator {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let place = self.below(from.len() as u64);
        from[usize::try_from(place).unwrap_or(0)]
    }

    fn lines(&mut self, count: u64) -> Vec<Bytes> {
        (0..count)
            .map(|n| self.line(i64::try_from(n).unwrap_or(i64::MAX)))
            .collect()
    }

    fn line(&mut self, n: i64) -> Bytes {
        // Small numbers come more often, as popular pages and busy clients do.
        let page = self.below(2_500).min(self.below(2_500));
        let (folder, kind) = self.pick(&[
            ("images", "gif"),
            ("images", "jpg"),
            ("english", "html"),
            ("news", "html"),
            ("french", "html"),
        ]);
        let status = self.pick(&[200, 200, 200, 200, 200, 200, 200, 304, 304, 404, 500, 302]);
        let size = self.below(40_000).min(self.below(40_000));
        let line = format!(
            r#"{{"@timestamp":{},"clientip":"{}.{}.{}.0","request":"GET /{folder}/{page}.{kind} HTTP/1.{}","status":{status},"size":{size}}}"#,
            FIRST_MILLIS + n * STEP_MILLIS,
            1 + self.below(223),
            self.below(8),
            self.below(32),
            self.below(2),
        );
        Bytes::from(line)
    }
}

impl fmt::Display for SearchBenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} documents of {:.0} bytes, {} rejected, {} commits, {:.2} s",
            self.documents,
            self.input_bytes as f64 / self.documents as f64,
            self.rejected,
            self.commits,
            self.seconds,
        )?;
        writeln!(
            f,
            "{:.0} documents/s, {:.1} MB/s, {:.2} CPU s per million, {:.3} bytes on disk per byte",
            self.documents_per_second,
            self.megabytes_per_second,
            self.cpu_seconds_per_million,
            self.disk_per_input,
        )?;
        for timing in &self.searches {
            writeln!(
                f,
                "{:40} p50 {:>7.2} ms  p99 {:>7.2} ms",
                timing.name, timing.p50_ms, timing.p99_ms
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_run_indexes_and_searches() {
        let dir = tempfile::tempdir().unwrap();
        let options = SearchBenchOptions {
            documents: 2_500,
            input: None,
            seed: 7,
            searches: 3,
            dir: dir.path().to_owned(),
        };
        let report = run(options).await.unwrap();
        assert_eq!((report.documents, report.rejected), (2_500, 0));
        assert!((110..150).contains(&(report.input_bytes / report.documents)));
        assert_eq!(report.searches.len(), kinds().len());
        assert!(report.to_string().contains("documents/s"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_seed_makes_the_same_documents() {
        let made = |seed| Generator::new(seed).lines(50);
        assert_eq!(made(3), made(3));
        assert_ne!(made(3), made(4));
    }
}
