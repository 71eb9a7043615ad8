//! The command line as a user meets it: exit codes, what goes where, a topic from end to end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::harness::{NodeBuilder, Output, project, write, wstream};

/// A command with something to read.
fn fed(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), "good.toml", "[topics.t]\n");
    let bad = write(dir.path(), "bad.toml", "[topics.t]\npartitons = 3\n");
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let rows: &[(&[&str], i32, &str)] = &[
        (&["--version"], 0, ""),
        (&["check", good], 0, ""),
        (&["check", bad], 78, "did you mean `partitions`?"),
        (&["check", "none.toml"], 78, "none.toml: cannot be read"),
        (&["run", bad], 78, "did you mean `partitions`?"),
        (&["chekc"], 2, "a similar subcommand exists: 'check'"),
        (
            &["run", "--htpp", "x"],
            2,
            "a similar argument exists: '--http'",
        ),
        (&["topic", "create", "a b"], 2, "cannot name a topic"),
        (
            &["topic", "create", "a", "--retention-age", "30"],
            2,
            "is not a duration",
        ),
        (&["check"], 2, "required"),
        (
            &["transform", "show", "none.wasm"],
            1,
            "cannot read none.wasm",
        ),
        (
            &["topic", "list", "--node", "https://x"],
            1,
            "TLS is not spoken",
        ),
        (
            &["topic", "list", "--node", "127.0.0.1:1"],
            1,
            "start one with `wstream run`",
        ),
    ];
    for (arguments, code, said) in rows {
        let output = Output::of(wstream(*arguments).current_dir(dir.path()));
        assert_eq!(output.code, *code, "{arguments:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(said),
            "{arguments:?}: no {said:?} in {}",
            output.stderr
        );
    }
}

#[test]
fn check_counts_what_a_good_file_declares_and_says_every_mistake_of_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[topics.a]\n[topics.b]\n[pipelines.p]\nfrom = [\"a\"]\nto = [\"s\"]\n[sinks.s]\ntype = \"topic\"\ntopic = \"b\"\n";
    write(dir.path(), "good.toml", text);
    let check = |name| Output::of(wstream(["check", name]).current_dir(dir.path()));
    assert_eq!(
        check("good.toml").stdout,
        "good.toml: ok (2 topics, 0 sources, 1 pipeline, 1 sink)\n"
    );
    write(
        dir.path(),
        "bad.toml",
        text.replace("\"a\"", "\"c\"")
            .replace("topic = \"b\"", "topc = \"b\""),
    );
    let wanted = "\
bad.toml:4:9: topic \"c\" is not declared
  hint: add [topics.c]
bad.toml:8:1: unknown key `topc` in [sinks.s]
  hint: did you mean `topic`?
";
    let bad = check("bad.toml");
    assert_eq!((bad.stdout.as_str(), bad.stderr.as_str()), ("", wanted));
}

#[test]
fn every_command_has_help_with_examples() {
    let commands: &[&[&str]] = &[
        &[],
        &["run"],
        &["check"],
        &["topic"],
        &["topic", "list"],
        &["topic", "describe"],
        &["topic", "create"],
        &["topic", "delete"],
        &["produce"],
        &["consume"],
        &["search"],
        &["transform"],
        &["transform", "new"],
        &["transform", "build"],
        &["transform", "test"],
        &["transform", "show"],
        &["bench", "log"],
        &["bench", "pipeline"],
        &["completion"],
    ];
    for command in commands {
        let output = Output::of(&mut wstream(command.iter().chain(&["--help"])));
        assert_eq!(output.code, 0, "{command:?}");
        assert!(
            output.stdout.contains("Examples:\n  "),
            "{command:?}:\n{}",
            output.stdout
        );
    }
}

#[test]
fn shells_get_their_completions() {
    for (shell, word) in [
        ("bash", "complete"),
        ("zsh", "#compdef wstream"),
        ("fish", "complete -c wstream"),
    ] {
        let output = Output::of(&mut wstream(["completion", shell]));
        assert!(
            output.code == 0 && output.stdout.contains(word),
            "{shell}: {}",
            output.stdout
        );
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let mut child = wstream(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Dropping the pipe after one line is what `| head -1` does.
    BufReader::with_capacity(16, child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_topic_from_end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let address = format!("http://{}", node.http());
    let ours = |arguments: &[&str]| {
        let mut command = wstream(arguments);
        command.env("WSTREAM_NODE", &address);
        command
    };
    let said = |arguments: &[&str]| {
        let output = Output::of(&mut ours(arguments));
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        output.stdout
    };
    let created = said(&[
        "topic",
        "create",
        "pairs",
        "--partitions",
        "2",
        "--retention-bytes",
        "1GiB",
    ]);
    assert_eq!(created, "created pairs with 2 partitions\n");
    let twice = Output::of(&mut ours(&["topic", "create", "pairs"]));
    assert!(
        twice.code == 1 && twice.stderr.contains("pairs"),
        "{}",
        twice.stderr
    );
    let produced = fed(
        &mut ours(&["produce", "pairs", "-p", "1", "--key-separator", ":"]),
        "k1:v1\nk2:v2\n",
    );
    assert_eq!(
        (produced.code, produced.stderr.as_str()),
        (0, "2 records to pairs\n")
    );
    let json =
        r#"{"key":"k3","timestamp":1795255200042,"value_json":{ "n": 1.0 },"headers":[["h","x"]]}"#;
    let produced = fed(
        &mut ours(&["produce", "pairs", "--partition", "0", "--json"]),
        json,
    );
    assert_eq!(produced.code, 0, "{}", produced.stderr);
    assert_eq!(said(&["consume", "pairs", "-p", "1"]), "v1\nv2\n");
    assert_eq!(
        said(&["consume", "pairs", "-p", "1", "--offset", "1"]),
        "v2\n"
    );
    assert_eq!(said(&["consume", "pairs", "-p", "1", "--max", "1"]), "v1\n");
    let metadata = said(&["consume", "pairs", "-p", "0", "--metadata"]);
    assert_eq!(
        metadata,
        "0\t0\t2026-11-21T10:00:00.042Z\tk3\t{\"n\":1.0}\n"
    );
    let line = said(&["consume", "pairs", "-p", "0", "--format", "json"]);
    let wanted = r#"{"topic":"pairs","partition":0,"offset":0,"timestamp":1795255200042,"key":"k3","value":"{\"n\":1.0}","headers":[["h","x"]]}"#;
    assert_eq!(line.trim_end(), wanted);
    assert!(
        said(&["topic", "list"]).contains("pairs           2        3"),
        "{}",
        said(&["topic", "list"])
    );
    let altered = said(&[
        "topic",
        "alter",
        "pairs",
        "--retention-by",
        "record",
        "--set",
        "segment.ms=3600000",
        "--unset",
        "retention.bytes",
    ]);
    assert!(altered.starts_with("altered pairs\n"), "{altered}");
    assert!(altered.contains("segment.bytes        33554432  default, changes nothing"));
    for row in [
        "retention.by         record    set",
        "segment.ms           3600000   set",
        "retention.bytes      -1        default",
    ] {
        assert!(altered.contains(row), "{row}\n{altered}");
    }
    for arguments in [
        ["topic", "alter", "pairs", "--set", "segment.bytes=1048576"],
        [
            "topic",
            "create",
            "thirds",
            "--set",
            "segment.bytes=1048576",
        ],
    ] {
        let warned = Output::of(&mut ours(&arguments));
        let warning = "warning: segment.bytes is kept and changes nothing: all partitions share";
        assert!(warned.stderr.starts_with(warning), "{}", warned.stderr);
        assert_eq!(warned.code, 0);
    }
    let shown = said(&["topic", "describe", "thirds"]);
    let row = "segment.bytes        1048576    set, changes nothing";
    assert!(shown.contains(row), "{shown}");
    let refused = Output::of(&mut ours(&["topic", "alter", "pairs", "--partitions", "1"]));
    assert!(
        refused.stderr.contains("2 partitions"),
        "{}",
        refused.stderr
    );
    let refused = Output::of(&mut ours(&["topic", "alter", "pairs", "--set", "a.b=1"]));
    assert!(
        refused.stderr.contains("there is no such setting"),
        "{}",
        refused.stderr
    );
    let described = said(&["topic", "describe", "pairs"]);
    assert!(described.starts_with("pairs: 3 records, "), "{described}");
    let missing = Output::of(&mut ours(&["consume", "pears"]));
    assert!(
        missing.code == 1 && missing.stderr.contains("there is no topic \"pears\""),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_topic_is_deleted_for_good_unless_the_file_declares_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "w.toml", "[topics.declared]\n");
    let node = NodeBuilder::new(&dir.path().join("data"))
        .file(&file)
        .start();
    let address = format!("http://{}", node.http());
    let ours = |arguments: &[&str]| {
        Output::of(&mut wstream(arguments.iter().chain(&["--node", &address])))
    };
    assert_eq!(ours(&["topic", "create", "clicks"]).code, 0);
    let deleted = ours(&["topic", "delete", "clicks"]);
    assert_eq!(
        (deleted.code, deleted.stdout.as_str()),
        (0, "deleted clicks\n"),
        "{}",
        deleted.stderr
    );
    let rows: [(&[&str], &str); 4] = [
        (&["consume", "clicks"], "there is no topic \"clicks\""),
        (
            &["topic", "delete", "clicks"],
            "cannot delete clicks: there is no topic \"clicks\"\n  hint: list what there is",
        ),
        (
            &["topic", "delete", "declared"],
            "cannot delete declared: topic declared is declared in the configuration file\n  \
             hint: take it out of the file and reload; then delete it",
        ),
        (&["topic", "delete", "__consumer_offsets"], "is internal"),
    ];
    for (arguments, wanted) in rows {
        let refused = ours(arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
        assert!(refused.stderr.contains(wanted), "{}", refused.stderr);
    }
}

#[test]
fn following_shows_a_record_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let address = format!("http://{}", node.http());
    let ours = |arguments: &[&str]| {
        let mut command = wstream(arguments);
        command.args(["--node", &address]);
        command
    };
    assert_eq!(Output::of(&mut ours(&["topic", "create", "t"])).code, 0);
    let arguments = ["consume", "t", "--follow", "--from-beginning"];
    let mut follower = ours(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    for text in ["first", "second"] {
        assert_eq!(fed(&mut ours(&["produce", "t"]), text).code, 0);
        assert_eq!(lines.next().unwrap().unwrap(), text);
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn following_ends_with_an_error_when_the_topic_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeBuilder::new(dir.path()).start();
    let address = format!("http://{}", node.http());
    let ours = |arguments: &[&str]| {
        let mut command = wstream(arguments);
        command.args(["--node", &address]);
        command
    };
    assert_eq!(Output::of(&mut ours(&["topic", "create", "t"])).code, 0);
    assert_eq!(fed(&mut ours(&["produce", "t"]), "first").code, 0);
    let mut follower = ours(&["consume", "t", "--follow", "--from-beginning"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    for arguments in [["topic", "delete", "t"], ["topic", "create", "t"]] {
        assert_eq!(Output::of(&mut ours(&arguments)).code, 0);
    }
    assert_eq!(fed(&mut ours(&["produce", "t"]), "another").code, 0);
    assert!(lines.next().is_none(), "the new topic is followed");
    let output = follower.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("topic t was deleted while it was read\n  hint:"),
        "{said}"
    );
}

#[test]
fn the_examples_are_good_files() {
    // The catalogue of the demo is made when the demo runs.
    let dir = tempfile::tempdir().unwrap();
    let csv = write(dir.path(), "some.csv", "id\n1\n");
    let mut checked = 0;
    for folder in std::fs::read_dir(project().join("examples")).unwrap() {
        let file = folder.unwrap().path().join("wstream.toml");
        if file.exists() {
            let mut command = wstream(["check"]);
            let output = Output::of(command.arg(&file).env("TITLES", &csv).env("CREDITS", &csv));
            assert_eq!(output.code, 0, "{}", output.stderr);
            checked += 1;
        }
    }
    assert!(checked > 0, "there is no example");
}
