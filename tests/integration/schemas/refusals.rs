//! What may follow and what is refused: levels, comparisons, texts that are no schemas, the token.

use serde_json::{Value, json};

use super::{MOUNT, Row, check, record};
use crate::harness::{NodeBuilder, request};

#[test]
fn levels_and_comparisons_answer_as_clients_expect() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let none = Value::Null;
    let (x, xy) = (record(&["x"]), record(&["x", "y"]));
    let level = |name: &str| json!({"compatibility": name});
    let told = |name: &str| json!({"compatibilityLevel": name});
    let json_schema = json!({"schema": "true", "schemaType": "JSON"});
    let not_compared = "JSON schemas are not compared by this registry: any JSON schema is taken";
    let missing = "version 1: READER_FIELD_MISSING_DEFAULT_VALUE at /y: the writer has no such \
                   field, and it has no default (the new schema reads the old)";
    let compare = "/compatibility/subjects/a/versions";
    let rows = [
        ("GET", "/config", none.clone(), 200, told("BACKWARD")),
        ("GET", "/config/a", none.clone(), 404, json!(40408)),
        (
            "GET",
            "/config/a?defaultToGlobal=true",
            none.clone(),
            200,
            told("BACKWARD"),
        ),
        (
            "GET",
            "/mode",
            none.clone(),
            200,
            json!({"mode": "READWRITE"}),
        ),
        ("GET", "/mode/a", none.clone(), 404, json!(40409)),
        (
            "POST",
            &format!("{compare}/latest"),
            x.clone(),
            200,
            json!({"is_compatible": true}),
        ),
        (
            "POST",
            &format!("{compare}/1"),
            x.clone(),
            404,
            json!(40401),
        ),
        (
            "POST",
            "/subjects/a/versions",
            x.clone(),
            200,
            json!({"id": 1, "version": 1}),
        ),
        ("POST", "/subjects/a/versions", xy.clone(), 409, json!(409)),
        (
            "POST",
            &format!("{compare}/latest"),
            xy.clone(),
            200,
            json!({"is_compatible": false}),
        ),
        (
            "POST",
            &format!("{compare}/1?verbose=True"),
            xy.clone(),
            200,
            json!({"is_compatible": false, "messages": [missing]}),
        ),
        (
            "POST",
            &format!("{compare}?verbose=true"),
            x,
            200,
            json!({"is_compatible": true, "messages": []}),
        ),
        ("PUT", "/config/a", level("SOME"), 422, json!(42203)),
        (
            "PUT",
            "/config/a",
            level("forward_transitive"),
            200,
            level("FORWARD_TRANSITIVE"),
        ),
        (
            "GET",
            "/config/a",
            none.clone(),
            200,
            told("FORWARD_TRANSITIVE"),
        ),
        (
            "POST",
            "/subjects/a/versions",
            xy,
            200,
            json!({"id": 2, "version": 2}),
        ),
        (
            "DELETE",
            "/config/a",
            none.clone(),
            200,
            told("FORWARD_TRANSITIVE"),
        ),
        ("DELETE", "/config/a", none.clone(), 404, json!(40408)),
        ("PUT", "/config", level("NONE"), 200, level("NONE")),
        (
            "POST",
            "/subjects/a/versions",
            json_schema.clone(),
            200,
            json!({"id": 3, "version": 3}),
        ),
        ("DELETE", "/config", none.clone(), 200, told("NONE")),
        ("GET", "/config", none, 200, told("BACKWARD")),
        (
            "POST",
            &format!("{compare}/latest"),
            json_schema,
            200,
            json!({"is_compatible": true, "messages": [not_compared]}),
        ),
    ];
    check(&node, &rows);
}

#[test]
fn what_cannot_be_registered_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let large = "x".repeat((1 << 20) + 1);
    let rows: Vec<Row<'_>> = [
        (json!([]), 400, 400),
        (json!({}), 422, 42201),
        (json!({"schema": "{"}), 422, 42201),
        (json!({"schema": "\"other\""}), 422, 42201),
        (json!({"schema": "true", "schemaType": "XML"}), 422, 42201),
        (json!({"schema": "1", "schemaType": "JSON"}), 422, 42201),
        (
            json!({"schema": "message A {", "schemaType": "PROTOBUF"}),
            422,
            42201,
        ),
        (json!({"schema": "\"int\"", "id": 7}), 422, 42205),
        (
            json!({"schema": "\"int\"", "ruleSet": {"domainRules": [{}]}}),
            422,
            42201,
        ),
        (json!({"schema": large, "schemaType": "JSON"}), 422, 42209),
    ]
    .into_iter()
    .map(|(body, status, code)| ("POST", "/subjects/a/versions", body, status, json!(code)))
    .collect();
    check(&node, &rows);
    let long = format!("/subjects/{}/versions", "n".repeat(256));
    let bad_names: Vec<Row<'_>> = [
        &*long,
        "/subjects/:.x:a/versions",
        "/subjects/a%0Ab/versions",
    ]
    .into_iter()
    .map(|path| ("POST", path, record(&["x"]), 422, json!(42208)))
    .collect();
    check(&node, &bad_names);
    check(&node, &[("GET", "/subjects", Value::Null, 200, json!([]))]);
}

#[test]
fn changes_need_the_token_and_never_come_from_a_foreign_page() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path())
        .arg("--http-token=secret")
        .start();
    let body = record(&["x"]).to_string();
    let level = r#"{"compatibility":"NONE"}"#;
    let token = ("authorization", "Bearer secret");
    let changes = [
        ("POST", "/subjects/a/versions", &*body),
        // A subject may be called as a search is.
        ("POST", "/subjects/_search/versions", &body),
        ("PUT", "/config", level),
        ("PUT", "/config/_search", level),
        ("DELETE", "/config/_search", ""),
        ("DELETE", "/subjects/_search", ""),
        ("DELETE", "/subjects/a/versions/1", ""),
        ("DELETE", "/subjects/a", ""),
    ];
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let path = format!("{MOUNT}{path}");
        request(&node.http(), method, &path, headers, body.as_bytes())
            .unwrap()
            .status
    };
    for (method, path, body) in changes {
        assert_eq!(ask(method, path, &[], body), 401, "{method} {path}");
        let foreign = [token, ("origin", "http://evil.example")];
        assert_eq!(ask(method, path, &foreign, body), 403, "{method} {path}");
    }
    assert_eq!(ask("POST", "/subjects/a/versions", &[token], &body), 200);
    assert_eq!(ask("PUT", "/config/_search", &[token], level), 200);
    // What only asks needs no token.
    assert_eq!(ask("GET", "/subjects", &[], ""), 200);
    assert_eq!(ask("POST", "/subjects/a", &[], &body), 200);
    let compare = "/compatibility/subjects/a/versions/latest";
    assert_eq!(ask("POST", compare, &[], &body), 200);
    let deletes_topic = node.ask("DELETE", "/api/v1/topics/_search", &[], b"");
    assert_eq!(deletes_topic.status, 401, "{}", deletes_topic.text());
}
