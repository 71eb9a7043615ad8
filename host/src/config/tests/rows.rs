//! The good file with one part replaced: what is said, word for word, and where.

use super::*;

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
#[expect(clippy::too_many_lines, reason = "a table of rows")]
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
                "  hint: known keys: partitions, retention, max_message_bytes, settings",
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
#[expect(clippy::too_many_lines, reason = "a table of rows")]
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
            "[sinks.live]",
            "[pipelines.again]\nfrom = [\"netflix-titles\"]\nto = [\"titles-index\"]\n[sinks.live]",
            &[
                r#"w.toml:14:6: pipelines "again" and "titles" both bring topic "netflix-titles" to sink "titles-index""#,
                "  hint: give one of them a sink of its own",
            ][..],
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
            "from = [\"netflix-titles\"]\ntransforms = [{ module = \"m@0\", on_failure = \"skp\" }]",
            &[
                r#"w.toml:14:26: "m@0" cannot name a module: use letters, digits, '-', '_' and '.', at most 100"#,
                r#"  hint: write a name, NAME@VERSION, or the path of a file, as in "dist/a.wasm""#,
                r#"w.toml:14:46: `on_failure` in [pipelines.titles] cannot be "skp""#,
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
