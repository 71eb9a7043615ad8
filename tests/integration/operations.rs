//! Signals, reload, health, metrics, logs: what a person who runs wstream does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Node, NodeBuilder, project, request, until, write, wstream};
use super::netflix::netflix;

const CONFIG: &str = r#"
[topics.in]
partitions = 2
[pipelines.p]
from = ["in"]
to = ["out"]
[sinks.out]
type = "search"
index = "first"
"#;

fn produce(node: &Node, count: usize) {
    let lines: String = (0..count)
        .map(|n| format!("{{\"value_json\":{{\"n\":{n}}}}}\n"))
        .collect();
    let answer = node.ask("POST", "/api/v1/topics/in/records", &[], lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn sigterm_under_load_stops_cleanly_and_the_next_start_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(builder) = netflix(dir.path()) else {
        return;
    };
    let node = builder.start();
    until("records", || {
        let topics = node.get("/api/v1/topics");
        topics["topics"]
            .as_array()?
            .iter()
            .find(|t| t["records"].as_u64() > Some(1000))
            .map(|_| ())
    });
    let (status, log) = node.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let output = builder.once();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let node = builder.start();
    assert_eq!(node.count("netflix-credits"), 77_801);
    assert_eq!(node.count("netflix-titles"), 5850);
}

#[test]
fn a_second_signal_stops_at_once_and_the_next_start_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let builder = NodeBuilder::new(&dir.path().join("data")).file(&config);
    let node = builder.start();
    produce(&node, 100);
    node.signal(Signal::TERM);
    node.signal(Signal::INT);
    let (_status, _log) = node.wait();
    let node = builder.start();
    node.wait_count("first", 100);
}

#[test]
fn sighup_replaces_what_changed_and_a_bad_edit_keeps_the_old_pipelines() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&config)
        .start();
    produce(&node, 10);
    node.wait_count("first", 10);

    let filter = project().join("transforms/dist/filter.wasm");
    let refused = format!(
        "to = [\"out\"]\ntransforms = [{{ module = {filter:?}, config = {{ field = \"a\", op = \"neer\" }} }}]"
    );
    // A name that is not declared, and settings that show to be wrong only when the module starts.
    let edits = [("to = [\"owt\"]", "owt", 20), (&refused, "neer", 30)];
    for (edit, why, count) in edits {
        let edited = CONFIG.replace("to = [\"out\"]", edit);
        write(dir.path(), "wstream.toml", edited);
        node.signal(Signal::HUP);
        node.wait_for_line(why);
        produce(&node, 10);
        node.wait_count("first", count);
        let error = node.get("/api/v1/node")["reload_error"].to_string();
        assert!(error.contains(why), "{error}");
    }

    write(
        dir.path(),
        "wstream.toml",
        CONFIG.replace("\"first\"", "\"second\""),
    );
    node.signal(Signal::HUP);
    until("the new pipeline", || {
        node.get("/api/v1/node")["reload_error"]
            .is_null()
            .then_some(())
    });
    produce(&node, 10);
    // A new index has no position of its own: it is filled from the start of the log.
    node.wait_count("second", 40);
    assert_eq!(node.count("first"), 30);
}

#[test]
fn watch_takes_an_edit_and_refuses_fewer_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&config)
        .arg("--watch")
        .start();
    write(
        dir.path(),
        "wstream.toml",
        CONFIG.replace("partitions = 2", "partitions = 4"),
    );
    until("four partitions", || {
        (node.get("/api/v1/topics/in")["partitions"] == 4).then_some(())
    });
    write(
        dir.path(),
        "wstream.toml",
        CONFIG.replace("partitions = 2", "partitions = 1"),
    );
    until("the refusal", || {
        let error = node.get("/api/v1/node")["reload_error"].to_string();
        error.contains("partitions").then_some(())
    });
    assert_eq!(node.get("/api/v1/topics/in")["partitions"], 4);
}

#[test]
fn settings_of_a_topic_are_those_of_the_file_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let bare = write(dir.path(), "bare.toml", "[topics.other]\n");
    let node = NodeBuilder::new(&data).file(&bare).start();
    let body = r#"{"name": "in", "settings": {"max.message.bytes": 2000}}"#;
    assert_eq!(
        node.ask("POST", "/api/v1/topics", &[], body.as_bytes())
            .status,
        201
    );
    drop(node.kill());
    let compacted = CONFIG.replace(
        "partitions = 2",
        "settings = { \"cleanup.policy\" = \"compact\" }",
    );
    let config = write(dir.path(), "wstream.toml", &compacted);
    let node = NodeBuilder::new(&data).file(&config).start();
    let set = |node: &Node| -> Vec<String> {
        let topic = node.get("/api/v1/topics/in");
        let settings = topic["settings"].as_array().unwrap().iter();
        let set = settings.filter(|setting| setting["is_default"] == false);
        set.map(|s| {
            format!(
                "{}={}",
                s["key"].as_str().unwrap(),
                s["value"].as_str().unwrap()
            )
        })
        .collect()
    };
    // What was set before the file declared the topic is told, and is not kept beside the file.
    assert_eq!(set(&node), ["cleanup.policy=compact"]);
    node.wait_for_line("the file does not name the setting");
    write(dir.path(), "wstream.toml", CONFIG);
    node.signal(Signal::HUP);
    until("the default", || set(&node).is_empty().then_some(()));
}

#[test]
fn health_and_metrics_tell_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = write(dir.path(), "wstream.toml", CONFIG);
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&config)
        .start();
    produce(&node, 7);
    node.wait_count("first", 7);
    assert_eq!(node.get("/health/live")["status"], "live");
    assert_eq!(node.get("/health/ready")["status"], "ready");
    let text = node.ask("GET", "/metrics", &[], b"").text();
    for row in [
        "wstream_pipeline_records_in_total{pipeline=\"p\"} 7\n",
        "wstream_pipeline_records_out_total{pipeline=\"p\"} 7\n",
        "wstream_sink_records_total{sink=\"out\"} 7\n",
        "wstream_index_documents{index=\"first\"} 7\n",
        "wstream_pipeline_lag{pipeline=\"p\"} 0\n",
        "# TYPE wstream_log_bytes gauge\n",
        "wstream_memory_bytes ",
    ] {
        assert!(text.contains(row), "no {row} in\n{text}");
    }
}

#[test]
fn json_logs_are_one_object_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let builder = NodeBuilder::new(dir.path()).arg("--log-format").arg("json");
    let (status, log) = builder.start().stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<_> = log.lines().filter(|l| !l.starts_with("ready: ")).collect();
    assert!(!lines.is_empty());
    for line in lines {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            value["timestamp"].is_string() && value["level"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_node_goes_on_whose_standard_error_nobody_reads_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut command = wstream(["run", "--http", "127.0.0.1:0", "--search", "127.0.0.1:0"]);
    command.args(["--log", "debug", "--data"]).arg(&data);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let ready = lines.find_map(|line| {
        let line = line.unwrap();
        line.strip_prefix("ready: page and API on http://")
            .map(str::to_owned)
    });
    let address = ready.expect("it says where it listens");
    drop(lines);
    // All of this is logged.
    for n in 0..3 {
        let topic = format!(r#"{{"name":"t{n}"}}"#);
        let json = [("content-type", "application/json")];
        let made = request(&address, "POST", "/api/v1/topics", &json, topic.as_bytes()).unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/api/v1/topics/t{n}/records");
        let put = request(&address, "POST", &path, &json, b"{\"value\":\"a\"}\n").unwrap();
        assert_eq!(put.status, 200, "{}", put.text());
        let path = format!("/api/v1/topics/t{n}");
        let gone = request(&address, "DELETE", &path, &[], b"").unwrap();
        assert_eq!(gone.status, 204, "{}", gone.text());
    }
    let ready = request(&address, "GET", "/health/ready", &[], b"").unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
}

/// Does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
