//! The page in a real browser, on a real node that loads the whole catalogue.
//! Expected numbers come from an independent Python program on the same CSV file.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use super::harness::{Node, NodeBuilder, Output, letter, project, shared, write};
use super::netflix::netflix;

/// Runs a program of `tests/page` to its end.
#[track_caller]
fn run(program: &str, args: &[&str]) -> Output {
    let folder = project().join("tests/page");
    let output = Output::of(Command::new(program).args(args).current_dir(folder));
    assert_eq!(
        output.code, 0,
        "{program} {args:?}\n{}{}",
        output.stdout, output.stderr
    );
    output
}

/// Installs what the checks need, where `scripts/setup.sh test` did not: once, however many tests
/// want it. The script itself keeps processes apart.
fn install() {
    static INSTALLED: OnceLock<Output> = OnceLock::new();
    INSTALLED.get_or_init(|| run("./install.sh", &[]));
}

/// The checks of `tests/page` on a node that loads `titles`, of which `dead` rows are wrong.
#[track_caller]
fn check(node: &Node, titles: &Path, folder: &Path, dead: usize) {
    install();
    let expected = run("python3", &["expected.py", titles.to_str().unwrap()]).stdout;
    let file = folder.join("expected.json");
    std::fs::write(&file, expected).unwrap();
    let shots = project().join("target/page");
    let base = format!("http://{}", node.http());
    let args = [
        "run.mjs",
        &base,
        file.to_str().unwrap(),
        "--shots",
        shots.to_str().unwrap(),
        "--dead-letters",
        &dead.to_string(),
    ];
    let output = run("node", &args);
    assert!(output.stdout.contains("checks passed"), "{}", output.stdout);
}

#[test]
fn the_pages_calculations_hold() {
    run("node", &["--test", "unit.test.mjs"]);
}

#[test]
fn the_page_shows_what_the_node_does() {
    let folder = tempfile::tempdir().unwrap();
    let Some(builder) = netflix(&folder.path().join("data")) else {
        return;
    };
    let titles = shared("data/netflix/titles.csv").unwrap();
    // One row more, with too few columns: a dead letter to look at.
    let broken = folder.path().join("titles.csv");
    let mut text = std::fs::read(&titles).unwrap();
    text.extend_from_slice(b"ts0,\"A row with too few columns\"\n");
    std::fs::write(&broken, text).unwrap();
    let node = builder.env("TITLES", broken.to_str().unwrap()).start();
    check(&node, &titles, folder.path(), 1);
}

const PIPELINE: &str = r#"
[topics.in]
[topics.out]
[pipelines.p]
from = ["in"]
transforms = [{ module = "mark" }]
to = ["out"]
[sinks.out]
type = "topic"
topic = "out"
"#;
const TOKEN: &str = "a token of this test";

#[test]
fn the_page_uploads_switches_tries_and_deletes_modules() {
    let dir = tempfile::tempdir().unwrap();
    let bare = NodeBuilder::new(&dir.path().join("data")).env("WSTREAM_HTTP_TOKEN", TOKEN);
    let first = letter(dir.path(), 'a', 2);
    let node = bare.start();
    let authorization = format!("Bearer {TOKEN}");
    let answer = node.ask(
        "PUT",
        "/api/v1/transforms/mark",
        &[("authorization", &authorization)],
        &std::fs::read(first).unwrap(),
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    drop(node);
    let config = write(dir.path(), "wstream.toml", PIPELINE);
    let node = bare.file(&config).start();

    install();
    let given = json!({
        "token": TOKEN,
        "files": {
            "next": letter(dir.path(), 'b', 3),
            "last": letter(dir.path(), 'c', 4),
            "text": write(dir.path(), "text.wasm", "text"),
            "filter": project().join("transforms/dist/filter.wasm"),
        },
    });
    let given = write(dir.path(), "given.json", given.to_string());
    let shots = project().join("target/page");
    let base = format!("http://{}", node.http());
    let args = [
        "run.mjs",
        &base,
        given.to_str().unwrap(),
        "--checks",
        "modules",
        "--shots",
        shots.to_str().unwrap(),
    ];
    let output = run("node", &args);
    assert!(output.stdout.contains("checks passed"), "{}", output.stdout);
}
