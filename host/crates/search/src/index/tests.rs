//! What a commit guarantees.

use std::time::Duration;

use wstream_record::{ByteSize, Clock, ManualClock, Offset, PartitionId, Timestamp, TopicName};

use super::*;
use crate::{Search, SearchOptions};

fn source(partition: i32) -> SourceKey {
    SourceKey {
        pipeline: "p".to_owned(),
        topic: TopicName::new("t").unwrap(),
        partition: PartitionId(partition),
    }
}

fn document(offset: i64, json: &str) -> Document {
    Document {
        offset: Offset(offset),
        n: 0,
        key: None,
        timestamp: Timestamp(1000 + offset),
        json: Bytes::copy_from_slice(json.as_bytes()),
    }
}

fn batch(range: std::ops::Range<i64>) -> SourceBatch {
    SourceBatch {
        source: source(0),
        next_offset: Offset(range.end),
        documents: range
            .map(|n| document(n, &format!(r#"{{"n":{n}}}"#)))
            .collect(),
    }
}

async fn count(search: &Search, index: &str) -> u64 {
    let body = serde_json::json!({});
    let answer = search
        .count(index, &body, SearchOptions::default())
        .await
        .unwrap();
    answer["count"].as_u64().unwrap()
}

fn open(dir: &Path) -> Search {
    Search::open(dir, SearchConfig::default(), Clock::system()).unwrap()
}

/// A search whose time stands still until it is moved.
fn open_manual(dir: &Path, config: SearchConfig) -> (Search, ManualClock) {
    let clock = ManualClock::new(Timestamp(0));
    (Search::open(dir, config, clock.clock()).unwrap(), clock)
}

#[tokio::test]
async fn a_commit_makes_documents_and_position_durable_together() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    let mut durable = index.durable(&source(0));
    assert_eq!(index.position(&source(0)), None);
    assert!(index.submit(batch(0..1500)).await.unwrap().is_empty());
    durable.wait_for(|at| *at == Offset(1500)).await.unwrap();
    assert_eq!(count(&search, "a").await, 1500);
    search.close().await;
    assert!(index.submit(batch(1500..1501)).await.is_err());

    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    assert_eq!(index.position(&source(0)), Some(Offset(1500)));
    index.submit(batch(1000..2000)).await.unwrap();
    index.flush().await.unwrap();
    assert_eq!(count(&search, "a").await, 2000);
    search.close().await;
}

#[tokio::test]
async fn closing_commits_what_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (search, _clock) = open_manual(dir.path(), SearchConfig::default());
    let index = search.index("a").await.unwrap();
    index.submit(batch(0..10)).await.unwrap();
    search.close().await;
    let search = open(dir.path());
    assert_eq!(count(&search, "a").await, 10);
}

#[tokio::test]
async fn commits_wait_for_the_interval_or_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = SearchConfig {
        commit_bytes: ByteSize(1000),
        ..SearchConfig::default()
    };
    let (search, clock) = open_manual(dir.path(), config);
    let index = search.index("a").await.unwrap();
    let mut committed = index.committed();
    index.submit(batch(0..3)).await.unwrap();
    // The writer notes when the documents reach it, so time moves until it has passed for it too.
    while *committed.borrow_and_update() == 0 {
        clock.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
    }
    assert_eq!(index.position(&source(0)), Some(Offset(3)));
    // Enough bytes need no time to pass.
    index.submit(batch(3..203)).await.unwrap();
    committed.wait_for(|count| *count == 2).await.unwrap();
    // Nothing came, nothing is committed.
    index.flush().await.unwrap();
    assert_eq!(*committed.borrow(), 2);
    search.close().await;
}

#[tokio::test]
async fn a_position_moves_without_documents() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    let mut durable = index.durable(&source(0));
    let empty = SourceBatch {
        documents: Vec::new(),
        ..batch(0..7)
    };
    index.submit(empty).await.unwrap();
    durable.wait_for(|at| *at == Offset(7)).await.unwrap();
    search.close().await;
}

#[tokio::test]
async fn what_is_not_an_object_is_answered_and_the_rest_taken() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    let mut mixed = batch(0..4);
    mixed.documents[1] = document(1, "[1]");
    mixed.documents[2].json = Bytes::from_static(b"{\"a\":\"\xff\"}");
    let rejected = index.submit(mixed).await.unwrap();
    let places: Vec<usize> = rejected.iter().map(|rejected| rejected.index).collect();
    assert_eq!(places, [1, 2]);
    assert!(rejected[0].reason.contains("not a JSON object"));
    index.flush().await.unwrap();
    assert_eq!(count(&search, "a").await, 2);
    search.close().await;
}

#[tokio::test]
async fn sources_have_positions_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    for partition in [0, 1] {
        let other = SourceBatch {
            source: source(partition),
            ..batch(0..5)
        };
        index.submit(other).await.unwrap();
    }
    index.flush().await.unwrap();
    assert_eq!(count(&search, "a").await, 10);
    for (id, found) in [
        ("t-0-3", true),
        ("t-1-4", true),
        ("t-1-5", false),
        ("t-2-0", false),
    ] {
        let answer = search
            .get_document("a", id, SearchOptions::default())
            .await
            .unwrap();
        assert_eq!(answer.found, found, "{id}");
    }
    search.close().await;
}

#[tokio::test]
async fn the_last_document_of_a_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    for range in [0..10, 10..25] {
        let mut keyed = batch(range);
        for document in &mut keyed.documents {
            document.key = Some(format!("k{}", document.offset.0 % 3));
        }
        index.submit(keyed).await.unwrap();
        index.flush().await.unwrap();
    }
    assert_eq!(count(&search, "a").await, 3);
    let answer = search
        .get_document("a", "k0", SearchOptions::default())
        .await
        .unwrap();
    assert_eq!(answer.into_value()["_source"]["n"], 24);
    search.close().await;
}

#[tokio::test]
async fn a_replayed_range_is_replaced_in_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    index.submit(batch(0..100)).await.unwrap();
    index.flush().await.unwrap();
    let mut committed = index.committed();
    committed.borrow_and_update();
    // Three records of the range now give no document, the others another one.
    let replayed = SourceBatch {
        documents: (23..30).map(|n| document(n, r#"{"n":-1}"#)).collect(),
        ..batch(20..30)
    };
    index.replay(Offset(20), replayed).await.unwrap();
    assert_eq!(*committed.borrow(), 2);
    assert_eq!(count(&search, "a").await, 97);
    let body = serde_json::json!({"query": {"term": {"n": -1}}});
    let changed = search.count("a", &body, SearchOptions::default()).await;
    assert_eq!(changed.unwrap()["count"], 7);
    assert_eq!(index.position(&source(0)), Some(Offset(100)));
    search.close().await;
}

#[tokio::test]
async fn idle_writers_close_and_open_again() {
    let dir = tempfile::tempdir().unwrap();
    let (search, clock) = open_manual(dir.path(), SearchConfig::default());
    let index = search.index("a").await.unwrap();
    index.submit(batch(0..5)).await.unwrap();
    index.flush().await.unwrap();
    assert_eq!(search.writers_open(), 1);
    clock.advance(Duration::from_secs(31));
    while search.writers_open() > 0 {
        tokio::task::yield_now().await;
    }
    index.submit(batch(5..9)).await.unwrap();
    index.flush().await.unwrap();
    assert_eq!(count(&search, "a").await, 9);
    search.close().await;
}

#[tokio::test]
async fn more_indices_than_writers_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let config = SearchConfig {
        writers_max: 2,
        ..SearchConfig::default()
    };
    let search = Search::open(dir.path(), config, Clock::system()).unwrap();
    for round in 0..2 {
        for day in 0..5 {
            let index = search.index(&format!("day-{day}")).await.unwrap();
            index.submit(batch(round * 3..round * 3 + 3)).await.unwrap();
        }
    }
    search.close().await;
    let search = open(dir.path());
    assert_eq!(count(&search, "day-*").await, 30);
}

#[tokio::test]
async fn a_deleted_index_ends_its_handles_and_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    let mut durable = index.durable(&source(0));
    index.submit(batch(0..5)).await.unwrap();
    index.flush().await.unwrap();
    search.delete_index("a").await.unwrap();
    assert!(durable.wait_for(|at| *at > Offset(5)).await.is_err());
    let refused = index.submit(batch(5..9)).await;
    assert!(matches!(refused, Err(WriteError::Deleted { .. })));
    assert_eq!(search.list("*").await.unwrap(), []);
    let index = search.index("a").await.unwrap();
    assert_eq!(index.position(&source(0)), None);
    search.close().await;
}

#[tokio::test]
async fn a_failed_commit_ends_the_handle_and_loses_no_position() {
    let dir = tempfile::tempdir().unwrap();
    let search = open(dir.path());
    let index = search.index("a").await.unwrap();
    index.submit(batch(0..5)).await.unwrap();
    index.flush().await.unwrap();
    let (files, aside) = (dir.path().join("a"), dir.path().join("_aside"));
    std::fs::rename(&files, &aside).unwrap();
    index.submit(batch(5..9)).await.unwrap();
    assert!(matches!(
        index.flush().await,
        Err(WriteError::Failed { .. })
    ));
    std::fs::remove_dir_all(&files).ok();
    std::fs::rename(&aside, &files).unwrap();
    let index = search.index("a").await.unwrap();
    assert_eq!(index.position(&source(0)), Some(Offset(5)));
    index.submit(batch(5..9)).await.unwrap();
    index.flush().await.unwrap();
    assert_eq!(count(&search, "a").await, 9);
    search.close().await;
}
