//! What a commit guarantees.

use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};

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
