//! Wrong files and what is said of them.

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
retention = { bytes = "10GiB", age = "30d" }

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
    let source = &config.sources["titles"];
    assert_eq!(source.path(), folder.path().join("data/titles.csv"));
    assert_eq!(source.topic().as_str(), "netflix-titles");
    assert_eq!(config.pipelines["titles"].to, ["titles-index", "live"]);
    assert_eq!(config.sinks["live"].kind(), "dashboard");
}

/// What is said of the good file with a part replaced.
#[track_caller]
fn refused(replaced: &str, by: &str, wanted: &str) {
    assert!(GOOD.contains(replaced), "{replaced}");
    let text = GOOD.replacen(replaced, by, 1);
    let folder = folder();
    let found = read_in(folder.path(), &text, false).expect_err(&text);
    assert!(
        found == wanted,
        "in\n{text}\nfound\n{found}\nwanted\n{wanted}"
    );
}

#[test]
fn what_is_misspelled_missing_or_of_the_wrong_kind_has_a_place_and_a_hint() {
    let rows = [
        (
            "partitions = 3",
            "partition = 3",
            &[
                "w.toml:3:1: unknown key `partition` in [topics.netflix-titles]",
                "  hint: did you mean `partitions`?",
            ][..],
        ),
        (
            "partitions = 3",
            "colour = 3",
            &[
                "w.toml:3:1: unknown key `colour` in [topics.netflix-titles]",
                "  hint: known keys: partitions, retention, max_message_bytes",
            ][..],
        ),
        (
            "[sinks.live]",
            "[sink.live]",
            &[
                "w.toml:20:2: unknown section `sink`",
                "  hint: did you mean `sinks`?",
            ][..],
        ),
        (
            "[sinks.live]",
            "[outlets.live]",
            &[
                r#"w.toml:14:23: sink "live" is not declared"#,
                "  hint: add [sinks.live]",
                "w.toml:20:2: unknown section `outlets`",
                "  hint: known sections: [topics.NAME], [sources.NAME], [pipelines.NAME], [sinks.NAME]",
            ][..],
        ),
        (
            r#"type = "csv""#,
            r#"type = "cvs""#,
            &[
                r#"w.toml:7:8: `type` in [sources.titles] cannot be "cvs""#,
                r#"  hint: did you mean "csv"?"#,
            ][..],
        ),
        (
            "type = \"csv\"\n",
            "",
            &[
                "w.toml:6:10: missing key `type` in [sources.titles]",
                "  hint: known types: csv, jsonl",
            ][..],
        ),
        (
            r#"type = "csv""#,
            "type = 7",
            &[
                "w.toml:7:8: `type` in [sources.titles] is 7, which is not a string",
                "  hint: known types: csv, jsonl",
            ][..],
        ),
        (
            "path = \"data/titles.csv\"\n",
            "",
            &[
                "w.toml:6:10: missing key `path` in [sources.titles]",
                "  hint: add `path = ...`",
            ][..],
        ),
        (
            "path =",
            "pth =",
            &[
                "w.toml:8:1: unknown key `pth` in [sources.titles]",
                "  hint: did you mean `path`?",
            ][..],
        ),
        (
            "partitions = 3",
            r#"partitions = "3""#,
            &[
                r#"w.toml:3:14: `partitions` in [topics.netflix-titles] is "3", which is not a whole number"#,
                "  hint: write a whole number",
            ][..],
        ),
        (
            r#"age = "30d""#,
            "age = 30",
            &[
                "w.toml:4:38: `age` in [topics.netflix-titles] is 30, which is not a duration",
                r#"  hint: write a duration such as "500ms" or "30d""#,
            ][..],
        ),
        (
            r#""10GiB""#,
            r#""10 gibs""#,
            &[
                r#"w.toml:4:23: `bytes` in [topics.netflix-titles]: "10 gibs" is not a size"#,
                r#"  hint: write a whole number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, as in "10GiB""#,
            ][..],
        ),
        (
            r#"to = ["titles-index", "live"]"#,
            r#"to = "live""#,
            &[
                r#"w.toml:14:6: `to` in [pipelines.titles] is "live", which is not a list"#,
                r#"  hint: write a list, as in ["a", "b"]"#,
            ][..],
        ),
        (
            r#"key = "id""#,
            "key = [1,\n 2]",
            &[
                "w.toml:10:7: `key` in [sources.titles] is [1,..., which is not a string",
                "  hint: write a string",
            ][..],
        ),
        (
            "[topics.netflix-titles]\npartitions = 3",
            "[topics]\nnetflix-titles = 3\n[topics.x]",
            &[
                "w.toml:3:1: `netflix-titles` in [topics] is not a table",
                "  hint: write [topics.netflix-titles] and its keys below",
            ][..],
        ),
        (
            "[sinks.live]",
            "[sinks.\"a b\"]\ntype = \"stdout\"\n[sinks.live]",
            &[
                r#"w.toml:20:8: "a b" cannot name one of the sinks"#,
                "  hint: use 1 to 100 of a-z, A-Z, 0-9, '.', '_', '-'",
            ][..],
        ),
        (
            "[topics.netflix-titles]",
            "[topics.\"a b\"]\n[topics.netflix-titles]",
            &[
                r#"w.toml:2:9: "a b" cannot name a topic: use 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-', and not '.' or '..'"#,
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            r#"from = ["net flix"]"#,
            &[
                r#"w.toml:13:8: `from` in [pipelines.titles]: "net flix" cannot name a topic"#,
                "  hint: use 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-', and not '.' or '..'",
            ][..],
        ),
        (
            r#"key = "id""#,
            r#"key = "id"#,
            &[
                r#"w.toml:10:10: invalid basic string, expected `"`"#,
                "  hint: see https://toml.io for the syntax",
            ][..],
        ),
        (
            r#"key = "id""#,
            "key = \"id\"\nkey = \"b\"",
            &[
                "w.toml:11:1: `key` is here twice",
                "  hint: remove one, or merge the two",
            ][..],
        ),
        (
            r#"key = "id""#,
            r#"key = "a ${HOST} ${TOPIC} ${X:?say which}""#,
            &[
                "w.toml:10:10: the environment variable `HOST` is not set",
                "  hint: set the environment variable `HOST`, or write `${HOST:-default}`",
                "w.toml:10:27: `X` is not set: say which",
                "  hint: set the environment variable `X`",
            ][..],
        ),
    ];
    for (replaced, by, wanted) in rows {
        refused(replaced, by, &wanted.join("\n"));
    }
}

#[test]
fn what_the_parts_say_of_each_other_and_of_files_is_checked() {
    let rows = [
        (
            r#"topic = "${TOPIC}""#,
            r#"topic = "netflix-title""#,
            &[
                r#"w.toml:9:9: topic "netflix-title" is not declared"#,
                r#"  hint: did you mean "netflix-titles"? else add [topics.netflix-title]"#,
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            r#"from = ["netflix-titles", "some.thing"]"#,
            &[
                r#"w.toml:13:27: topic "some.thing" is not declared"#,
                r#"  hint: add [topics."some.thing"]"#,
            ][..],
        ),
        (
            r#"to = ["titles-index", "live"]"#,
            r#"to = ["title-index", "live"]"#,
            &[
                r#"w.toml:14:7: sink "title-index" is not declared"#,
                r#"  hint: did you mean "titles-index"? else add [sinks.title-index]"#,
            ][..],
        ),
        (
            r#"to = ["titles-index", "live"]"#,
            r#"to = ["netflix-titles"]"#,
            &[
                r#"w.toml:14:7: sink "netflix-titles" is not declared"#,
                r#"  hint: "netflix-titles" is a topic: add [sinks.netflix-titles] with type = "topic", topic = "netflix-titles""#,
            ][..],
        ),
        (
            r#"to = ["titles-index", "live"]"#,
            r#"to = ["live", "live"]"#,
            &[
                r#"w.toml:14:15: "live" is named twice"#,
                "  hint: name it once",
            ][..],
        ),
        (
            "to = [\"titles-index\", \"live\"]\n",
            "",
            &[
                r#"w.toml:12:12: pipeline "titles" has no sink"#,
                r#"  hint: name a sink, as in to = ["my-sink"]"#,
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            "from = []",
            &[
                r#"w.toml:13:8: pipeline "titles" reads no topic"#,
                r#"  hint: name a topic, as in from = ["my-topic"]"#,
            ][..],
        ),
        (
            r#"path = "data/titles.csv""#,
            r#"path = "data/title.csv""#,
            &[
                "w.toml:8:8: there is no file data/title.csv",
                "  hint: did you mean data/titles.csv?",
            ][..],
        ),
        (
            r#"path = "data/titles.csv""#,
            r#"path = "data""#,
            &["w.toml:8:8: data is a folder", "  hint: name a file"][..],
        ),
        (
            r#"dashboard = "netflix""#,
            r#"dashboard = "netflx""#,
            &[
                "w.toml:22:13: there is no file dashboards/netflx.json",
                "  hint: did you mean dashboards/netflix.json?",
            ][..],
        ),
        (
            r#"dashboard = "netflix""#,
            r#"dashboard = "../broken""#,
            &[
                r#"w.toml:22:13: "../broken" cannot name a dashboard"#,
                "  hint: write NAME for dashboards/NAME.json beside this file",
            ][..],
        ),
        (
            "partitions = 3",
            "partitions = 0",
            &[
                r#"w.toml:3:14: topic "netflix-titles" cannot have 0 partitions"#,
                "  hint: write a number from 1 to 1000",
            ][..],
        ),
        (
            r#"index = "netflix-titles""#,
            r#"index = "Titles""#,
            &[
                r#"w.toml:18:9: "Titles" cannot name an index: it has 'T'"#,
                "  hint: write lower-case letters, digits, '-', '_' and '.', and a letter or digit first",
            ][..],
        ),
        (
            r#"index = "netflix-titles""#,
            r#"index = "t-%{yyyy}""#,
            &[
                r#"w.toml:18:9: "%{yyyy}" in "t-%{yyyy}" is not a date pattern"#,
                r#"  hint: write a date as in "logs-%{+yyyyMMdd}""#,
            ][..],
        ),
        (
            r#"index = "netflix-titles""#,
            "index = \"t\"\nid = \"title\"",
            &[
                r#"w.toml:19:6: "title" is no place for a document's id"#,
                r#"  hint: write "key" for the record's key, or "$.field" for a field of its value"#,
            ][..],
        ),
        (
            "[sinks.live]",
            "[sinks.other]\ntype = \"search\"\nindex = \"netflix-titles\"\n[sinks.live]",
            &[
                r#"w.toml:22:9: sinks "titles-index" and "other" have the same index, "netflix-titles""#,
                r#"  hint: name sink "titles-index" in both pipelines, or choose another index"#,
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            "from = [\"netflix-titles\"]\ntransforms = [{ module = \"m\", on_failure = \"skp\" }]",
            &[
                r#"w.toml:14:26: no module is registered as "m""#,
                r#"  hint: write the path of a file, as in "transforms/dist/m.wasm""#,
                r#"w.toml:14:44: `on_failure` in [pipelines.titles] cannot be "skp""#,
                "  hint: did you mean `skip`?",
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            "from = [\"netflix-titles\"]\ntransforms = [{ module = \"transforms/dist/m.wasm\", outputs = { rejected = [\"lve\"] } }]",
            &[
                "w.toml:14:26: there is no file transforms/dist/m.wasm",
                "  hint: build it with `scripts/guests.sh m`",
                r#"w.toml:14:76: sink "lve" is not declared"#,
                r#"  hint: did you mean "live"? else add [sinks.lve]"#,
            ][..],
        ),
        (
            r#"from = ["netflix-titles"]"#,
            "from = [\"netflix-titles\"]\ndead_letter = \"netflix-titles\"",
            &[
                r#"w.toml:14:15: pipeline "titles" would read its own dead letters from "netflix-titles""#,
                "  hint: name another topic in `dead_letter`",
            ][..],
        ),
        (
            "[sinks.live]\ntype = \"dashboard\"\ndashboard = \"netflix\"",
            "[sinks.live]\ntype = \"topic\"\ntopic = \"netflix-titles\"",
            &[
                "w.toml:14:6: records would go round for ever: netflix-titles -> [pipelines.titles] -> netflix-titles",
                "  hint: let one of the pipelines write to another topic",
            ][..],
        ),
        (
            r#"key = "id""#,
            "row_bytes_max = \"1B\"\nfollow = true",
            &[
                "w.toml:10:17: row_bytes_max is 1B",
                "  hint: write a size from 256B to 64MiB",
            ][..],
        ),
    ];
    for (replaced, by, wanted) in rows {
        refused(replaced, by, &wanted.join("\n"));
    }
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

#[test]
fn the_schema_describes_what_is_read() {
    let schema = schema();
    let sources = schema["$defs"]["SourceConfig"]["oneOf"].as_array().unwrap();
    let kinds: Vec<&str> = sources
        .iter()
        .filter_map(|s| s["properties"]["type"]["const"].as_str())
        .collect();
    assert_eq!(kinds, ["csv", "jsonl"]);
    assert_eq!(schema["additionalProperties"], false);
}
