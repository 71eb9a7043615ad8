//! Requests with a real Elasticsearch's answers, the catalogue they were asked of, and how answers
//! are compared: by sets of hits, totals, aggregations, and the type and culprit of errors; the
//! order of scores is not. Shared by the test of this crate and the one over HTTP.

use std::path::Path;

use serde_json::{Map, Value, json};

/// Requests whose answers are compared whole, but for the order of scores.
pub const COVERED: &[&str] = &[
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

/// Requests whose answers the listener makes; compared over HTTP only.
pub const OVER_HTTP: &[&str] = &[
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

/// `['a', 'b']` or `{'a', 'b'}` as the CSV writes lists.
fn list(cell: &str) -> Value {
    let inner = cell.trim_matches(['[', ']', '{', '}']);
    let items = inner
        .split(',')
        .map(|item| item.trim().trim_matches(['\'', '"']));
    json!(items.filter(|item| !item.is_empty()).collect::<Vec<_>>())
}

/// The catalogue as the recorded server had it: ids and documents.
pub fn titles(shared: &Path) -> Vec<(String, Value)> {
    let mut reader = csv::Reader::from_path(shared.join("data/netflix/titles.csv")).unwrap();
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

/// Where two answers differ, but for rounding and what each server counts for itself.
pub fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, b) in b {
                let ignored = matches!(
                    key.as_str(),
                    "took"
                        | "_shards"
                        | "_score"
                        | "max_score"
                        | "terminated_early"
                        | "_version"
                        | "_seq_no"
                        | "_primary_term"
                        | "cluster_name"
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

/// An answer: its status and its body.
pub type Answer = (u16, Value);

/// What is recorded under a name: its `request`, or the `response` of Elasticsearch.
pub fn recorded(shared: &Path, name: &str, kind: &str) -> Value {
    let path = shared.join(format!("oracle/elasticsearch/{name}.{kind}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(answer: &Value) -> Vec<&str> {
    let hits = answer["hits"]["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["_id"].as_str().unwrap())
        .collect()
}

/// The request for all hits of one that is sorted by score: scores order hits differently, so
/// the recorded ones must be among all of ours.
pub fn for_all(request: &Value, expected: &Value) -> Option<Value> {
    let body = &request["body"];
    let first = &body["sort"][0];
    let by_score = first.get("_score").is_some() || body.get("sort").is_none();
    let hits = expected["body"]["hits"]["hits"].as_array()?;
    if !by_score || hits.is_empty() {
        return None;
    }
    let mut all = request.clone();
    let path = request["path"].as_str().unwrap();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept: Vec<&str> = query
        .split('&')
        .filter(|p| !p.starts_with("size="))
        .collect();
    all["path"] = json!(format!("{path}?{}", kept.join("&")));
    if !body.is_object() {
        all["body"] = json!({});
    }
    all["body"]["size"] = json!(10_000);
    Some(all)
}

/// Notes in `found` where an answer differs from the recorded one; `all` is the answer to the
/// request of [`for_all`].
pub fn compare(
    name: &str,
    ours: &Answer,
    all: Option<&Answer>,
    expected: &Value,
    found: &mut Vec<String>,
) {
    let (status, ours) = (json!(ours.0), &ours.1);
    let theirs = &expected["body"];
    if status != expected["status"] {
        found.push(format!(
            "{name}: {status}, not {}: {ours}",
            expected["status"]
        ));
    } else if theirs["error"].is_object() {
        compare_errors(name, ours, theirs, found);
    } else if let Some((_, all)) = all {
        differences(
            &ours["hits"]["total"],
            &theirs["hits"]["total"],
            name,
            found,
        );
        differences(&ours["aggregations"], &theirs["aggregations"], name, found);
        let all = ids(all);
        for id in ids(theirs) {
            if !all.contains(&id) {
                found.push(format!("{name}: {id} is missing"));
            }
        }
    } else {
        differences(ours, theirs, name, found);
    }
}

fn compare_errors(name: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    let root = |body: &Value| body["error"]["root_cause"][0].clone();
    let (our_root, their_root) = (root(ours), root(theirs));
    let pairs = [
        (&ours["status"], &theirs["status"]),
        (&ours["error"]["type"], &theirs["error"]["type"]),
        (&our_root["type"], &their_root["type"]),
    ];
    for (ours, theirs) in pairs {
        if ours != theirs {
            found.push(format!("{name}: {ours}, not {theirs}"));
        }
    }
    let (ours, theirs) = (&our_root["reason"], &their_root["reason"]);
    let begins = theirs
        .as_str()
        .zip(ours.as_str())
        .is_some_and(|(theirs, ours)| theirs.starts_with(ours));
    if !begins {
        found.push(format!("{name}: {ours}, not {theirs}"));
    }
}
