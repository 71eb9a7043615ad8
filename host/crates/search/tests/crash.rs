//! Kills a process while it indexes, again and again: what is found afterwards is exactly what the
//! position in the last commit says, each document once.
//!
//! Documents follow from their offset alone, so that the position decides every document that
//! must be there. The child tells what it was promised; nothing of that may be missing.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};
use wstream_search::{Document, Index, Search, SearchConfig, SourceBatch, SourceKey};

const DIR: &str = "WSTREAM_SEARCH_CRASH_DIR";
const SEED: &str = "WSTREAM_SEARCH_CRASH_SEED";
const ROUNDS: u64 = 8;
const KEYS: i64 = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn source() -> SourceKey {
    SourceKey {
        pipeline: "p".to_owned(),
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(3),
    }
}

/// The key of an offset's document, if it has one of its own.
fn key(offset: i64) -> Option<String> {
    (offset % 5 == 0).then(|| format!("k{}", offset % KEYS))
}

/// The documents of an offset: none, one or two; some keyed, some not JSON.
fn documents_of(offset: i64) -> Vec<Document> {
    let count = if key(offset).is_some() { 1 } else { offset % 3 };
    (0..count)
        .map(|n| Document {
            offset: Offset(offset),
            n: u32::try_from(n).unwrap(),
            key: key(offset),
            timestamp: Timestamp(offset),
            json: Bytes::from(match offset % 17 {
                16 => "not json".to_owned(),
                _ => json!({"offset": offset, "n": n}).to_string(),
            }),
        })
        .collect()
}

/// What an index at a position holds: id and offset.
fn expected(position: i64) -> BTreeMap<String, i64> {
    let mut documents = BTreeMap::new();
    for offset in 0..position {
        for document in documents_of(offset).iter().filter(|_| offset % 17 != 16) {
            let id = match (&document.key, document.n) {
                (Some(key), _) => key.clone(),
                (None, 0) => format!("t-3-{offset}"),
                (None, n) => format!("t-3-{offset}-{n}"),
            };
            documents.insert(id, offset);
        }
    }
    documents
}

fn batch(from: i64, to: i64) -> SourceBatch {
    SourceBatch {
        source: source(),
        next_offset: Offset(to),
        documents: (from..to).flat_map(documents_of).collect(),
    }
}

fn config() -> SearchConfig {
    SearchConfig {
        commit_interval: Duration::from_millis(2),
        ..SearchConfig::default()
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Indexes until it is killed, telling what is durable and when it deletes the index.
async fn index_forever(dir: &Path, seed: u64) {
    let mut random = Random(seed | 1);
    let search = Search::open(dir, config(), Clock::system()).unwrap();
    let mut index: Index = search.index("a").await.unwrap();
    loop {
        let from = index.position(&source()).map_or(0, |at| at.0);
        match random.below(24) {
            0 => {
                tell("deleting");
                search.delete_index("a").await.unwrap();
                tell("deleted");
                index = search.index("a").await.unwrap();
            }
            1 if from > 10 => {
                // A replayed range is what it was.
                let at = i64::try_from(random.below(10)).unwrap();
                index.replay(Offset(at), batch(at, at + 7)).await.unwrap();
            }
            n => {
                // Overlaps with what the index has are skipped.
                let back = i64::try_from(random.below(5)).unwrap();
                let to = from + 1 + i64::try_from(random.below(300)).unwrap();
                index.submit(batch((from - back).max(0), to)).await.unwrap();
                if n % 2 == 0 {
                    index.flush().await.unwrap();
                }
                if let Some(at) = index.position(&source()) {
                    tell(&format!("durable {at}"));
                }
            }
        }
    }
}

/// Runs in the child only; in the test run itself it has nothing to do.
#[tokio::test]
async fn child() {
    if let (Some(dir), Ok(seed)) = (std::env::var_os(DIR), std::env::var(SEED)) {
        index_forever(Path::new(&dir), seed.parse().unwrap()).await;
    }
}

/// Starts a child and kills it after so many lines. Answers the least position that it was
/// promised, and whether it was deleting.
fn run_and_kill(dir: &Path, seed: u64, lines: u64) -> (i64, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (mut promised, mut deleting, mut seen) = (0, false, 0);
    for line in out.lines() {
        let line = line.unwrap();
        if let Some(at) = line.strip_prefix("durable ") {
            promised = at.parse().unwrap();
            (deleting, seen) = (false, seen + 1);
        } else if line == "deleting" {
            deleting = true;
        } else if line == "deleted" {
            promised = 0;
        }
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(
        seen >= lines,
        "the child ended by itself after {seen} lines"
    );
    (promised, deleting)
}

async fn found(search: &Search) -> BTreeMap<String, i64> {
    let mut documents = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let mut body = json!({"size": 5000, "track_total_hits": true, "sort": [{"offset": "asc"}, {"n": "asc"}]});
        if !after.is_null() {
            body["search_after"] = after;
        }
        let answer = search.search("a", &body).await.unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap();
        for hit in hits {
            let id = hit["_id"].as_str().unwrap().to_owned();
            let before = documents.insert(id.clone(), hit["_source"]["offset"].as_i64().unwrap());
            assert_eq!(before, None, "{id} is there twice");
        }
        match hits.last() {
            Some(last) => after = last["sort"].clone(),
            None => {
                assert_eq!(answer["hits"]["total"]["value"], documents.len());
                return documents;
            }
        }
    }
}

#[tokio::test]
async fn killed_processes_leave_each_document_once() {
    let dir = tempfile::tempdir().unwrap();
    let seed = std::env::var("SEED").map_or(0x5EED, |seed| seed.parse().unwrap());
    let mut random = Random(seed | 1);
    let mut before = 0;
    for round in 0..ROUNDS {
        let (child_seed, lines) = (random.below(u64::MAX), 1 + random.below(20));
        let at = dir.path().to_owned();
        let run = tokio::task::spawn_blocking(move || run_and_kill(&at, child_seed, lines));
        let (promised, deleting) = run.await.unwrap();
        let search = Search::open(dir.path(), config(), Clock::system()).unwrap();
        let index = search.index("a").await.unwrap();
        let position = index.position(&source()).map_or(0, |at| at.0);
        let least = if deleting { 0 } else { promised };
        println!("seed {seed} round {round}: {before} -> {position}, promised {promised}");
        assert!(
            position >= least,
            "seed {seed} round {round}: {position} of {promised}"
        );
        assert_eq!(
            found(&search).await,
            expected(position),
            "seed {seed} round {round}"
        );
        search.close().await;
        before = position;
    }
}
