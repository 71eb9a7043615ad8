//! The Elasticsearch API over real HTTP: the recorded requests beside a real server's answers, and
//! what only a listener decides.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder, request, shared, write};
use recorded::{Answer, COVERED, OVER_HTTP, compare, for_all, recorded, titles};

#[path = "../../host/crates/search/tests/oracle/recorded.rs"]
mod recorded;

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

const FILE: &str = r#"
[topics.titles]
partitions = 3
[topics.writes]
partitions = 1
[sources.titles]
type = "jsonl"
path = "titles.jsonl"
topic = "titles"
key = "$.id"
[sources.writes]
type = "jsonl"
path = "writes.jsonl"
topic = "writes"
key = "$.title"
[pipelines.titles]
from = ["titles"]
to = ["titles"]
[pipelines.writes]
from = ["writes"]
to = ["writes"]
[sinks.titles]
type = "search"
index = "netflix-titles"
id = "key"
[sinks.writes]
type = "search"
index = "netflix-writes"
id = "key"
"#;

/// A node with the catalogue as the recorded server had it, and seven documents beside it.
fn catalogue(dir: &Path, shared: &Path) -> Node {
    let mut lines = String::new();
    for (_, title) in titles(shared) {
        writeln!(lines, "{title}").unwrap();
    }
    write(dir, "titles.jsonl", lines);
    let writes = (1..=7).map(|n| format!("{{\"title\":\"p{n}\",\"runtime\":{n}}}\n"));
    write(dir, "writes.jsonl", writes.collect::<String>());
    let file = write(dir, "wstream.toml", FILE);
    let node = NodeBuilder::new(&dir.join("data")).file(&file).start();
    node.wait_count("netflix-titles", 5850);
    node.wait_count("netflix-writes", 7);
    node
}

/// Sends a recorded request; a text that is no JSON comes back as one string.
fn send(node: &Node, asked: &Value) -> Answer {
    let text = match (&asked["body"], &asked["raw"]) {
        (Value::Null, Value::String(raw)) => raw.clone(),
        (Value::Null, _) => String::new(),
        (body, _) => body.to_string(),
    };
    let (method, path) = (&asked["method"], &asked["path"]);
    let answer = node.search(method.as_str().unwrap(), path.as_str().unwrap(), &text);
    assert_eq!(
        answer.header("x-elastic-product").as_deref(),
        Some("Elasticsearch"),
        "{path}"
    );
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(answer.text()));
    (answer.status, body)
}

#[test]
fn recorded_requests_are_answered_as_elasticsearch_does() {
    let Some(folder) = shared("oracle/elasticsearch") else {
        return;
    };
    let shared = folder.parent().unwrap().parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let node = catalogue(dir.path(), shared);
    let mut found = Vec::new();
    let mut names: Vec<&str> = COVERED.iter().chain(OVER_HTTP).copied().collect();
    names.sort_unstable();
    for name in names {
        let asked = recorded(shared, name, "request");
        if name == "145-delete-index-missing-404" {
            // It is asked again after a deletion.
            let answer = send(&node, &asked);
            assert_eq!(answer, (200, json!({"acknowledged": true})));
        }
        // This answer is another server's: the recorded Elasticsearch has no such module.
        let kind = match name {
            "001-info" => "opensearch",
            _ => "response",
        };
        let mut expected = recorded(shared, name, kind);
        if let Some(text) = expected.get("text").cloned() {
            expected["body"] = text;
        }
        let ours = send(&node, &asked);
        match name {
            "001-info" => same_keys(&ours.1, &expected["body"], &mut found),
            // Its document was written in several steps, which is not of this API.
            "024-get-doc" => {
                expected["body"]["_source"] = json!({"title": "p1", "runtime": 1});
                compare(name, &ours, None, &expected, &mut found);
            }
            _ => {
                let all = for_all(&asked, &expected).map(|all| send(&node, &all));
                compare(name, &ours, all.as_ref(), &expected, &mut found);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether an answer has the keys of another server's, but for the one that names it.
fn same_keys(ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    for (key, theirs) in theirs.as_object().into_iter().flatten() {
        match ours.get(key) {
            Some(ours) => same_keys(ours, theirs, found),
            None if key == "distribution" => {}
            None => found.push(format!("001-info: {key} is missing")),
        }
    }
}

#[test]
fn documents_come_back_character_by_character() {
    let dir = tempfile::tempdir().unwrap();
    let stored = r#"{ "n": 1e2, "x": 1.50, "big": 12345678901234567890123, "s": "\u00e9" }"#;
    write(dir.path(), "titles.jsonl", format!("{stored}\n"));
    write(dir.path(), "writes.jsonl", "");
    let file = FILE
        .replace("key = \"$.id\"\n", "")
        .replace("partitions = 3", "partitions = 1")
        .replacen("id = \"key\"\n", "", 1);
    let file = write(dir.path(), "wstream.toml", file);
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&file)
        .start();
    node.wait_count("netflix-titles", 1);
    for path in ["/netflix-titles/_search", "/netflix-titles/_doc/titles-0-0"] {
        let text = node.search("GET", path, "").text();
        assert!(text.contains(&format!(r#""_source":{stored}"#)), "{text}");
    }
    let page = node.ask("POST", "/api/v1/indices/netflix-titles/_search", &[], b"{}");
    assert!(page.text().contains(stored), "{}", page.text());
    let path = "/netflix-titles/_search?_source=n,big&pretty";
    let text = node.search("GET", path, "").text();
    let wanted =
        "\"_source\" : {\n          \"n\" : 1e2,\n          \"big\" : 12345678901234567890123\n";
    assert!(text.contains(wanted), "{text}");
}

#[test]
fn what_is_no_json_and_who_is_foreign_is_refused_in_elasticsearchs_shape() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let address = node.search_address();
    let query = br#"{"query":{"match_all":{}}}"#;
    let rows: [(Headers<'_>, u16, Value); 6] = [
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            406,
            json!({"error": "Content-Type header [application/x-www-form-urlencoded] is not supported", "status": 406}),
        ),
        (
            &[],
            406,
            json!({"error": "Content-Type header [] is not supported", "status": 406}),
        ),
        (
            &[("content-type", "json")],
            400,
            json!({
                "error": {
                    "root_cause": [{"type": "media_type_header_exception", "reason": "Invalid media-type value on headers [Content-Type]"}],
                    "type": "media_type_header_exception",
                    "reason": "Invalid media-type value on headers [Content-Type]",
                    "caused_by": {"type": "illegal_argument_exception", "reason": "invalid media-type [json]"},
                },
                "status": 400,
            }),
        ),
        (
            &[
                ("content-type", "application/json"),
                ("origin", "http://evil.example"),
            ],
            403,
            json!({
                "error": {
                    "root_cause": [{"type": "security_exception", "reason": "Origin http://evil.example is foreign: changes come from this node's own page only"}],
                    "type": "security_exception",
                    "reason": "Origin http://evil.example is foreign: changes come from this node's own page only",
                },
                "status": 403,
            }),
        ),
        (
            &[
                ("content-type", "application/json"),
                ("host", "evil.example"),
            ],
            403,
            json!({
                "error": {
                    "root_cause": [{"type": "security_exception", "reason": "Host evil.example is foreign: changes come from this node's own page only"}],
                    "type": "security_exception",
                    "reason": "Host evil.example is foreign: changes come from this node's own page only",
                },
                "status": 403,
            }),
        ),
        (
            &[(
                "content-type",
                "application/vnd.elasticsearch+json;compatible-with=8",
            )],
            404,
            json!(null),
        ),
    ];
    for (headers, status, wanted) in rows {
        let answer = request(&address, "POST", "/nothing/_search", headers, query).unwrap();
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if !wanted.is_null() {
            assert_eq!(answer.json(), wanted, "{headers:?}");
        }
        let product = answer.header("x-elastic-product");
        assert_eq!(product.as_deref(), Some("Elasticsearch"), "{headers:?}");
    }
    let unknown = node.search("GET", "/_search?siz=1", "");
    let reason = "request [/_search] contains unrecognized parameter: [siz]";
    assert_eq!(unknown.json()["error"]["reason"], reason);
}
