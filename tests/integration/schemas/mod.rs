//! The registry of schemas as its clients see it: paths, statuses and codes, restarts, the token,
//! and the serializers of a real client.

mod client;
mod refusals;

use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder};

const MOUNT: &str = "/api/schema-registry";
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A record with these fields, as the body of a registration.
fn record(fields: &[&str]) -> Value {
    json!({"schema": json!({"type": "record", "name": "R", "fields": fields.iter().map(|name| {
        json!({"name": name, "type": "int"})
    }).collect::<Vec<_>>()}).to_string()})
}

/// Method, path, body, and the answer: its status and its body, or the code of its error.
type Row<'a> = (&'a str, &'a str, Value, u16, Value);

/// Asks, and holds the answers against what they should be.
fn check(node: &Node, rows: &[Row<'_>]) {
    for (method, path, body, status, expected) in rows {
        let sent = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [("content-type", MEDIA_TYPE)];
        let answer = node.ask(method, &format!("{MOUNT}{path}"), &headers, sent.as_bytes());
        let said = format!(
            "{method} {path} {body}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(answer.status, *status, "{said}");
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some(MEDIA_TYPE),
            "{said}"
        );
        let given = answer.json();
        if *status == 200 {
            assert_eq!(given, *expected, "{said}");
        } else {
            assert_eq!(given["error_code"], *expected, "{said}");
            assert!(
                given["message"].as_str().is_some_and(|m| !m.is_empty()),
                "{said}"
            );
        }
    }
}

#[test]
fn subjects_versions_and_ids_answer_as_clients_expect() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let none = Value::Null;
    let (x, xy) = (record(&["x"]), record(&["x", "y"]));
    let json_schema = json!({"schema": "{\"type\": \"object\"}", "schemaType": "JSON"});
    let proto = json!({"schema": "message A {}", "schemaType": "PROTOBUF"});
    let list = json!({
        "schema": "{\"type\":\"array\",\"items\":\"R\"}",
        "references": [{"name": "R", "subject": "a", "version": 1}],
    });
    let rows = [
        ("GET", "", none.clone(), 200, json!({})),
        ("GET", "/", none.clone(), 200, json!({})),
        ("GET", "/subjects", none.clone(), 200, json!([])),
        (
            "GET",
            "/subjects/a/versions",
            none.clone(),
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
        (
            "POST",
            "/subjects/a/versions",
            x.clone(),
            200,
            json!({"id": 1, "version": 1}),
        ),
        (
            "POST",
            "/subjects/b%2Fc-value/versions",
            x.clone(),
            200,
            json!({"id": 1, "version": 1}),
        ),
        (
            "POST",
            "/subjects/j/versions",
            json_schema,
            200,
            json!({"id": 2, "version": 1}),
        ),
        (
            "POST",
            "/subjects/p/versions?normalize=False",
            proto,
            200,
            json!({"id": 3, "version": 1}),
        ),
        (
            "POST",
            "/subjects/l/versions",
            list.clone(),
            200,
            json!({"id": 4, "version": 1}),
        ),
        (
            "GET",
            "/subjects",
            none.clone(),
            200,
            json!(["a", "b/c-value", "j", "l", "p"]),
        ),
        (
            "GET",
            "/subjects?subjectPrefix=b",
            none.clone(),
            200,
            json!(["b/c-value"]),
        ),
        (
            "GET",
            "/subjects?offset=1&limit=2",
            none.clone(),
            200,
            json!(["b/c-value", "j"]),
        ),
        (
            "GET",
            "/subjects/a/versions/latest",
            none.clone(),
            200,
            json!({"subject": "a", "version": 1, "id": 1, "schema": x["schema"]}),
        ),
        ("GET", "/subjects/a/versions/-1", none.clone(), 200, {
            json!({"subject": "a", "version": 1, "id": 1, "schema": x["schema"]})
        }),
        (
            "GET",
            "/subjects/a/versions/2",
            none.clone(),
            404,
            json!(40402),
        ),
        (
            "GET",
            "/subjects/a/versions/0",
            none.clone(),
            422,
            json!(42202),
        ),
        (
            "GET",
            "/subjects/a/versions/x",
            none.clone(),
            422,
            json!(42202),
        ),
        (
            "GET",
            "/subjects/j/versions/1/schema",
            none.clone(),
            200,
            json!({"type": "object"}),
        ),
        (
            "GET",
            "/subjects/a/versions/1/referencedby",
            none.clone(),
            200,
            json!([4]),
        ),
        (
            "GET",
            "/schemas/ids/1",
            none.clone(),
            200,
            json!({"schema": x["schema"]}),
        ),
        (
            "GET",
            "/schemas/ids/3?format=serialized&subject=p",
            none.clone(),
            200,
            json!({"schema": "message A {}", "schemaType": "PROTOBUF"}),
        ),
        ("GET", "/schemas/ids/4", none.clone(), 200, list),
        ("GET", "/schemas/ids/9", none.clone(), 404, json!(40403)),
        ("GET", "/schemas/ids/x", none.clone(), 404, json!(404)),
        (
            "GET",
            "/schemas/ids/2/schema",
            none.clone(),
            200,
            json!({"type": "object"}),
        ),
        (
            "GET",
            "/schemas/ids/1/subjects",
            none.clone(),
            200,
            json!(["a", "b/c-value"]),
        ),
        (
            "GET",
            "/schemas/ids/1/versions",
            none.clone(),
            200,
            json!([{"subject": "a", "version": 1}, {"subject": "b/c-value", "version": 1}]),
        ),
        (
            "GET",
            "/schemas/types",
            none.clone(),
            200,
            json!(["JSON", "PROTOBUF", "AVRO"]),
        ),
        (
            "POST",
            "/subjects/a",
            x.clone(),
            200,
            json!({"subject": "a", "version": 1, "id": 1, "schema": x["schema"]}),
        ),
        ("POST", "/subjects/a", xy.clone(), 404, json!(40403)),
        ("POST", "/subjects/z", x, 404, json!(40401)),
        // Deletion.
        (
            "DELETE",
            "/subjects/a/versions/1",
            none.clone(),
            422,
            json!(42206),
        ),
        ("DELETE", "/subjects/l", none.clone(), 200, json!([1])),
        ("DELETE", "/subjects/l", none.clone(), 404, json!(40404)),
        (
            "DELETE",
            "/subjects/a?permanent=true",
            none.clone(),
            404,
            json!(40405),
        ),
        (
            "DELETE",
            "/subjects/a/versions/1?permanent=true",
            none.clone(),
            404,
            json!(40407),
        ),
        (
            "DELETE",
            "/subjects/a/versions/latest",
            none.clone(),
            200,
            json!(1),
        ),
        (
            "DELETE",
            "/subjects/a/versions/1",
            none.clone(),
            404,
            json!(40406),
        ),
        (
            "GET",
            "/subjects?deleted=false",
            none.clone(),
            200,
            json!(["b/c-value", "j", "p"]),
        ),
        (
            "GET",
            "/subjects?deleted=true",
            none.clone(),
            200,
            json!(["a", "b/c-value", "j", "l", "p"]),
        ),
        (
            "GET",
            "/subjects/a/versions?deleted=true",
            none.clone(),
            200,
            json!([1]),
        ),
        (
            "POST",
            "/subjects/a/versions",
            xy,
            200,
            json!({"id": 5, "version": 2}),
        ),
        (
            "DELETE",
            "/subjects/l?permanent=true",
            none.clone(),
            200,
            json!([1]),
        ),
        ("GET", "/schemas/ids/4", none.clone(), 404, json!(40403)),
        // What is not here.
        ("GET", "/contexts", none, 404, json!(404)),
        ("PUT", "/mode", json!({"mode": "READONLY"}), 405, json!(405)),
    ];
    check(&node, &rows);
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let (x, y) = (record(&["x"]), record(&["y"]));
    let none = Value::Null;
    let before = [
        (
            "PUT",
            "/config/a",
            json!({"compatibility": "NONE"}),
            200,
            json!({"compatibility": "NONE"}),
        ),
        (
            "POST",
            "/subjects/a/versions",
            x.clone(),
            200,
            json!({"id": 1, "version": 1}),
        ),
        (
            "POST",
            "/subjects/a/versions",
            y.clone(),
            200,
            json!({"id": 2, "version": 2}),
        ),
        (
            "DELETE",
            "/subjects/a/versions/2",
            none.clone(),
            200,
            json!(2),
        ),
        (
            "DELETE",
            "/subjects/a/versions/2?permanent=true",
            none.clone(),
            200,
            json!(2),
        ),
    ];
    check(&node, &before);
    let node = node.kill().start();
    let after = [
        (
            "GET",
            "/subjects/a/versions?deleted=true",
            none.clone(),
            200,
            json!([1]),
        ),
        (
            "GET",
            "/config/a",
            none.clone(),
            200,
            json!({"compatibilityLevel": "NONE"}),
        ),
        (
            "GET",
            "/schemas/ids/1",
            none.clone(),
            200,
            json!({"schema": x["schema"]}),
        ),
        ("GET", "/schemas/ids/2", none, 404, json!(40403)),
        // The id is not given again.
        (
            "POST",
            "/subjects/a/versions",
            y,
            200,
            json!({"id": 3, "version": 2}),
        ),
    ];
    check(&node, &after);
}
