//! Wrong files and what is said of them.

mod rows;
mod schema;
mod settings;

use std::path::Path;

use super::*;

/// A folder with what the good file names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("data/titles.csv", b"id,title\n1,A\n");
    write(
        "dashboards/netflix.json",
        b"{\"title\":\"t\",\"index\":\"netflix-titles\",\"panels\":[]}",
    );
    write("broken.json", b"{");
    folder
}

fn read_in(folder: &Path, text: &str, once: bool) -> Result<Config, String> {
    let variable = |name: &str| (name == "TOPIC").then(|| "netflix-titles".to_owned());
    read::read(
        &folder.join("w.toml"),
        text.to_owned(),
        LoadOptions { once },
        &variable,
    )
    .map_err(|mut error| {
        error.file = "w.toml".into();
        error
            .to_string()
            .replace(&format!("{}/", folder.display()), "")
    })
}

const GOOD: &str = r#"
[topics.netflix-titles]
partitions = 3
retention = { bytes = "10GiB", age = "30d", by = "record" }

[sources.titles]
type = "csv"
path = "data/titles.csv"
topic = "${TOPIC}"
key = "id"

[pipelines.titles]
from = ["netflix-titles"]
to = ["titles-index", "live"]

[sinks.titles-index]
type = "search"
index = "netflix-titles"

[sinks.live]
type = "dashboard"
dashboard = "netflix"
"#;

#[test]
fn a_good_file_is_read_and_its_paths_start_at_its_folder() {
    let folder = folder();
    let config = read_in(folder.path(), GOOD, true).unwrap();
    let topic = &config.topics[&TopicName::new("netflix-titles").unwrap()];
    assert_eq!(topic.partitions, 3);
    assert_eq!(topic.retention.bytes, Some("10GiB".parse().unwrap()));
    assert_eq!(topic.retention.age, Some("30d".parse().unwrap()));
    assert_eq!(topic.retention.by, Some(RetainBy::Record));
    let source = &config.sources["titles"];
    assert_eq!(source.path(), folder.path().join("data/titles.csv"));
    assert_eq!(source.topic().as_str(), "netflix-titles");
    assert_eq!(config.pipelines["titles"].to, ["titles-index", "live"]);
    assert_eq!(config.sinks["live"].kind(), "dashboard");
}

#[test]
fn everything_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("partitions = 3", "partitions = \"3\"\ncompression = 1")
        .replace("path =", "pth =")
        .replace("\"live\"]", "\"alive\"]");
    let folder = folder();
    let found = read_in(folder.path(), &text, false).unwrap_err();
    let places: Vec<&str> = found
        .lines()
        .filter(|line| !line.starts_with("  hint"))
        .collect();
    assert_eq!(
        places,
        [
            "w.toml:3:14: `partitions` in [topics.netflix-titles] is \"3\", which is not a whole number",
            "w.toml:4:1: unknown key `compression` in [topics.netflix-titles]",
            "w.toml:9:1: unknown key `pth` in [sources.titles]",
            "w.toml:15:23: sink \"alive\" is not declared",
        ]
    );
}

#[test]
fn a_circle_over_two_pipelines_is_found_once() {
    let text = "
[topics.a]
[topics.b]
[pipelines.there]
from = [\"a\"]
to = [\"to-b\"]
[pipelines.back]
from = [\"b\"]
to = [\"to-a\"]
[sinks.to-a]
type = \"topic\"
topic = \"a\"
[sinks.to-b]
type = \"topic\"
topic = \"b\"
";
    let folder = folder();
    let found = read_in(folder.path(), text, false).unwrap_err();
    let wanted = "w.toml:9:6: records would go round for ever: \
        b -> [pipelines.back] -> a -> [pipelines.there] -> b\n  \
        hint: let one of the pipelines write to another topic";
    assert_eq!(found, wanted);
}

#[test]
fn dead_letter_topics_need_no_declaration() {
    let read = GOOD.replace(
        "[sinks.live]",
        "[pipelines.repair]\nfrom = [\"netflix-titles.dlq\"]\nto = [\"live\"]\n[sinks.live]",
    );
    let folder = folder();
    assert!(read_in(folder.path(), &read, false).is_ok());
}

#[test]
fn once_refuses_a_source_that_follows_its_file() {
    let follows = GOOD.replace("key = \"id\"", "follow = true");
    let folder = folder();
    assert!(read_in(folder.path(), &follows, false).is_ok());
    let found = read_in(folder.path(), &follows, true).unwrap_err();
    let wanted = "w.toml:10:10: source \"titles\" follows its file, so a run with --once would never end\n  \
        hint: remove `follow = true`, or run without --once";
    assert_eq!(found, wanted);
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_refused() {
    let folder = folder();
    let load_as_text = |name: &str| {
        load(&folder.path().join(name), LoadOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(load_as_text("none.toml").contains("none.toml: cannot be read: No such file"));
    std::fs::write(folder.path().join("latin1.toml"), b"a = 1\nb = \"\xe4\"\n").unwrap();
    assert!(
        load_as_text("latin1.toml").contains("latin1.toml:2:6: the text is not UTF-8 from here on")
    );
}

/// The smallest module that fits, with outputs.
fn module(outputs: &[&str]) -> Vec<u8> {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "wstream_abi_v1"))
        (func (export "wstream_alloc") (param i32) (result i32) i32.const 0)
        (func (export "wstream_process") (param i32 i32) (result i64) i64.const 0))"#;
    let manifest = format!("name = \"m\"\nversion = \"1\"\noutputs = {outputs:?}");
    let manifest = wstream_guest_package::Manifest::parse(&manifest).unwrap();
    wstream_guest_package::package(&wat::parse_str(text).unwrap(), &manifest).unwrap()
}

#[test]
fn a_module_is_looked_into() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("one.wasm", &module(&["default"]));
    write("two.wasm", &module(&["default", "rejected"]));
    let topics = r#"(module (import "redpanda_transform" "check_abi_version_2" (func))
        (memory (export "memory") 1) (func (export "_start")))"#;
    write("topics.wasm", &wat::parse_str(topics).unwrap());
    write("none.wasm", b"text");
    let rows = [
        ("module = \"one.wasm\"", None),
        (
            "module = \"two.wasm\", outputs = { rejected = [\"live\"] }",
            None,
        ),
        (
            "module = \"topics.wasm\", outputs = { rejected = [\"live\"] }",
            None,
        ),
        (
            "module = \"topics.wasm\", output_topics = [\"a\", \"b\"], outputs = { b = [\"live\"] }",
            None,
        ),
        (
            "module = \"topics.wasm\", output_topics = [\"a\", \"b\"]",
            Some(
                "w.toml:14:26: output \"b\" of topics.wasm goes nowhere\n  \
                 hint: add outputs = { b = [\"a-sink\"] } to the step",
            ),
        ),
        (
            "module = \"two.wasm\"",
            Some(
                "w.toml:14:26: output \"rejected\" of two.wasm goes nowhere\n  \
                 hint: add outputs = { rejected = [\"a-sink\"] } to the step",
            ),
        ),
        (
            "module = \"two.wasm\", outputs = { rejected = [\"live\"], default = [\"live\"] }",
            Some(
                "w.toml:14:81: two.wasm has no further output \"default\"\n  hint: its further outputs: rejected",
            ),
        ),
        (
            "module = \"one.wasm\", outputs = { rejected = [\"live\"] }",
            Some(
                "w.toml:14:61: one.wasm has no further output \"rejected\"\n  \
                 hint: it has only the output that goes on: remove this",
            ),
        ),
        (
            "module = \"none.wasm\"",
            Some(
                "w.toml:14:26: none.wasm: not a WebAssembly module: it begins with 74 65 78 74, a module with the bytes \
                 00 61 73 6d\n  hint: build it with `wstream transform build`, and look at it with \
                 `wstream transform show`",
            ),
        ),
        (
            "module = \"./ones.wasm\"",
            Some("w.toml:14:26: there is no file ./ones.wasm\n  hint: did you mean one.wasm?"),
        ),
    ];
    for (step, wanted) in rows {
        let from = "from = [\"netflix-titles\"]";
        let text = GOOD.replace(from, &format!("{from}\ntransforms = [{{ {step} }}]"));
        let found = read_in(folder.path(), &text, false).err();
        assert_eq!(found.as_deref(), wanted, "{step}");
    }
}
