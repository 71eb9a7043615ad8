//! What every sink must do, checked against each of them.
//!
//! The records carry their offset and number in their value, so that what the target holds can be
//! compared with what was given to it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tempfile::TempDir;

use wstream_log::{Log, TopicSpec, Upto};
use wstream_record::{
    ByteSize, Clock, ManualClock, Offset, PartitionId, Record, Timestamp, TopicName, TopicPartition,
};
use wstream_search::{Search, SearchConfig};

use super::memory::MemoryTarget;
use super::*;
use crate::units::{Period, Size};

/// 2021-01-03T00:00:00Z, and a day later every other record.
const DAY_MILLIS: i64 = 86_400_000;
const TIME: i64 = 1_609_632_000_000;

/// Offset and number of a record.
type Id = (i64, u32);

/// A node's parts around one sink.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) deps: SinkDeps,
    pub(crate) printed: Arc<Mutex<Vec<u8>>>,
}

struct Printer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp(TIME)).clock();
        let printed = Arc::new(Mutex::new(Vec::new()));
        // Commits of indices follow the machine's clock: nothing here depends on when they come.
        let search = Search::open(dir.path(), SearchConfig::default(), Clock::system()).unwrap();
        let deps = SinkDeps {
            log: Log::in_memory(clock.clone()),
            search,
            dashboards: DashboardHook::none(),
            metrics: Metrics::new(),
            clock,
            stdout: Stdout::to(Printer(Arc::clone(&printed))),
        };
        Self { dir, deps, printed }
    }
}

pub(crate) fn origin(position: i64) -> Origin {
    Origin {
        pipeline: "p".into(),
        partition: TopicPartition::new(TopicName::new("in").unwrap(), PartitionId(0)),
        position: Offset(position),
    }
}

fn record(offset: i64, n: u32) -> SinkRecord {
    let value = format!(r#"{{"offset":{offset},"n":{n}}}"#);
    SinkRecord {
        offset: Offset(offset),
        n,
        partition: None,
        record: Record {
            timestamp: Timestamp(TIME + DAY_MILLIS * (offset % 2)),
            key: Some(Bytes::from(format!("k{offset}-{n}"))),
            value: Some(value.into()),
            headers: Vec::new(),
        },
    }
}

/// A batch that covers `[first, next)`: offsets divisible by three have no output, others as many
/// as the remainder.
fn batch(first: i64, next: i64) -> SinkBatch {
    SinkBatch {
        first_offset: Offset(first),
        next_offset: Offset(next),
        records: ids(first, next).map(|(o, n)| record(o, n)).collect(),
        room: None,
    }
}

fn ids(first: i64, next: i64) -> impl Iterator<Item = Id> {
    let outputs = |o: i64| u32::try_from(o % 3).unwrap();
    (first..next).flat_map(move |o| (0..outputs(o)).map(move |n| (o, n)))
}

fn parse(value: &[u8]) -> Id {
    let json: serde_json::Value = serde_json::from_slice(value).unwrap();
    let n = u32::try_from(json["n"].as_u64().unwrap()).unwrap();
    (json["offset"].as_i64().unwrap(), n)
}

/// Both steps of handing over.
async fn put(sink: &mut dyn Sink, batch: SinkBatch) -> Result<Vec<Refusal>, SinkError> {
    let refused = sink.prepare(batch).await?;
    sink.submit().await?;
    Ok(refused)
}

/// How a sink is checked: where it is and what it holds.
struct Subject<'a> {
    world: &'a World,
    target: SinkTarget,
    contents: Box<dyn Fn() -> BoxFuture<'a, Vec<Id>> + 'a>,
    once: bool,
}

impl Subject<'_> {
    async fn open(&self, group: i64) -> (Box<dyn Sink>, i64) {
        let sink = self
            .target
            .open(origin(group), &self.world.deps)
            .await
            .unwrap();
        let start = match sink.start() {
            Start::Group => group,
            Start::AtLeast(at) => at.0.max(group),
            Start::Exactly(at) => at.0,
        };
        assert_eq!(sink.durable().borrow().next, Offset(start));
        (sink, start)
    }

    async fn check(&self) {
        let (mut sink, start) = self.open(0).await;
        assert_eq!(start, 0, "a new target starts at the beginning");
        let durable = sink.durable();
        for (first, next) in [(0, 4), (4, 10), (10, 10 + 1)] {
            assert_eq!(put(&mut *sink, batch(first, next)).await, Ok(vec![]));
            assert!(durable.borrow().next <= Offset(next));
        }
        sink.flush().await.unwrap();
        assert_eq!(
            durable.borrow().clone(),
            Durable {
                next: Offset(11),
                failed: None
            }
        );
        self.holds(0, 11).await;

        // What is only prepared is nowhere.
        sink.prepare(batch(11, 13)).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(durable.borrow().next, Offset(11));

        // A range without outputs moves the position as well.
        let empty = SinkBatch {
            records: Vec::new(),
            ..batch(11, 13)
        };
        put(&mut *sink, empty).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(durable.borrow().next, Offset(13));
        sink.close().await;

        // A sink that is gone before its batches are durable, and one whose submit was given up.
        let (mut sink, start) = self.open(13).await;
        assert!((11..=13).contains(&start), "{start}");
        put(&mut *sink, batch(13, 20)).await.unwrap();
        sink.close().await;
        let (mut sink, start) = self.open(13).await;
        assert!((11..=20).contains(&start), "{start}");
        drop(
            tokio::time::timeout(std::time::Duration::ZERO, put(&mut *sink, batch(start, 25)))
                .await,
        );
        sink.close().await;

        let (mut sink, start) = self.open(13).await;
        assert!((11..=25).contains(&start), "{start}");
        put(&mut *sink, batch(start, 25)).await.unwrap();
        put(&mut *sink, batch(25, 30)).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(sink.durable().borrow().next, Offset(30));
        let expected: Vec<Id> = ids(0, 11).chain(ids(13, 30)).collect();
        self.holds_exactly(&expected).await;
    }

    async fn holds(&self, first: i64, next: i64) {
        self.holds_exactly(&ids(first, next).collect::<Vec<_>>())
            .await;
    }

    async fn holds_exactly(&self, expected: &[Id]) {
        let mut found = (self.contents)().await;
        found.sort_unstable();
        if !self.once {
            found.dedup();
        }
        assert_eq!(found, expected);
    }
}

fn search_config(index: &str, id: Option<&str>) -> SinkConfig {
    SinkConfig::Search(SearchSinkConfig {
        index: index.to_owned(),
        id: id.map(str::to_owned),
    })
}

async fn documents(search: Search, target: &'static str) -> Vec<Id> {
    let body = serde_json::json!({"size": 1000, "query": {"match_all": {}}});
    let answer = search.search(target, &body).await.unwrap();
    let hits = answer["hits"]["hits"].as_array().unwrap();
    hits.iter()
        .map(|h| parse(h["_source"].to_string().as_bytes()))
        .collect()
}

#[tokio::test]
async fn memory_sinks_conform() {
    for once in [true, false] {
        let world = World::new();
        let memory = MemoryTarget::new(once);
        let stored = memory.clone();
        let contents = move || {
            let stored = stored.stored();
            let ids = stored
                .iter()
                .map(|(_, r)| parse(r.record.value.as_ref().unwrap()));
            let ids: Vec<Id> = ids.collect();
            async { ids }.boxed()
        };
        let target = SinkTarget::memory("m", memory);
        let subject = Subject {
            world: &world,
            target,
            contents: Box::new(contents),
            once,
        };
        subject.check().await;
    }
}

#[tokio::test]
async fn search_sinks_conform() {
    let rows = [
        ("fixed", None, "fixed"),
        ("keyed", Some("key"), "keyed"),
        ("daily-%{+yyyyMMdd}", None, "daily-*"),
    ];
    for (index, id, read) in rows {
        let world = World::new();
        let search = world.deps.search.clone();
        let contents = move || documents(search.clone(), read).boxed();
        let target = SinkTarget::new("s", search_config(index, id));
        let subject = Subject {
            world: &world,
            target,
            contents: Box::new(contents),
            once: true,
        };
        subject.check().await;
    }
}

#[tokio::test]
async fn a_batch_is_durable_only_when_every_index_it_fed_has_committed() {
    for index in ["fixed", "daily-%{+yyyyMMdd}"] {
        let mut world = World::new();
        let config = SearchConfig {
            commit_interval: std::time::Duration::from_secs(3600),
            commit_interval_min: std::time::Duration::from_secs(3600),
            ..SearchConfig::default()
        };
        let dir = world.dir.path().join("uncommitted");
        world.deps.search = Search::open(dir, config, Clock::system()).unwrap();
        let target = SinkTarget::new("s", search_config(index, None));
        let mut sink = target.open(origin(0), &world.deps).await.unwrap();
        put(&mut *sink, batch(0, 6)).await.unwrap();
        let mut durable = sink.durable();
        // Nothing commits by itself: what follows the commits has run dry without a move.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(durable.borrow_and_update().next, Offset(0), "{index}");
        let Some(other) = index.starts_with("daily").then_some("daily-20210103") else {
            continue;
        };
        // One of the two days is not enough.
        let one = world.deps.search.index(other).await.unwrap();
        one.flush().await.unwrap();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            durable.borrow_and_update().next,
            Offset(0),
            "one of two days"
        );
        sink.flush().await.unwrap();
        assert_eq!(durable.borrow_and_update().next, Offset(6));
    }
}

#[tokio::test]
async fn topic_sinks_conform() {
    let world = World::new();
    let log = world.deps.log.clone();
    let topic = TopicName::new("out").unwrap();
    log.create_topic(&topic, TopicSpec::partitions(3))
        .await
        .unwrap();
    let contents = || {
        async {
            let mut ids = Vec::new();
            for partition in log.partitions(&topic) {
                let (from, upto) = (Offset(0), Upto::HighWatermark);
                let fetch = partition.fetch(from, ByteSize::mib(1), upto, None);
                for batch in fetch.await.unwrap().batches().unwrap() {
                    let records = batch.records().unwrap();
                    ids.extend(
                        records
                            .iter()
                            .map(|r| parse(r.record.value.as_ref().unwrap())),
                    );
                }
            }
            ids
        }
        .boxed()
    };
    let config = SinkConfig::Topic(TopicSinkConfig {
        topic: topic.clone(),
        partition_by: PartitionBy::default(),
    });
    let target = SinkTarget::new("t", config);
    let subject = Subject {
        world: &world,
        target,
        contents: Box::new(contents),
        once: false,
    };
    subject.check().await;
}

#[tokio::test]
async fn stdout_sinks_conform() {
    let world = World::new();
    let printed = Arc::clone(&world.printed);
    let contents = || {
        let text = String::from_utf8(printed.lock().clone()).unwrap();
        let value = |line: &str| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            parse(json["value"].as_str().unwrap().as_bytes())
        };
        let ids: Vec<Id> = text.lines().map(value).collect();
        async { ids }.boxed()
    };
    let format = StdoutFormat::Json;
    let target = SinkTarget::new("o", SinkConfig::Stdout(StdoutSinkConfig { format }));
    let subject = Subject {
        world: &world,
        target,
        contents: Box::new(contents),
        once: false,
    };
    subject.check().await;
}

pub(crate) fn file_config(dir: &std::path::Path, bytes_max: u64) -> FileSinkConfig {
    FileSinkConfig {
        path: dir.to_owned(),
        format: FileFormat::Value,
        bytes_max: Size(ByteSize(bytes_max)),
        age_max: Period(std::time::Duration::from_secs(60)),
    }
}

#[tokio::test]
async fn file_sinks_conform() {
    for bytes_max in [1, 60, 1 << 20] {
        let world = World::new();
        let dir = world.dir.path().join("files");
        let contents = || {
            let mut ids = Vec::new();
            for file in std::fs::read_dir(&dir).unwrap() {
                let path = file.unwrap().path();
                if path.extension().is_some_and(|e| e == "jsonl") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    ids.extend(text.lines().map(|l| parse(l.as_bytes())));
                }
            }
            async { ids }.boxed()
        };
        let config = SinkConfig::File(file_config(&dir, bytes_max));
        let target = SinkTarget::new("f", config);
        let subject = Subject {
            world: &world,
            target,
            contents: Box::new(contents),
            once: true,
        };
        subject.check().await;
    }
}

#[tokio::test]
async fn a_dashboard_sink_counts_and_refuses_unknown_dashboards() {
    let mut world = World::new();
    world.deps.dashboards = DashboardHook::new(|name| {
        if name == "known" {
            Ok(())
        } else {
            Err(format!("there is no dashboard {name}"))
        }
    });
    let target = |name: &str| {
        let dashboard = name.to_owned();
        SinkTarget::new(
            "d",
            SinkConfig::Dashboard(DashboardSinkConfig { dashboard }),
        )
    };
    let mut sink = target("known").open(origin(4), &world.deps).await.unwrap();
    assert_eq!(sink.start(), Start::Group);
    put(&mut *sink, batch(4, 10)).await.unwrap();
    assert_eq!(sink.durable().borrow().next, Offset(10));
    let counted = world.deps.metrics.sink("d").records.get();
    assert_eq!(counted, ids(4, 10).count() as u64);
    let error = target("other")
        .open(origin(0), &world.deps)
        .await
        .err()
        .unwrap();
    assert_eq!(error, SinkError::fatal("there is no dashboard other"));
}
