use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tempfile::TempDir;
use wstream_log::{FreeSpace, LogConfig, TopicSpec, Upto, Waiter};
use wstream_record::{ByteSize, ManualClock, Offset, PartitionId, Timestamp, TopicPartition};

use super::*;
use crate::sources::memory::{MemoryRow, MemorySource};
use crate::sources::{CsvConfig, JsonlConfig};
use crate::units::Size;

const PARTITIONS: i32 = 3;

/// A node as far as sources see it.
struct Node {
    deps: SourceDeps,
    shutdown: Shutdown,
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

impl Node {
    /// Checkpoints after every step of `step` rows.
    async fn new(step: usize) -> Self {
        Self::on(Log::in_memory(Clock::system()), step).await
    }

    async fn on(log: Log, step: usize) -> Self {
        let clock = Clock::system();
        log.create_topic(&topic("t"), TopicSpec::partitions(PARTITIONS))
            .await
            .unwrap();
        let soon = Duration::from_millis(1);
        let deps = SourceDeps {
            checkpoints: Checkpoints::open(&log, clock.clone()).await.unwrap(),
            log,
            clock,
            metrics: Metrics::new(),
            pace: Pace {
                checkpoint_interval: Duration::ZERO,
                poll: (soon, soon),
                retry: (soon, soon),
                step_rows_max: step,
                batch_bytes: BATCH_BYTES,
            },
        };
        Self {
            deps,
            shutdown: Shutdown::new(),
        }
    }

    /// What a killed process leaves: the log, and nothing else.
    async fn restart(&mut self) {
        let checkpoints = Checkpoints::open(&self.deps.log, self.deps.clock.clone()).await;
        self.deps.checkpoints = checkpoints.unwrap();
        self.shutdown = Shutdown::new();
    }

    fn start(&self, config: &SourceConfig) -> SourceHandle {
        start("s", config, &self.deps, &self.shutdown).unwrap()
    }

    async fn run(&self, config: &SourceConfig) -> SourceStatus {
        self.start(config).finished().await
    }

    /// Returns once a partition of `t` holds so many records.
    async fn holds(&self, partition: usize, records: i64) {
        let partition = self.deps.log.partitions(&topic("t")).swap_remove(partition);
        let mut waiter = Waiter::new();
        waiter.watch(&partition, Offset(records - 1), Upto::HighWatermark);
        waiter.wait().await;
    }

    /// (key, value) of every record, partition by partition.
    async fn records(&self, name: &str) -> Vec<Records> {
        let mut all = Vec::new();
        for partition in self.deps.log.partitions(&topic(name)) {
            let (mut at, mut records) = (Offset(0), Vec::new());
            loop {
                let fetch = partition.fetch(at, ByteSize::mib(1), Upto::HighWatermark, None);
                let fetched = fetch.await.unwrap();
                let next = fetched.next;
                if next == at {
                    break;
                }
                let batches = fetched.batches().unwrap();
                for stored in batches.iter().flat_map(|b| b.records().unwrap()) {
                    if stored.offset < at {
                        continue;
                    }
                    let text = |b: bytes::Bytes| String::from_utf8(b.to_vec()).unwrap();
                    let record = stored.record;
                    records.push((record.key.map(text), record.value.map(text).unwrap()));
                }
                at = next;
            }
            all.push(records);
        }
        all
    }
}

/// Keyed, keyless and bad rows in a fixed mixture.
fn rows(count: usize) -> Arc<Vec<MemoryRow>> {
    let keys = [
        Some("a"),
        None,
        Some("b"),
        Some("c"),
        None,
        Some("d"),
        Some("e"),
    ];
    let rows = (0..count).map(|n| match n % 11 {
        4 => MemoryRow::Bad(format!("bad {n}")),
        _ => MemoryRow::Record(keys[n % keys.len()], format!("row {n}")),
    });
    Arc::new(rows.collect())
}

/// Key and value of a partition's records.
type Records = Vec<(Option<String>, String)>;

/// The records that `rows` should give each partition, and their dead letters, by the rule alone.
fn model(rows: &[MemoryRow]) -> [Vec<Records>; 2] {
    let count = usize::try_from(PARTITIONS).unwrap();
    let (mut records, mut dead) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (n, row) in rows.iter().enumerate() {
        match row {
            MemoryRow::Bad(raw) => dead[n % count].push((None, raw.clone())),
            MemoryRow::Record(None, value) => records[n % count].push((None, value.clone())),
            MemoryRow::Record(Some(key), value) => {
                let hash = wstream_kafka::murmur2(key.as_bytes()) & 0x7fff_ffff;
                let at = usize::try_from(hash).unwrap() % count;
                records[at].push((Some((*key).to_owned()), value.clone()));
            }
        }
    }
    [records, dead]
}

fn memory(rows: &Arc<Vec<MemoryRow>>) -> Input {
    let rows = Arc::clone(rows);
    Input {
        kind: "memory",
        path: "memory".into(),
        topic: topic("t"),
        dead_letter_topic: topic("t.dlq"),
        config: serde_json::Value::Null,
        open: Arc::new(move |_, position| MemorySource::open(&rows, position)),
    }
}

/// Lets a future be polled so many times, then drops it: a kill at an await.
struct Killed<F>(Pin<Box<F>>, usize);

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        self.0.as_mut().poll(context).map(Some)
    }
}

struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn runner(node: &Node, input: Input) -> Runner {
    let phase = watch::Sender::new(Phase {
        state: SourceState::Reading,
        error: None,
    });
    Runner {
        name: "s".into(),
        input,
        metrics: node.deps.metrics.source("s"),
        deps: node.deps.clone(),
        phase,
        stop: node.shutdown.child(),
    }
}

#[tokio::test]
async fn every_row_is_in_its_partition_in_order() {
    let rows = rows(1_000);
    for step in [1, 7, usize::MAX] {
        let node = Node::new(step).await;
        let status = start_input("s", memory(&rows), &node.deps, &node.shutdown)
            .finished()
            .await;
        assert_eq!(status.state, SourceState::Done);
        assert_eq!((status.records, status.bad_rows), (909, 91));
        let [records, dead] = model(&rows);
        assert_eq!(node.records("t").await, records);
        assert_eq!(node.records("t.dlq").await, dead);
    }
}

/// Kills at random awaits, again and again, until the source is through.
#[tokio::test]
async fn kills_at_any_await_lose_and_repeat_nothing() {
    let rows = rows(400);
    let [records, dead] = model(&rows);
    for seed in 0..60 {
        let mut random = Seeded(seed);
        let mut node = Node::new(1).await;
        if seed % 3 == 0 {
            // Only the first and the last checkpoint: all is read again after each kill.
            node.deps.pace.checkpoint_interval = Duration::from_secs(3600);
        }
        let mut kills = 0;
        loop {
            // Batches are cut elsewhere each time, as they are when other rows are skipped.
            node.deps.pace.step_rows_max = 1 + random.below(40);
            node.deps.pace.batch_bytes = 100 + random.below(1_000);
            let run = runner(&node, memory(&rows)).run();
            // Without checkpoints a run has to be able to come to its end.
            let polls = 1 + random.below(40 + kills * 4);
            if Killed(Box::pin(run), polls).await.is_some() {
                break;
            }
            kills += 1;
            assert!(kills < 1_000, "seed {seed}: no end");
            node.restart().await;
        }
        assert_eq!(
            node.records("t").await,
            records,
            "seed {seed}, {kills} kills"
        );
        assert_eq!(
            node.records("t.dlq").await,
            dead,
            "seed {seed}, {kills} kills"
        );
    }
}

fn csv(folder: &TempDir, content: &str) -> CsvConfig {
    let path = folder.path().join("in.csv");
    std::fs::write(&path, content).unwrap();
    CsvConfig::new(path, topic("t"))
}

#[tokio::test]
async fn a_second_run_finds_nothing_new_and_a_third_what_was_added() {
    let folder = TempDir::new().unwrap();
    let config = csv(&folder, "id,v\n1,a\n2,b\n");
    let source = SourceConfig::Csv(config.clone());
    let mut node = Node::new(100).await;
    for (added, count) in [("", 2), ("", 2), ("3,c\n4\n", 3)] {
        let content = std::fs::read_to_string(&config.path).unwrap() + added;
        std::fs::write(&config.path, content).unwrap();
        let status = node.run(&source).await;
        assert_eq!(status.state, SourceState::Done);
        assert_eq!(status.bytes_read, status.bytes_total);
        assert_eq!(node.records("t").await.concat().len(), count);
        node.restart().await;
    }
    assert_eq!(
        node.records("t.dlq").await.concat(),
        [(None, "4".to_owned())]
    );
}

#[tokio::test]
async fn a_replaced_file_is_read_from_its_start_after_a_kill_as_well() {
    let folder = TempDir::new().unwrap();
    let source = SourceConfig::Csv(csv(&folder, "id,v\n1,a\n2,b\n"));
    let mut node = Node::new(1).await;
    node.run(&source).await;
    // Goes back to the checkpoint after the first row, as a kill would.
    let mut checkpoint = node.deps.checkpoints.load("s").await.unwrap().unwrap();
    let name = TopicPartition::new(topic(super::super::checkpoint::TOPIC), PartitionId(0));
    let saved = node.deps.log.partition(&name).unwrap();
    let fetch = saved.fetch(Offset(0), ByteSize::mib(1), Upto::HighWatermark, None);
    let earlier = fetch.await.unwrap().batches().unwrap();
    let earlier = &earlier[1].records().unwrap()[0]
        .record
        .value
        .clone()
        .unwrap();
    checkpoint.position = serde_json::from_slice::<serde_json::Value>(earlier).unwrap()["position"]
        .clone()
        .into();
    let sequences = serde_json::from_slice::<serde_json::Value>(earlier).unwrap();
    checkpoint.sequences = serde_json::from_value(sequences["sequences"].clone()).unwrap();
    node.deps.checkpoints.save("s", &checkpoint).await.unwrap();
    node.restart().await;

    csv(&folder, "id,v\n7,x\n8,y\n9,z\n");
    let status = node.run(&source).await;
    assert_eq!((status.state, status.records), (SourceState::Done, 5));
    assert_eq!(node.records("t").await.concat().len(), 5);
}

#[tokio::test]
async fn more_partitions_and_other_settings_are_taken_over_between_rows() {
    let folder = TempDir::new().unwrap();
    let content: String = (0..50).map(|n| format!("{n},{}\n", n % 7)).collect();
    let config = csv(&folder, &format!("id,v\n{content}"));
    let source = SourceConfig::Csv(config.clone());
    let mut node = Node::new(3).await;
    // The log is ahead of the only checkpoint, which routes to three partitions.
    node.deps.pace.checkpoint_interval = Duration::from_secs(3600);
    node.deps.pace.batch_bytes = 100;
    tokio::select! {
        biased;
        () = node.holds(0, 1) => {}
        () = runner(&node, Input::new(&source).unwrap()).run() => panic!("not killed"),
    }
    node.restart().await;
    node.deps.pace.checkpoint_interval = Duration::ZERO;
    node.deps
        .log
        .alter_topic(&topic("t"), TopicSpec::partitions(5))
        .await
        .unwrap();
    let mut config = config;
    config.key = Some("v".into());
    let status = node.run(&SourceConfig::Csv(config)).await;
    assert_eq!(status.state, SourceState::Done, "{status:?}");
    let records = node.records("t").await;
    assert_eq!(records.len(), 5);
    let mut values: Vec<_> = records
        .concat()
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    values.sort();
    let mut want: Vec<_> = (0..50)
        .map(|n| format!(r#"{{"id":"{n}","v":"{}"}}"#, n % 7))
        .collect();
    want.sort();
    assert_eq!(values, want);
}

#[tokio::test]
async fn a_topic_made_anew_is_filled_anew() {
    let folder = TempDir::new().unwrap();
    let source = SourceConfig::Csv(csv(&folder, "id,v\n1,a\n2,b\n"));
    let mut node = Node::new(100).await;
    node.run(&source).await;
    node.deps.log.delete_topic(&topic("t")).await.unwrap();
    node.restart().await;
    let status = node.run(&source).await;
    assert_eq!(status.state, SourceState::Failed);
    assert!(
        status
            .error
            .unwrap()
            .starts_with("there is no topic t; declare it")
    );
    node.deps
        .log
        .create_topic(&topic("t"), TopicSpec::partitions(1))
        .await
        .unwrap();
    let status = node.run(&source).await;
    assert_eq!(status.state, SourceState::Done, "{status:?}");
    assert_eq!(node.records("t").await.concat().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_read_fails_the_source_and_says_why() {
    let folder = TempDir::new().unwrap();
    let mut config = csv(&folder, "id,v\n1,a\n");
    let node = Node::new(100).await;
    config.key = Some("idd".into());
    let status = node.run(&SourceConfig::Csv(config.clone())).await;
    assert_eq!(status.state, SourceState::Failed);
    assert!(status.error.unwrap().contains("its columns are: id, v"));
    config.key = None;
    config.path = folder.path().join("nowhere.csv");
    let status = node.run(&SourceConfig::Csv(config)).await;
    assert!(
        status.error.unwrap().contains("nowhere.csv"),
        "{:?}",
        status.state
    );
}

#[tokio::test]
async fn a_followed_file_is_waited_for_and_a_stop_leaves_a_checkpoint() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("in.jsonl");
    std::fs::write(&path, "one\ntw").unwrap();
    let mut config = JsonlConfig::new(path.clone(), topic("t"));
    config.follow = true;
    config.row_bytes_max = Size(ByteSize::kib(1));
    let source = SourceConfig::Jsonl(config);
    let mut node = Node::new(100).await;
    // Only a stop writes a checkpoint.
    node.deps.pace.checkpoint_interval = Duration::from_secs(3600);
    let handle = node.start(&source);
    node.holds(0, 1).await;
    std::fs::write(&path, "one\ntwo\nthree\nfour\nfi").unwrap();
    node.holds(0, 2).await;
    assert_eq!(handle.stop().await.state, SourceState::Stopped);
    node.restart().await;
    let handle = node.start(&source);
    std::fs::write(&path, "one\ntwo\nthree\nfour\nfive\n").unwrap();
    node.holds(1, 2).await;
    handle.stop().await;
    let values = |p: &Records| p.iter().map(|r| r.1.clone()).collect::<Vec<_>>();
    let records: Vec<_> = node.records("t").await.iter().map(values).collect();
    assert_eq!(
        records,
        [vec!["one", "four"], vec!["two", "five"], vec!["three"]]
    );
}

/// Also on the real store: a full disk is waited for, and then every row is there once.
#[tokio::test]
async fn a_full_disk_is_waited_for_and_costs_nothing() {
    let folder = TempDir::new().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let probe = Arc::clone(&full);
    let config = LogConfig {
        dir: folder.path().join("data"),
        free_space: FreeSpace::from_fn(move |_| {
            let full = probe.load(Ordering::SeqCst);
            Ok(if full {
                ByteSize(0)
            } else {
                ByteSize::gib(100)
            })
        }),
        ..LogConfig::default()
    };
    let time = ManualClock::new(Timestamp(0));
    let log = Log::open(config, time.clock()).await.unwrap();
    let node = Node::on(log, 7).await;
    let rows = rows(3_000);
    let handle = start_input("s", memory(&rows), &node.deps, &node.shutdown);
    node.holds(0, 1).await;
    full.store(true, Ordering::SeqCst);
    // The log asks for free space again after a second.
    time.advance(Duration::from_secs(2));
    let mut changes = handle.changes();
    while handle.status().state != SourceState::Retrying {
        assert!(changes.next().await.is_some(), "{:?}", handle.status());
    }
    let error = handle.status().error.unwrap();
    assert!(error.contains("0 bytes free"), "{error}");
    full.store(false, Ordering::SeqCst);
    assert_eq!(handle.finished().await.state, SourceState::Done);
    let [records, dead] = model(&rows);
    assert_eq!(node.records("t").await, records);
    assert_eq!(node.records("t.dlq").await, dead);
    node.deps.log.close().await;
}

#[tokio::test]
async fn counts_are_in_the_metrics_and_in_the_status() {
    let folder = TempDir::new().unwrap();
    let source = SourceConfig::Csv(csv(&folder, "id,v\n1,a\n2\n"));
    let node = Node::new(100).await;
    let status = node.run(&source).await;
    let json = serde_json::to_value(&status).unwrap();
    let want = serde_json::json!({
        "name": "s", "type": "csv", "path": source.path(), "topic": "t", "state": "done",
        "records": 1, "bad_rows": 1, "bytes_read": 11, "bytes_total": 11,
    });
    assert_eq!(json, want);
    let text = node.deps.metrics.render(&[]);
    let rows: BTreeMap<_, _> = text.lines().filter_map(|l| l.rsplit_once(' ')).collect();
    assert_eq!(rows["wstream_source_bad_rows_total{source=\"s\"}"], "1");
    assert_eq!(rows["wstream_source_done{source=\"s\"}"], "1");
}
