//! Modules made with the Redpanda SDKs run as they are: cases by the command, and pipelines of a real
//! node with dead letters, a second topic, the registry of schemas and upgrades.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::harness::{Node, NodeBuilder, Output, project, skipped, until, write, wstream};
use super::hostile_rows::header;

/// Where each language's modules are: `scripts/redpanda.sh` compiles what is not there yet.
fn folders() -> &'static BTreeMap<String, PathBuf> {
    static FOLDERS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let script = project().join("scripts/redpanda.sh");
        let output = Output::of(Command::new("bash").arg(script));
        assert_eq!(output.code, 0, "{}", output.stderr);
        for line in output
            .stderr
            .lines()
            .filter(|line| line.contains("skipped"))
        {
            skipped(line);
        }
        let lines = output
            .stdout
            .lines()
            .filter_map(|line| line.split_once(' '));
        lines
            .map(|(language, folder)| (language.to_owned(), folder.into()))
            .collect()
    })
}

/// A module; `None` where its language cannot be had, which was said.
pub fn module(language: &str, name: &str) -> Option<PathBuf> {
    Some(folders().get(language)?.join(format!("{name}.wasm")))
}

#[track_caller]
fn passes(module: &Path, cases: &str) {
    let cases = project().join("guest-sdk").join(cases);
    let mut command = wstream(["transform", "test"]);
    let output = Output::of(command.arg(module).arg("--cases").arg(cases));
    let (out, err) = (&output.stdout, &output.stderr);
    assert_eq!(output.code, 0, "{}: {out}{err}", module.display());
}

/// What becomes of values, with little memory.
fn become_of(module: &Path, values: &[&str]) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let lines = values
        .iter()
        .map(|value| format!("{}\n", json!({"value": value})));
    let records = write(dir.path(), "in.jsonl", lines.collect::<String>());
    let mut command = wstream(["transform", "test"]);
    command.arg(module).arg("--in").arg(records);
    command.arg("--memory=4MiB");
    let output = Output::of(&mut command);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The samples that a language with an SDK has; `code` is what a failure of its programs is.
fn check(language: &str, code: u16) {
    let Some(identity) = module(language, "identity") else {
        return;
    };
    passes(&identity, "samples/identity.cases.jsonl");
    for name in ["project", "split", "strict"] {
        let cases = format!("redpanda/{name}.cases.jsonl");
        passes(&module(language, name).unwrap(), &cases);
    }
    let strict = module(language, "strict").unwrap();
    let large = "x".repeat(3 << 20);
    let rows = [
        (r#"{"amount":-1}"#, Some((code, "amount is below 0"))),
        (r#"{"amount":2}"#, None),
        ("{}", Some((code, "amount is not a number"))),
        ("plain", Some((code, "the value is not JSON"))),
        (&large, Some((1002, ""))),
        (r#"{"amount":3}"#, None),
    ];
    let became = become_of(&strict, &rows.map(|(value, _)| value));
    for ((_, wanted), became) in rows.iter().zip(&became) {
        let Some((code, reason)) = wanted else {
            assert_eq!(became["out"], json!([became["in"]]), "{language}");
            continue;
        };
        let error = &became["error"];
        assert_eq!(error["code"], *code, "{language}: {error}");
        let reason = if reason.is_empty() {
            "memory".to_owned()
        } else {
            format!("transforming record failed: {reason}")
        };
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&reason), "{language}: {message}");
    }
}

#[test]
fn rust() {
    check("rust", 1000);
}

/// Go ends by `proc_exit(2)`.
#[test]
fn go() {
    check("go", 1005);
}

#[test]
fn c() {
    let Some(identity) = module("c", "identity") else {
        return;
    };
    passes(&identity, "samples/identity.cases.jsonl");
    let shout = module("c", "shout").unwrap();
    passes(&shout, "redpanda/shout.cases.jsonl");
}

/// Starts a node on one-partition topics, each with a sink of its name, and these pipelines.
fn start(dir: &Path, topics: &[&str], pipelines: &str) -> Node {
    let topics = topics.iter().map(|topic| {
        format!(
            "[topics.{topic}]\npartitions = 1\n\
             [sinks.{topic}]\ntype = \"topic\"\ntopic = \"{topic}\"\n"
        )
    });
    let text = format!(
        "[topics.in]\npartitions = 1\n{}{pipelines}",
        topics.collect::<String>()
    );
    let config = write(dir, "wstream.toml", text);
    let builder = NodeBuilder::new(&dir.join("data"));
    builder.file(&config).start()
}

fn records(node: &Node, topic: &str) -> Vec<Value> {
    let path = format!("/api/v1/topics/{topic}/records?partition=0&offset=0&limit=100000");
    let text = node.ask("GET", &path, &[], b"").text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The records of a topic once there are so many.
#[track_caller]
fn wait_for(node: &Node, topic: &str, count: usize) -> Vec<Value> {
    let found = until(&format!("{count} records in {topic}"), || {
        Some(records(node, topic)).filter(|found| found.len() >= count)
    });
    assert_eq!(found.len(), count, "{topic}");
    found
}

#[track_caller]
fn produce(node: &Node, records: &[Value]) {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let path = "/api/v1/topics/in/records?partition=0";
    let answer = node.ask("POST", path, &[], lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What a record is, apart from where it is.
fn content(record: &Value) -> [&Value; 4] {
    ["key", "value", "headers", "timestamp"].map(|field| &record[field])
}

#[test]
fn records_go_on_in_order_and_those_that_fail_are_dead_letters_of_their_own() {
    let languages = [module("go", "identity"), module("rust", "strict")];
    let [Some(identity), Some(strict)] = languages else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (identity, strict) = (identity.display(), strict.display());
    let pipelines = format!(
        "[pipelines.copy]\nfrom = [\"in\"]\ntransforms = [{{ module = \"{identity}\" }}]\n\
         to = [\"copied\"]\n\
         [pipelines.strict]\nfrom = [\"in\"]\ntransforms = [{{ module = \"{strict}\" }}]\n\
         to = [\"good\"]\n"
    );
    let node = start(dir.path(), &["copied", "good"], &pipelines);
    let amounts: Vec<i64> = (1..=300).map(|n| if n % 7 == 0 { -n } else { n }).collect();
    let sent = amounts.iter().map(|n| {
        json!({"key": format!("k{n}"), "value": json!({"amount": n}).to_string(),
            "headers": [["n", n.to_string()]], "timestamp": 1_700_000_000_000 + n})
    });
    let sent: Vec<Value> = sent.collect();
    for records in sent.chunks(60) {
        produce(&node, records);
    }
    let copied = wait_for(&node, "copied", 300);
    let good = wait_for(&node, "good", 300 - 42);
    let dead = wait_for(&node, "in.dlq", 42);
    for (sent, copied) in sent.iter().zip(&copied) {
        assert_eq!(content(copied), content(sent));
    }
    let (wanted_dead, wanted): (Vec<_>, Vec<_>) = sent
        .iter()
        .enumerate()
        .partition(|(offset, _)| amounts[*offset] < 0);
    for ((_, sent), good) in wanted.iter().zip(&good) {
        assert_eq!(content(good), content(sent));
    }
    for ((offset, sent), dead) in wanted_dead.iter().zip(&dead) {
        assert_eq!(
            (&dead["key"], &dead["value"]),
            (&sent["key"], &sent["value"])
        );
        assert_eq!(header(dead, "wstream.error.offset"), offset.to_string());
        assert_eq!(header(dead, "wstream.error.pipeline"), "strict");
        assert_eq!(header(dead, "wstream.error.code"), "trap");
        let message = header(dead, "wstream.error.message");
        let reason = "transforming record failed: amount is below 0";
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(records(&node, "good").len(), good.len());
}

#[test]
fn a_second_topic_is_written_to_by_its_name() {
    for language in ["rust", "go"] {
        let Some(split) = module(language, "split") else {
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let pipelines = format!(
            "[pipelines.split]\nfrom = [\"in\"]\nto = [\"items\"]\n\
             [[pipelines.split.transforms]]\nmodule = \"{}\"\n\
             output_topics = [\"items\", \"totals\"]\noutputs = {{ totals = [\"sums\"] }}\n",
            split.display()
        );
        let node = start(dir.path(), &["items", "sums"], &pipelines);
        let value =
            |items: Value| json!({"key": "k", "value": json!({"items": items}).to_string()});
        produce(
            &node,
            &[value(json!([1, "two"])), value(json!(5)), value(json!([3]))],
        );
        let values = |topic, count| -> Vec<Value> {
            let found = wait_for(&node, topic, count);
            found.iter().map(|record| record["value"].clone()).collect()
        };
        assert_eq!(values("items", 3), ["1", "\"two\"", "3"], "{language}");
        assert_eq!(
            values("sums", 2),
            ["{\"count\":2}", "{\"count\":1}"],
            "{language}"
        );
        assert_eq!(values("in.dlq", 1), ["{\"items\":5}"], "{language}");
    }
}

const SCHEMAS: &str = "/api/schema-registry";

/// Registers an Avro record with these fields; its id.
fn register(node: &Node, subject: &str, fields: &Value) -> u8 {
    let schema = json!({"type": "record", "name": "Person", "fields": fields});
    let body = json!({"schema": schema.to_string()}).to_string();
    let path = format!("{SCHEMAS}/subjects/{subject}/versions");
    let answer = node.ask("POST", &path, &[], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    u8::try_from(answer.json()["id"].as_u64().unwrap()).unwrap()
}

#[test]
fn schemas_are_looked_up_and_registered_in_the_nodes_registry() {
    let Some(schema) = module("rust", "schema") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let pipelines = format!(
        "[pipelines.p]\nfrom = [\"in\"]\nto = [\"out\"]\n[[pipelines.p.transforms]]\n\
         module = \"{}\"\nconfig = {{ SUBJECT = \"people\" }}\n",
        schema.display()
    );
    let node = start(dir.path(), &["out"], &pipelines);
    let name = json!({"name": "name", "type": "string"});
    let age = json!({"name": "age", "type": "int", "default": 0});
    let old = register(&node, "people", &json!([name]));
    let new = register(&node, "people", &json!([name, age]));
    // A zero byte and the id go before the value: a text of three bytes, and 36.
    let rows: [&[u8]; 5] = [
        &[0, 0, 0, 0, new, 6, b'A', b'd', b'a', 72],
        &[0, 0, 0, 0, old, 6, b'B', b'o', b'b'],
        &[0, 0, 0, 0, 99, 0],
        b"plain",
        &[0, 0, 0, 0, new, 0, 1],
    ];
    let encode = |bytes: &[u8]| json!({"value_base64": STANDARD.encode(bytes)});
    produce(&node, &rows.map(encode));
    let out = wait_for(&node, "out", 3);
    let path = format!("{SCHEMAS}/subjects/people-json/versions/latest");
    let registered = node.get(&path);
    assert_eq!(registered["schemaType"], "JSON", "{registered}");
    let id = u8::try_from(registered["id"].as_u64().unwrap()).unwrap();
    let wanted = [
        (r#"{"age":36,"name":"Ada"}"#, json!([])),
        (r#"{"name":"Bob"}"#, json!([["latest", "2"]])),
        (r#"{"age":-1,"name":""}"#, json!([])),
    ];
    for (record, (text, headers)) in out.iter().zip(wanted) {
        let value = [&[0, 0, 0, 0, id], text.as_bytes()].concat();
        let given = record["value"].as_str().map(str::as_bytes);
        let given = given.unwrap_or_else(|| panic!("{record}"));
        assert_eq!(given, value, "{record}");
        let none = json!([]);
        let given = record.get("headers").unwrap_or(&none);
        assert_eq!(*given, headers, "{record}");
    }
    let dead = wait_for(&node, "in.dlq", 2);
    for (record, reason) in dead.iter().zip([
        "writing record failed with errno: -2",
        "5 byte header is missing",
    ]) {
        let message = header(record, "wstream.error.message");
        let reason = format!("transforming record failed: {reason}");
        assert!(message.contains(&reason), "{message}");
    }
}

#[test]
fn versions_switch_and_roll_back_while_records_flow() {
    let modules = [module("rust", "identity"), module("rust", "project")];
    let [Some(identity), Some(project)] = modules else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let bare = NodeBuilder::new(&dir.path().join("data")).start();
    let command = |node: &Node, args: &[&str]| {
        let base = format!("http://{}", node.http());
        let output = Output::of(wstream(["transform"]).args(args).args(["--node", &base]));
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
        output.stdout
    };
    let push =
        |node: &Node, module: &Path| command(node, &["push", "step", module.to_str().unwrap()]);
    let said = push(&bare, &identity);
    assert!(
        said.starts_with("step@1: active, redpanda_transform"),
        "{said}"
    );
    drop(bare);
    let pipelines = "[pipelines.p]\nfrom = [\"in\"]\nto = [\"out\"]\n\
        transforms = [{ module = \"step\", config = { ENV = \"test\" } }]\n";
    let node = start(dir.path(), &["out"], pipelines);
    let mut sent = 0;
    let mut flow = |records: usize| {
        for _ in 0..records / 50 {
            let numbers = sent..sent + 50;
            let record = |n: usize| json!({"value": json!({"msg": n}).to_string()});
            produce(&node, &numbers.map(record).collect::<Vec<_>>());
            sent += 50;
        }
    };
    flow(500);
    push(&node, &project);
    flow(500);
    command(&node, &["rollback", "step", "--to", "1"]);
    flow(50);
    let out = wait_for(&node, "out", 1050);
    let values: Vec<Value> = out
        .iter()
        .map(|record| serde_json::from_str(record["value"].as_str().unwrap()).unwrap())
        .collect();
    let mut switches = 0;
    for (n, value) in values.iter().enumerate() {
        let is_new = value["env"] == "test";
        assert_eq!(value[if is_new { "message" } else { "msg" }], n, "{value}");
        let was_new = n > 0 && values[n - 1]["env"] == "test";
        switches += usize::from(is_new != was_new);
    }
    assert_eq!(switches, 2, "a version came back");
    assert_eq!(values[1049], json!({"msg": 1049}));
}
