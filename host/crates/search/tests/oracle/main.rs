//! Replays requests to which a real Elasticsearch's answers are recorded, over the same catalogue.
//! What the HTTP layer alone decides is compared there, by `tests/integration/elastic.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test, and a module that another test shares"
)]

mod recorded;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};
use wstream_search::{
    Document, Search, SearchConfig, SearchError, SearchOptions, SourceBatch, SourceKey, Target,
};

use self::recorded::{Answer, COVERED, OVER_HTTP, compare, differences, for_all, recorded, titles};

/// Requests that differ by design, and why.
const DIFFERENT: &[(&str, &str)] = &[(
    "095-agg-terms-text-field-400",
    "there is no mapping: every string aggregates",
)];

/// Requests that are not of this part of the work: writing by clients, mappings, scrolling, and
/// aggregations beyond those listed in the guide.
const LATER: &[&str] = &[
    "002-put-index-template",
    "003-get-index-template",
    "004-create-index",
    "005-create-index-again-400",
    "008-bulk-ok",
    "009-bulk-item-errors",
    "010-bulk-malformed-json-item",
    "011-bulk-malformed-action-400",
    "012-bulk-no-index-400",
    "013-bulk-no-final-newline-400",
    "014-bulk-empty-400",
    "015-bulk-upsert",
    "016-bulk-external-version",
    "017-index-doc",
    "018-index-doc-auto-id",
    "019-create-doc-conflict-409",
    "020-index-doc-malformed-400",
    "021-update-doc",
    "022-update-doc-noop",
    "023-update-doc-missing-404",
    "026-get-source",
    "027-mget",
    "028-delete-doc",
    "029-delete-doc-missing-404",
    "030-refresh",
    "033-mapping",
    "035-field-caps",
    "041-index-stats",
    "043-settings",
    "045-put-alias",
    "047-resolve-index",
    "063-search-fields-docvalues",
    "109-agg-percentiles",
    "113-agg-metrics-empty",
    "115-agg-composite",
    "119-agg-pipeline-cumulative",
    "121-msearch-bad-query-400",
    "123-scroll-start",
    "125-grafana-2-terms-histogram-metrics",
    "127-grafana-4-logs",
    "129-grafana-6-variable-terms",
    "143-delete-by-query",
];

/// The shared folder; `None`, said aloud, where it has no recorded answers.
fn shared() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let shared =
        std::env::var_os("WSTREAM_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    if !shared.join("oracle/elasticsearch").exists() {
        println!("skipped: no recorded answers in {}", shared.display());
        return None;
    }
    Some(shared)
}

/// The catalogue in an index of several segments.
async fn loaded(dir: &Path, shared: &Path) -> Search {
    let search = Search::open(dir, SearchConfig::default(), Clock::system()).unwrap();
    let index = search.index("netflix-titles").await.unwrap();
    let source = SourceKey {
        pipeline: "titles".to_owned(),
        topic: TopicName::new("titles").unwrap(),
        partition: PartitionId(0),
    };
    let titles = titles(shared);
    assert_eq!(titles.len(), 5850);
    for (part, chunk) in titles.chunks(2000).enumerate() {
        let first = part as i64 * 2000;
        let documents = chunk.iter().enumerate().map(|(i, (id, title))| Document {
            offset: Offset(first + i as i64),
            n: 0,
            key: Some(id.clone()),
            timestamp: Timestamp(0),
            json: Bytes::from(title.to_string()),
        });
        let batch = SourceBatch {
            source: source.clone(),
            next_offset: Offset(first + chunk.len() as i64),
            documents: documents.collect(),
        };
        assert!(index.submit(batch).await.unwrap().is_empty());
        index.flush().await.unwrap();
    }
    search
}

fn options(path: &str) -> SearchOptions {
    let mut options = SearchOptions::default();
    let query = path.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "q" => options.query_text = Some(value.to_owned()),
            "size" => options.size = value.parse().ok(),
            "rest_total_hits_as_int" => options.total_hits_as_int = true,
            "typed_keys" => options.typed_keys = true,
            "ignore_unavailable" => {
                options.target = Target {
                    ignore_unavailable: true,
                    allow_no_indices: true,
                }
            }
            other => panic!("{other} is not known here"),
        }
    }
    options
}

async fn replay(search: &Search, request: &Value) -> Answer {
    match answer(search, request).await {
        Ok(answer) => (200, answer),
        Err(error) => (error.status, error.to_json()),
    }
}

async fn answer(search: &Search, request: &Value) -> Result<Value, SearchError> {
    let (path, body) = (request["path"].as_str().unwrap(), &request["body"]);
    let route = path.split('?').next().unwrap();
    let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
    match (request["method"].as_str().unwrap(), &parts[..]) {
        (_, [index, "_search"]) => {
            let answer = search.search_with(index, body, options(path));
            Ok(answer.await?.into_value())
        }
        (_, [index, "_count"]) => search.count(index, body, options(path)).await,
        ("DELETE", [index]) => search.delete_index(index).await.map(|()| json!({})),
        other => panic!("{other:?} is not known here"),
    }
}

#[tokio::test]
async fn the_catalogue_answers_as_elasticsearch_does() {
    let Some(shared) = shared() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let search = loaded(dir.path(), &shared).await;
    let mut found = Vec::new();
    for name in COVERED {
        let request = recorded(&shared, name, "request");
        let expected = recorded(&shared, name, "response");
        let ours = replay(&search, &request).await;
        let all = match for_all(&request, &expected) {
            Some(request) => Some(replay(&search, &request).await),
            None => None,
        };
        compare(name, &ours, all.as_ref(), &expected, &mut found);
    }
    // Of this one all but the percentiles belong here.
    let name = "113-agg-metrics-empty";
    let mut body = recorded(&shared, name, "request")["body"].clone();
    body["aggs"].as_object_mut().unwrap().remove("p");
    let mut expected = recorded(&shared, name, "response")["body"]["aggregations"].clone();
    expected.as_object_mut().unwrap().remove("p");
    let answer = search.search("netflix-titles", &body).await.unwrap();
    differences(&answer["aggregations"], &expected, name, &mut found);
    search.close().await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_recorded_request_is_accounted_for() {
    let Some(shared) = shared() else {
        return;
    };
    let mut named: Vec<&str> = [COVERED, OVER_HTTP, LATER].concat();
    named.extend(DIFFERENT.iter().map(|(name, _)| *name));
    named.sort_unstable();
    let mut recorded: Vec<String> = std::fs::read_dir(shared.join("oracle/elasticsearch"))
        .unwrap()
        .filter_map(|file| {
            file.unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(".request.json")
                .map(str::to_owned)
        })
        .collect();
    recorded.sort_unstable();
    assert_eq!(named, recorded);
}
