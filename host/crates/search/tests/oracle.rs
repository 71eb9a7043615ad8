//! Replays requests to which a real Elasticsearch's answers are recorded, over the same catalogue.
//!
//! Compared are sets of hits, totals, aggregations, and the type and culprit of errors; the order
//! of scores is not. What the HTTP layer alone decides is compared there.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use wstream_record::{Clock, Offset, PartitionId, Timestamp, TopicName};
use wstream_search::{
    Document, Search, SearchConfig, SearchError, SearchOptions, SourceBatch, SourceKey, Target,
};

/// Requests whose answers are compared whole, but for the order of scores.
const COVERED: &[&str] = &[
    "031-count-all",
    "049-search-match-all",
    "051-search-uri-q",
    "053-search-default-total",
    "055-search-track-total-false",
    "057-search-rest-total-as-int",
    "059-search-sort-array-mode",
    "061-search-after-page2",
    "065-query-match",
    "067-query-match-phrase",
    "069-query-multi-match",
    "071-query-wildcard",
    "073-query-fuzzy",
    "075-query-ids",
    "077-query-terms",
    "079-query-range-date",
    "081-query-constant-score",
    "083-query-string-default-fields",
    "085-query-string-star",
    "087-query-string-syntax-error-400",
    "089-agg-terms-genres",
    "091-agg-terms-order-key",
    "093-agg-terms-missing-include",
    "097-agg-score-by-year",
    "099-agg-date-histogram",
    "101-agg-date-histogram-offset-format",
    "103-agg-filters",
    "105-agg-filter",
    "107-agg-date-range",
    "111-agg-cardinality",
    "117-agg-typed-keys",
    "131-unknown-index-404",
    "133-unknown-index-ignore",
    "137-sort-unmapped-400",
    "139-range-bad-date-400",
    "145-delete-index-missing-404",
];

/// Requests that the listener's own tests compare.
const OVER_HTTP: &[&str] = &[
    "001-info",
    "006-head-index",
    "007-head-index-missing-404",
    "024-get-doc",
    "025-get-doc-missing-404",
    "037-cluster-health",
    "039-cat-indices-text",
    "135-malformed-json-400",
    "141-method-not-allowed-405",
];

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

fn shared() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    std::env::var_os("WSTREAM_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from)
}

/// `['a', 'b']` or `{'a', 'b'}` as the CSV writes lists.
fn list(cell: &str) -> Value {
    let inner = cell.trim_matches(['[', ']', '{', '}']);
    let items = inner
        .split(',')
        .map(|item| item.trim().trim_matches(['\'', '"']));
    json!(items.filter(|item| !item.is_empty()).collect::<Vec<_>>())
}

fn titles() -> Vec<(String, Value)> {
    let mut reader = csv::Reader::from_path(shared().join("data/netflix/titles.csv")).unwrap();
    let names = reader.headers().unwrap().clone();
    let mut titles = Vec::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let mut title = Map::new();
        title.insert(
            "@timestamp".to_owned(),
            json!(1_767_225_600_000 + row as i64 * 60_000),
        );
        for (name, cell) in names.iter().zip(&record) {
            if cell.is_empty() {
                continue;
            }
            let value = match name {
                "genres" | "production_countries" => list(cell),
                "release_year" | "runtime" | "imdb_votes" | "seasons" => {
                    json!(cell.parse::<f64>().unwrap() as i64)
                }
                "imdb_score" | "tmdb_score" | "tmdb_popularity" => {
                    json!(cell.parse::<f64>().unwrap())
                }
                _ => json!(cell),
            };
            title.insert(name.to_owned(), value);
        }
        titles.push((record[0].to_owned(), Value::Object(title)));
    }
    titles
}

/// The catalogue in an index of several segments.
async fn loaded(dir: &std::path::Path) -> Search {
    let search = Search::open(dir, SearchConfig::default(), Clock::system()).unwrap();
    let index = search.index("netflix-titles").await.unwrap();
    let source = SourceKey {
        pipeline: "titles".to_owned(),
        topic: TopicName::new("titles").unwrap(),
        partition: PartitionId(0),
    };
    let titles = titles();
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

fn recorded(name: &str, kind: &str) -> Value {
    let path = shared().join(format!("oracle/elasticsearch/{name}.{kind}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
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

async fn replay(search: &Search, request: &Value, body: &Value) -> Result<Value, SearchError> {
    let path = request["path"].as_str().unwrap();
    let route = path.split('?').next().unwrap();
    let parts: Vec<&str> = route.trim_start_matches('/').split('/').collect();
    match (request["method"].as_str().unwrap(), &parts[..]) {
        (_, [index, "_search"]) => search.search_with(index, body, options(path)).await,
        (_, [index, "_count"]) => search.count(index, body, options(path)).await,
        ("GET", [index, "_doc", id]) => {
            let (_, answer) = search.get_document(index, id, options(path)).await?;
            Ok(answer)
        }
        ("DELETE", [index]) => search.delete_index(index).await.map(|()| json!({})),
        other => panic!("{other:?} is not known here"),
    }
}

/// Where two answers differ, but for rounding and what each server counts for itself.
fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, b) in b {
                let ignored = matches!(
                    key.as_str(),
                    "took" | "_shards" | "_score" | "max_score" | "terminated_early"
                );
                if !ignored {
                    differences(
                        a.get(key).unwrap_or(&Value::Null),
                        b,
                        &format!("{path}.{key}"),
                        found,
                    );
                }
            }
            let more: Vec<&String> = a.keys().filter(|key| !b.contains_key(*key)).collect();
            if !more.is_empty() {
                found.push(format!("{path} has {more:?} more"));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &format!("{path}[{i}]"), found);
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let tolerance = if path.ends_with(".t.value") {
                0.01
            } else {
                1e-9
            };
            if (a - b).abs() > tolerance * b.abs() {
                found.push(format!("{path}: {a}, not {b}"));
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a}, not {b}")),
    }
}

fn ids(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["_id"].as_str().unwrap())
        .collect()
}

fn sorts_by_score(request: &Value) -> bool {
    let first = &request["body"]["sort"][0];
    first.get("_score").is_some() || request["body"].get("sort").is_none()
}

async fn check(search: &Search, name: &str, found: &mut Vec<String>) {
    let request = recorded(name, "request");
    let expected = recorded(name, "response");
    let body = &request["body"];
    let theirs = &expected["body"];
    let ours = match replay(search, &request, body).await {
        Ok(answer) => answer,
        Err(error) => return check_error(name, &error, &expected, found),
    };
    if expected["status"] != 200 && !name.ends_with("-404") {
        found.push(format!("{name} did not fail: {ours}"));
        return;
    }
    if !sorts_by_score(&request) || theirs.get("hits").is_none() {
        differences(&ours, theirs, name, found);
        return;
    }
    // Scores order hits differently: the recorded ones must be among all of ours.
    differences(
        &ours["hits"]["total"],
        &theirs["hits"]["total"],
        name,
        found,
    );
    differences(&ours["aggregations"], &theirs["aggregations"], name, found);
    let mut all = if body.is_object() {
        body.clone()
    } else {
        json!({})
    };
    all["size"] = json!(10_000);
    let path = request["path"].as_str().unwrap();
    let mut everything = options(path);
    everything.size = None;
    let index = path.trim_start_matches('/').split('/').next().unwrap();
    let all = search.search_with(index, &all, everything).await.unwrap();
    let ours = ids(&all);
    for id in ids(theirs) {
        if !ours.contains(&id) {
            found.push(format!("{name}: {id} is missing"));
        }
    }
}

fn check_error(name: &str, error: &SearchError, expected: &Value, found: &mut Vec<String>) {
    let (ours, theirs) = (error.to_json(), &expected["body"]);
    let root = |body: &Value| body["error"]["root_cause"][0].clone();
    let pairs = [
        (json!(error.status), expected["status"].clone()),
        (
            ours["error"]["type"].clone(),
            theirs["error"]["type"].clone(),
        ),
        (root(&ours)["type"].clone(), root(theirs)["type"].clone()),
    ];
    for (ours, theirs) in pairs {
        if ours != theirs {
            found.push(format!("{name}: {ours}, not {theirs}"));
        }
    }
    let (ours, theirs) = (
        root(&ours)["reason"].clone(),
        root(theirs)["reason"].clone(),
    );
    let begins = theirs
        .as_str()
        .zip(ours.as_str())
        .is_some_and(|(theirs, ours)| theirs.starts_with(ours));
    if !begins {
        found.push(format!("{name}: {ours}, not {theirs}"));
    }
}

#[tokio::test]
async fn the_catalogue_answers_as_elasticsearch_does() {
    let dir = tempfile::tempdir().unwrap();
    let search = loaded(dir.path()).await;
    let mut found = Vec::new();
    for name in COVERED {
        check(&search, name, &mut found).await;
    }
    // Of this one all but the percentiles belong here.
    let name = "113-agg-metrics-empty";
    let mut body = recorded(name, "request")["body"].clone();
    body["aggs"].as_object_mut().unwrap().remove("p");
    let mut expected = recorded(name, "response")["body"]["aggregations"].clone();
    expected.as_object_mut().unwrap().remove("p");
    let answer = search.search("netflix-titles", &body).await.unwrap();
    differences(&answer["aggregations"], &expected, name, &mut found);
    search.close().await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_recorded_request_is_accounted_for() {
    let mut named: Vec<&str> = [COVERED, OVER_HTTP, LATER].concat();
    named.extend(DIFFERENT.iter().map(|(name, _)| *name));
    named.sort_unstable();
    let mut recorded: Vec<String> = std::fs::read_dir(shared().join("oracle/elasticsearch"))
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
