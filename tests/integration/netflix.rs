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

/// Runs every row through the modules and holds it against what Python reads in the same cells:
/// the texts of numbers, lists in the order in which they are written, empty cells as null.
const ROWS: &str = r#"
import ast, csv, json, subprocess, sys
wstream, dist, titles, credits = sys.argv[1:]
integers = {"release_year", "runtime", "seasons", "imdb_votes", "person_id"}
numbers = {"imdb_score", "tmdb_popularity", "tmdb_score"}
lists = {"genres", "production_countries"}
def typed(column, cell):
    if cell == "":
        return None
    if column in integers:
        return ("number", cell[:-2] if cell.endswith(".0") else cell)
    if column in numbers:
        return ("number", cell)
    if column in lists:
        body = ast.parse(cell, mode="eval").body
        return [item.value for item in getattr(body, "elts", [])]
    return cell
def number(text):
    return ("number", text)
found = {"different": []}
for name, path in [("netflix-titles", titles), ("netflix-credits", credits)]:
    rows = list(csv.DictReader(open(path, encoding="utf-8", newline="")))
    lines = "".join(json.dumps({"value": json.dumps(row)}) + "\n" for row in rows)
    test = [wstream, "transform", "test", f"{dist}/{name}.wasm", "--in", "-"]
    out = subprocess.run(test, input=lines, stdout=subprocess.PIPE, check=True, text=True).stdout
    cases = [json.loads(line) for line in out.splitlines()]
    found[name] = len(cases)
    assert len(cases) == len(rows), (len(cases), len(rows))
    for row, case in zip(rows, cases):
        wanted = {column: typed(column, cell) for column, cell in row.items()}
        values = [output["value"] for output in case.get("out", [])]
        got = [json.loads(v, parse_int=number, parse_float=number) for v in values]
        if got != [wanted] or list(got[0]) != list(wanted):
            found["different"].append([row, case])
found["different"] = found["different"][:3]
print(json.dumps(found))
"#;

#[test]
fn every_row_is_typed_as_python_reads_it() {
    let (Some(titles), Some(credits)) = (
        shared("data/netflix/titles.csv"),
        shared("data/netflix/credits.csv"),
    ) else {
        return;
    };
    let dist = project().join("transforms/dist");
    let paths = [
        Path::new(env!("CARGO_BIN_EXE_wstream")),
        &dist,
        &titles,
        &credits,
    ];
    let found = python(ROWS, &paths.map(|path| path.to_str().unwrap()));
    let expected = json!({"different": [], "netflix-titles": 5850, "netflix-credits": 77_801});
    assert_eq!(found, expected);
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
