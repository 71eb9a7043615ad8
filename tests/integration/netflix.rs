//! The main job on the whole real data set: CSV files, through wasm transforms, to search.
//! Expected numbers come from an independent Python program on the same CSV files.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::harness::{NodeBuilder, project, shared};

/// The example's node on the full catalogue.
pub fn netflix(data: &Path) -> Option<NodeBuilder> {
    let titles = shared("data/netflix/titles.csv")?;
    let credits = shared("data/netflix/credits.csv")?;
    let node = NodeBuilder::new(data)
        .file(&project().join("examples/netflix/wstream.toml"))
        .env("TITLES", titles.to_str().unwrap())
        .env("CREDITS", credits.to_str().unwrap());
    Some(node)
}

/// The rows of a CSV file as an independent reader sees them.
pub fn python(script: &str, args: &[&str]) -> Value {
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

const FACTS: &str = r#"
import ast, collections, csv, json, sys
titles = list(csv.DictReader(open(sys.argv[1], encoding="utf-8", newline="")))
credits = list(csv.DictReader(open(sys.argv[2], encoding="utf-8", newline="")))
countries = collections.Counter(c for t in titles for c in ast.literal_eval(t["production_countries"] if t["production_countries"] != "{}" else "[]"))
print(json.dumps({
    "titles": len(titles),
    "credits": len(credits),
    "scored": sum(1 for t in titles if t["imdb_score"]),
    "score": sum(float(t["imdb_score"]) for t in titles if t["imdb_score"]),
    "countries": sorted(countries.items(), key=lambda c: (-c[1], c[0]))[:5],
    "untitled": sum(1 for t in titles if not t["title"]),
    "multiline": sum(1 for t in titles if "\n" in t["description"]),
    "actors": sum(1 for c in credits if c["role"] == "ACTOR"),
    "longest": max((t["description"] for t in titles), key=len),
}))
"#;

#[test]
fn the_whole_catalogue_is_searchable_and_exact() {
    let dir = tempfile::tempdir().unwrap();
    let Some(builder) = netflix(dir.path()) else {
        return;
    };
    let titles = shared("data/netflix/titles.csv").unwrap();
    let credits = shared("data/netflix/credits.csv").unwrap();
    let facts = python(
        FACTS,
        &[titles.to_str().unwrap(), credits.to_str().unwrap()],
    );

    let output = builder.clone().arg("--fail-on-dead-letter").once();
    assert_eq!(output.code, 0, "{}", output.stderr);

    let node = builder.start();
    assert_eq!(
        node.count("netflix-titles"),
        facts["titles"].as_u64().unwrap()
    );
    assert_eq!(
        node.count("netflix-credits"),
        facts["credits"].as_u64().unwrap()
    );
    let body = json!({"size": 0, "track_total_hits": true, "aggs": {
        "scores": {"stats": {"field": "imdb_score"}},
        "countries": {"terms": {"field": "production_countries", "size": 5}},
        "untitled": {"filter": {"bool": {"must_not": {"exists": {"field": "title"}}}}},
    }});
    let answer = node
        .search("POST", "/netflix-titles/_search", &body.to_string())
        .json();
    let aggregations = &answer["aggregations"];
    assert_eq!(aggregations["scores"]["count"], facts["scored"]);
    let sum = aggregations["scores"]["sum"].as_f64().unwrap();
    assert!(
        (sum - facts["score"].as_f64().unwrap()).abs() < 1e-6,
        "{sum}"
    );
    assert_eq!(aggregations["untitled"]["doc_count"], facts["untitled"]);
    let buckets = aggregations["countries"]["buckets"].as_array().unwrap();
    let countries: Vec<_> = buckets
        .iter()
        .map(|b| json!([b["key"], b["doc_count"]]))
        .collect();
    assert_eq!(json!(countries), facts["countries"]);

    let actors = json!({"query": {"term": {"role": "ACTOR"}}});
    let count = node
        .search("POST", "/netflix-credits/_count", &actors.to_string())
        .json();
    assert_eq!(count["count"], facts["actors"]);
    let all = json!({"size": 6000, "_source": ["description"]});
    let hits = node
        .search("POST", "/netflix-titles/_search", &all.to_string())
        .json();
    let texts = hits["hits"]["hits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| &h["_source"]["description"]);
    let texts: Vec<_> = texts.filter_map(Value::as_str).collect();
    let multiline = texts.iter().filter(|t| t.contains('\n')).count() as u64;
    assert_eq!(multiline, facts["multiline"].as_u64().unwrap());
    assert!(texts.contains(&facts["longest"].as_str().unwrap()));
}

#[test]
fn a_second_run_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(builder) = netflix(dir.path()) else {
        return;
    };
    for _ in 0..2 {
        let output = builder.once();
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    let node = builder.start();
    assert_eq!(node.count("netflix-titles"), 5850);
    assert_eq!(node.count("netflix-credits"), 77_801);
    let topic = node.get("/api/v1/topics/netflix-credits");
    assert_eq!(topic["records"], 77_801);
}
