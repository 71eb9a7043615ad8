//! `kill -9` at any moment: no acknowledged record lost, none twice in the index, no gap in the
//! offsets. 20 kills in a row here; `WSTREAM_KILLS=50` for the campaign.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::harness::{Node, shared, until};
use super::netflix::netflix;

/// Kills in a row while credits.csv loads.
fn kills() -> u64 {
    std::env::var("WSTREAM_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20)
}

/// Waits until the node has read some more of the log than before, then kills it at once.
fn run_and_kill(node: Node, goal: u64, seen: &mut u64) {
    until("progress", || {
        let records = node.get("/api/v1/topics")["topics"]
            .as_array()?
            .iter()
            .find(|t| t["name"] == "netflix-credits")?["records"]
            .as_u64()?;
        (records >= goal.min(77_801)).then(|| *seen = (*seen).max(records))
    });
    drop(node.kill());
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(builder) = netflix(dir.path()) else {
        return;
    };
    let kills = kills();
    let mut seen = 0;
    for round in 0..kills {
        // Goals spread over the file; some rounds kill during the start and some near the end.
        let goal = if round % 5 == 0 {
            0
        } else {
            77_801 * round / kills + 1
        };
        run_and_kill(builder.start(), goal, &mut seen);
    }
    let output = builder.once();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let node = builder.start();
    let kept = node.get("/api/v1/topics/netflix-credits");
    assert_eq!(kept["records"], 77_801, "{kept}");
    assert_eq!(node.count("netflix-credits"), 77_801);
    assert_eq!(node.count("netflix-titles"), 5850);
    assert_eq!(
        in_log(&node),
        rows(),
        "the log holds exactly the file's rows"
    );
    assert_eq!(distinct_ids(&node), 77_801);
}

/// (person, title, character) of every record, with a check that offsets have no gap.
fn in_log(node: &Node) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for partition in 0..3 {
        let path = format!("/api/v1/topics/netflix-credits/records?partition={partition}");
        let lines = node.ask("GET", &path, &[], b"").text();
        for (expected, line) in lines.lines().enumerate() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["offset"], expected, "partition {partition}");
            let value = record["value"].as_str().unwrap();
            // The file itself holds no row twice.
            assert!(
                rows.insert(format!("{} {value}", record["key"])),
                "twice in the log: {line}"
            );
        }
    }
    rows
}

/// The file's rows in the same form, from Python's reader.
fn rows() -> BTreeSet<String> {
    let script = r#"
import csv, json, sys
rows = csv.DictReader(open(sys.argv[1], encoding="utf-8", newline=""))
print(json.dumps([json.dumps(r["id"]) + " " + json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in rows]))
"#;
    let credits = shared("data/netflix/credits.csv").unwrap();
    let rows = super::netflix::python(script, &[credits.to_str().unwrap()]);
    rows.as_array()
        .unwrap()
        .iter()
        .map(|r| r.as_str().unwrap().to_owned())
        .collect()
}

/// Ids in the index, counted through pages that a search returns.
fn distinct_ids(node: &Node) -> usize {
    let mut ids = BTreeSet::new();
    for role in ["ACTOR", "DIRECTOR"] {
        let mut low = 0;
        while low < 3_000_000 {
            let high = low + 10_000;
            let body = json!({"size": 10_000, "_source": false, "query": {"bool": {"filter": [
                {"term": {"role": role}}, {"range": {"person_id": {"gte": low, "lt": high}}}]}}});
            let answer = node
                .search("POST", "/netflix-credits/_search", &body.to_string())
                .json();
            let hits = answer["hits"]["hits"].as_array().unwrap();
            assert!(hits.len() < 10_000, "narrow the slice at {low}");
            ids.extend(hits.iter().map(|h| h["_id"].as_str().unwrap().to_owned()));
            low = high;
        }
    }
    ids.len()
}
