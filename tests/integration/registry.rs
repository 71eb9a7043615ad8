//! Modules that are uploaded to a running node: versions, switches under load, roll back, and what
//! is refused.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder, Output, letter, project, until, write, wstream};

/// The level at which a module logs.
const INFO: u8 = 2;

const CONFIG: &str = r#"
[topics.in]
partitions = 2
[topics.out]
partitions = 2
[pipelines.p]
from = ["in"]
transforms = [{ module = "mark" }]
to = ["out"]
[sinks.out]
type = "topic"
topic = "out"
"#;

fn command(node: &Node, args: &[&str]) -> Output {
    let base = format!("http://{}", node.http());
    Output::of(wstream(["transform"]).args(args).args(["--node", &base]))
}

fn push(node: &Node, name: &str, module: &Path) -> Output {
    command(node, &["push", name, module.to_str().unwrap()])
}

/// The values of a topic, a list for each partition in the order of offsets.
fn values(node: &Node, topic: &str) -> Vec<Vec<String>> {
    let partitions = 0..2;
    let read = |partition| {
        let path =
            format!("/api/v1/topics/{topic}/records?partition={partition}&offset=0&limit=100000");
        let answer = node.ask("GET", &path, &[], b"").text();
        let lines = answer
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|r| r["value"].as_str().unwrap().to_owned())
            .collect()
    };
    partitions.map(read).collect()
}

fn count(node: &Node, topic: &str) -> u64 {
    node.get(&format!("/api/v1/topics/{topic}"))["records"]
        .as_u64()
        .unwrap()
}

fn produce(node: &Node, from: usize, records: usize) {
    let lines: String = (from..from + records)
        .map(|n| format!("{}\n", json!({"value": n.to_string()})))
        .collect();
    let answer = node.ask("POST", "/api/v1/topics/in/records", &[], lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A node whose pipeline names the module, which was uploaded first.
fn started(dir: &Path) -> (Node, NodeBuilder) {
    let bare = NodeBuilder::new(&dir.join("data"));
    let node = bare.start();
    let output = push(&node, "mark", &letter(dir, 'a', INFO));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(
        output.stdout.starts_with("mark@1: active, wstream_v1"),
        "{}",
        output.stdout
    );
    drop(node);
    let config = write(dir, "wstream.toml", CONFIG);
    let builder = bare.file(&config);
    (builder.start(), builder)
}

#[test]
fn versions_switch_under_load_and_nothing_is_lost_doubled_or_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let (node, builder) = started(dir.path());
    let mut sent = 0;
    for letter_of in ['b', 'c', 'd', 'e'] {
        for _ in 0..20 {
            produce(&node, sent, 50);
            sent += 50;
        }
        let output = push(&node, "mark", &letter(dir.path(), letter_of, INFO));
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    produce(&node, sent, 50);
    sent += 50;
    until("every record to be there", || {
        (count(&node, "out") == sent as u64).then_some(())
    });
    let outputs = values(&node, "out");
    assert_eq!(outputs.iter().map(Vec::len).sum::<usize>(), sent);
    for partition in &outputs {
        let letters: Vec<&str> = partition.iter().map(String::as_str).collect();
        assert!(letters.is_sorted(), "a version came back: {letters:?}");
    }
    let last: Vec<_> = outputs.iter().filter_map(|p| p.last()).collect();
    assert!(last.contains(&&"e".to_owned()), "{last:?}");

    let output = command(&node, &["rollback", "mark", "--to", "2"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    produce(&node, sent, 2);
    until("two more", || {
        (count(&node, "out") == sent as u64 + 2).then_some(())
    });
    let newest = values(&node, "out");
    let newest: Vec<_> = newest.iter().filter_map(|p| p.last()).collect();
    assert!(newest.contains(&&"b".to_owned()), "{newest:?}");

    // Versions and what is active survive the node.
    drop(node);
    let node = builder.start();
    let module = node.get("/api/v1/transforms/mark");
    assert_eq!(
        (
            &module["active"],
            module["versions"].as_array().unwrap().len()
        ),
        (&json!(2), 5)
    );
}

#[test]
fn what_cannot_serve_is_refused_and_the_version_before_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _) = started(dir.path());
    let filter = project().join("transforms/dist/filter.wasm");
    let rows: [(&Path, &[&str]); 3] = [
        (
            &write(dir.path(), "text.wasm", "text"),
            &["422", "bad_module", "74 65 78 74"],
        ),
        (
            &write(dir.path(), "empty.wasm", b"\0asm\x01\0\0\0"),
            &["422", "wstream_abi_v1"],
        ),
        // It is a good module, and refuses the pipeline's settings: it is stored, and not activated.
        (&filter, &["409", "not_activated", "field"]),
    ];
    for (module, words) in rows {
        let bytes = std::fs::read(module).unwrap();
        let answer = node.ask("PUT", "/api/v1/transforms/mark", &[], &bytes);
        let said = format!("{} {}", answer.status, answer.text());
        for word in words {
            assert!(said.contains(word), "no {word} in {said}");
        }
    }
    assert_eq!(node.get("/api/v1/transforms/mark")["active"], 1);
    produce(&node, 0, 10);
    until("ten records", || (count(&node, "out") == 10).then_some(()));
    assert!(
        values(&node, "out")
            .iter()
            .flatten()
            .all(|value| value == "a")
    );

    let output = command(&node, &["delete", "mark"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("used by p"), "{}", output.stderr);
    let output = command(&node, &["rollback", "mark", "--to", "9"]);
    assert!(output.stderr.contains("no version 9"), "{}", output.stderr);
    assert!(!output.stderr.contains("is stored"), "{}", output.stderr);
    let other = letter(dir.path(), 'z', INFO);
    assert_eq!(push(&node, "unused", &other).code, 0);
    assert_eq!(command(&node, &["delete", "unused"]).code, 0);
    assert_eq!(
        node.ask("GET", "/api/v1/transforms/unused", &[], b"")
            .status,
        404
    );
}

#[test]
fn a_name_that_nobody_registered_is_refused_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let output = Output::of(
        &mut NodeBuilder::new(&dir.path().join("data"))
            .file(&config)
            .command(),
    );
    assert_eq!(output.code, 78, "{}", output.stderr);
    for word in [
        "wstream.toml:8:",
        "no module \"mark\"",
        "wstream transform push mark",
    ] {
        assert!(
            output.stderr.contains(word),
            "no {word} in {}",
            output.stderr
        );
    }
}

#[test]
fn a_version_is_tried_on_records_without_a_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(&dir.path().join("data")).start();
    assert_eq!(push(&node, "mark", &letter(dir.path(), 'a', INFO)).code, 0);
    assert_eq!(push(&node, "mark", &letter(dir.path(), 'b', INFO)).code, 0);
    let path = "/api/v1/transforms/mark/test";
    let body = b"{\"value\":\"one\"}\n\n{\"value\":\"two\",\"key\":\"k\"}\n";
    for (query, version, letter) in [("", 2, "b"), ("?version=1", 1, "a")] {
        let answer = node.ask("POST", &format!("{path}{query}"), &[], body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(
            (&answer["version"], &answer["records"]),
            (&json!(version), &json!(2))
        );
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results[0]["in"]["value"], "one");
        assert_eq!(results[1]["in"]["key"], "k");
        assert!(
            results
                .iter()
                .all(|r| r["out"] == json!([{"value": letter}])),
            "{answer}"
        );
    }
    let refused = [
        ("/api/v1/transforms/none/test", &b"{}"[..], 404, "not_found"),
        (path, b"{\"value\":", 400, "bad_record"),
        (&format!("{path}?config=x"), b"{}", 400, "bad_config"),
        (&format!("{path}?version=9"), b"{}", 404, "not_found"),
    ];
    for (path, body, status, code) in refused {
        let answer = node.ask("POST", path, &[], body);
        let said = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, said), (status, json!(code)), "{path}");
    }
}

/// A module that logs one word for each call.
fn talker(dir: &Path, word: &str) -> PathBuf {
    let text = format!(
        r#"(module
        (import "wstream_v1" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 4)
        (data (i32.const 16) "{word}")
        (func (export "wstream_abi_v1"))
        (func (export "wstream_alloc") (param i32) (result i32) i32.const 65536)
        (func (export "wstream_process") (param i32 i32) (result i64)
          (call $log (i32.const 3) (i32.const 16) (i32.const {}))
          (i64.const 0)))"#,
        word.len()
    );
    write(dir, &format!("{word}.wasm"), wat::parse_str(text).unwrap())
}

#[test]
fn what_a_module_logs_is_followed_across_an_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _) = started(dir.path());
    let pushed = push(&node, "mark", &talker(dir.path(), "first"));
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    produce(&node, 0, 1);
    let lines = || -> Vec<Value> {
        let text = node
            .ask("GET", "/api/v1/transforms/mark/logs", &[], b"")
            .text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    };
    let line = until("a line", || lines().into_iter().next());
    assert_eq!(
        (&line["text"], &line["level"], &line["version"]),
        (&json!("first"), &json!("warn"), &json!("2"))
    );
    let base = format!("http://{}", node.http());
    let args = ["transform", "logs", "mark", "-f", "--json", "--node", &base];
    let mut following = wstream(args)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
        (
            line["version"].as_str().unwrap().to_owned(),
            line["text"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(next(), ("2".to_owned(), "first".to_owned()));
    assert_eq!(push(&node, "mark", &talker(dir.path(), "second")).code, 0);
    produce(&node, 0, 1);
    assert_eq!(next(), ("3".to_owned(), "second".to_owned()));
    following.kill().unwrap();
    following.wait().unwrap();
    let shown = command(&node, &["show", "mark"]);
    assert!(
        shown.stdout.contains("mark@3") && shown.stdout.contains("in pipeline p: version 3"),
        "{}",
        shown.stdout
    );
    assert_eq!(
        node.ask("GET", "/api/v1/transforms/none/logs", &[], b"")
            .status,
        404
    );
}
