use std::io::Write as _;

use tempfile::TempDir;
use wstream_record::TopicName;

use super::*;
use crate::sources::conformance::{self, Given, read_all, rows, take};
use crate::sources::{CsvConfig, JsonlConfig};

struct Input {
    folder: TempDir,
}

impl Input {
    fn new(content: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let input = Self { folder };
        input.write(content);
        input
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("in.txt")
    }

    fn write(&self, content: &[u8]) {
        std::fs::write(self.path(), content).unwrap();
    }

    fn append(&self, content: &[u8]) {
        let mut file = File::options().append(true).open(self.path()).unwrap();
        file.write_all(content).unwrap();
    }

    fn csv(&self) -> CsvConfig {
        CsvConfig::new(self.path(), TopicName::new("t").unwrap())
    }

    fn jsonl(&self) -> JsonlConfig {
        JsonlConfig::new(self.path(), TopicName::new("t").unwrap())
    }
}

fn read(config: SourceConfig) -> Vec<Given> {
    let mut source = open(&config, None).unwrap().source;
    read_all(source.as_mut(), usize::MAX)
}

fn records(given: &[Given]) -> Vec<&str> {
    given
        .iter()
        .filter(|g| !g.0)
        .map(|g| g.2.as_str())
        .collect()
}

/// (line and code, raw row) of dead letters.
fn dead_letters(given: &[Given]) -> Vec<(&str, &str)> {
    given
        .iter()
        .filter(|g| g.0)
        .map(|g| (g.3.as_str(), g.2.as_str()))
        .collect()
}

#[test]
fn hostile_csv_gives_exactly_these_records_and_dead_letters() {
    type Want = (
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
    );
    let rows: [(&[u8], Want); 14] = [
        (b"a,b\n1,2\n", (&[r#"{"a":"1","b":"2"}"#], &[])),
        (
            b"\xef\xbb\xbfa,b\r\n1,2\r\n",
            (&[r#"{"a":"1","b":"2"}"#], &[]),
        ),
        (b"\n\na,b\n\n1,2", (&[r#"{"a":"1","b":"2"}"#], &[])),
        (
            b"a,b\n1\n1,2\n1,2,3\n\n4,5\n",
            (
                &[r#"{"a":"1","b":"2"}"#, r#"{"a":"4","b":"5"}"#],
                &[("2 columns", "1"), ("4 columns", "1,2,3")],
            ),
        ),
        (
            b"a,b\n\"x\ny\",1\n\xff,2\n\"x\n\xe9\",3\n5,6\n",
            (
                &[r#"{"a":"x\ny","b":"1"}"#, r#"{"a":"5","b":"6"}"#],
                &[("4 utf8", "\u{fffd},2"), ("5 utf8", "\"x\n\u{fffd}\",3")],
            ),
        ),
        (
            b"a,b\n1,2\n3,\"4\n5,6\n7,8",
            (
                &[
                    r#"{"a":"1","b":"2"}"#,
                    r#"{"a":"5","b":"6"}"#,
                    r#"{"a":"7","b":"8"}"#,
                ],
                &[("3 open_quote", "3,\"4")],
            ),
        ),
        (b"a,b\n1,\"", (&[], &[("2 open_quote", "1,\"")])),
        (
            b"a,a,\n1,2,3\n",
            (&[r#"{"a":"1","a_2":"2","column_3":"3"}"#], &[]),
        ),
        (
            b"a\n\"\"\n\"\n",
            (&[r#"{"a":""}"#], &[("3 open_quote", "\"")]),
        ),
        (b"a;b\n1;2\n", (&[r#"{"a;b":"1;2"}"#], &[])),
        (
            b"a,b\r1,2\r3,4",
            (&[r#"{"a":"1","b":"2"}"#, r#"{"a":"3","b":"4"}"#], &[]),
        ),
        (
            b"a,b\n\0,\x07\n",
            (&["{\"a\":\"\\u0000\",\"b\":\"\\u0007\"}"], &[]),
        ),
        (b"a,b\n", (&[], &[])),
        (b"", (&[], &[])),
    ];
    for (content, (good, bad)) in rows {
        let input = Input::new(content);
        let given = read(SourceConfig::Csv(input.csv()));
        let text = String::from_utf8_lossy(content);
        assert_eq!(records(&given), good, "{text:?}");
        assert_eq!(dead_letters(&given), bad, "{text:?}");
    }
}

#[test]
fn rows_above_the_bound_lose_their_first_line_only() {
    let long = "y".repeat(300);
    let content = format!("a,b\n1,2\n\"{long}\n3,4\nx\",5\n6,{long}{long}\n7,8\n");
    let input = Input::new(content.as_bytes());
    let mut config = input.csv();
    config.row_bytes_max = Size(ByteSize(300));
    let given = read(SourceConfig::Csv(config));
    let good = [
        r#"{"a":"1","b":"2"}"#,
        r#"{"a":"3","b":"4"}"#,
        r#"{"a":"x\"","b":"5"}"#,
    ];
    assert_eq!(
        records(&given),
        [&good[..], &[r#"{"a":"7","b":"8"}"#]].concat()
    );
    let first = format!("\"{long}");
    let kept = format!("6,{}", &long[..298]);
    assert_eq!(
        dead_letters(&given),
        [("3 row_size", &first[..]), ("6 row_size", &kept)]
    );
}

#[test]
fn settings_of_csv_are_honoured() {
    let input = Input::new(b"1;x;2026-11-21\n;y;\n3;z;soon\n");
    let mut config = input.csv();
    config.delimiter = ';';
    config.columns = Some(vec!["id".into(), "v".into(), "at".into()]);
    config.key = Some("id".into());
    config.timestamp = Some("at".into());
    let given = read(SourceConfig::Csv(config));
    let keys: Vec<_> = given.iter().map(|g| g.1.as_deref()).collect();
    assert_eq!(keys, [Some("1"), None, None]);
    assert_eq!(dead_letters(&given), [("3 timestamp", "3;z;soon")]);
}

#[test]
fn lines_are_values_and_keys_come_from_fields() {
    let input =
        Input::new(b"{\"id\":7,\"u\":{\"n\":\"x\"}}\r\n\n{\"id\":null}\nnot json\n\xff\n{\"u\":1}");
    let mut config = input.jsonl();
    let lines = [
        r#"{"id":7,"u":{"n":"x"}}"#,
        r#"{"id":null}"#,
        "not json",
        r#"{"u":1}"#,
    ];
    let given = read(SourceConfig::Jsonl(config.clone()));
    assert_eq!(records(&given), lines);
    assert_eq!(dead_letters(&given), [("5 utf8", "\u{fffd}")]);
    config.key = Some("$.u.n".into());
    let given = read(SourceConfig::Jsonl(config));
    let keys: Vec<_> = given
        .iter()
        .filter(|g| !g.0)
        .map(|g| g.1.as_deref())
        .collect();
    assert_eq!(keys, [Some("x"), None, None]);
    assert_eq!(
        dead_letters(&given),
        [("4 json", "not json"), ("5 utf8", "\u{fffd}")]
    );
}

#[test]
fn files_that_are_no_text_are_refused_with_what_to_do() {
    let rows: [(&[u8], &str); 7] = [
        (
            b"\xff\xfea\0,\0b\0\n\0",
            "is UTF-16 (it begins with FF FE), not UTF-8; convert it with",
        ),
        (b"\xfe\xff\0a\0,", "is UTF-16 (it begins with FE FF)"),
        (b"a\0,\0b\0", "every second byte is 0"),
        (
            b"\x1f\x8b\x08\0",
            "is gzip data; decompress it with `gzip -d /",
        ),
        (b"PK\x03\x04", "is a zip archive"),
        (
            b"a,\xe9\n1,2\n",
            "the header row is not UTF-8: byte 0xe9 at its place 2",
        ),
        (
            b"a,\"b\n1,2\n",
            "the header row does not end within the file or 1MiB",
        ),
    ];
    for (content, message) in rows {
        let input = Input::new(content);
        let mut source = open(&SourceConfig::Csv(input.csv()), None).unwrap().source;
        let error = source.read(&mut self::rows(1)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let input = Input::new(b"a,b\n1,2\n");
    let mut config = input.csv();
    config.key = Some("c".into());
    let mut source = open(&SourceConfig::Csv(config), None).unwrap().source;
    let error = source.read(&mut self::rows(1)).unwrap_err().to_string();
    assert!(
        error.ends_with("no column \"c\" in the header row; its columns are: a, b"),
        "{error}"
    );
}

#[test]
fn files_conform_from_every_position() {
    let csv = b"\xef\xbb\xbf\r\nid,v\r\n1,\"a\r\nb\"\r\n\r\n2\r\n3,\"\"\"q\"\"\"\r\n\xff,x\r\n4,\"open\r\n5,z";
    let input = Input::new(csv);
    let mut config = input.csv();
    config.key = Some("id".into());
    let config = SourceConfig::Csv(config);
    conformance::check(|position| open(&config, position));

    let long = "x".repeat(1_000);
    let input = Input::new(format!("{{}}\n\n{long}\n{{\"a\":1}}\n{long}").as_bytes());
    let mut config = input.jsonl();
    config.row_bytes_max = Size(ByteSize(300));
    let config = SourceConfig::Jsonl(config);
    conformance::check(|position| open(&config, position));
}

/// A followed file: whatever pieces it grows in, rows come whole, once, and none is lost.
#[test]
fn a_growing_file_gives_the_same_rows_in_any_pieces() {
    let content = "id,v\n1,\"a\n\u{e4}\"\n2,\"\"\"\"\r\n\n3\n4,\u{1f600}\n";
    let input = Input::new(content.as_bytes());
    let whole = read(SourceConfig::Csv(input.csv()));
    assert_eq!(whole.len(), 4);
    for piece in 1..9 {
        let input = Input::new(b"");
        let mut config = input.csv();
        config.follow = true;
        let mut source = open(&SourceConfig::Csv(config), None).unwrap().source;
        let mut rows = rows(1);
        let mut given = Vec::new();
        for part in content.as_bytes().chunks(piece) {
            input.append(part);
            while source.read(&mut rows).unwrap() == Reading::More {
                given.extend(take(&mut rows));
            }
            given.extend(take(&mut rows));
        }
        assert_eq!(given.len(), 4, "in pieces of {piece}: {given:?}");
        given.sort();
        let mut want = whole.clone();
        want.sort();
        assert_eq!(given, want, "in pieces of {piece}");
    }
}

#[test]
fn an_open_quote_at_the_end_of_a_followed_file_waits() {
    let input = Input::new(b"a,b\n1,\"x\n");
    let mut config = input.csv();
    config.follow = true;
    let mut source = open(&SourceConfig::Csv(config), None).unwrap().source;
    let mut rows = rows(usize::MAX);
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(take(&mut rows), []);
    input.append(b"y\"\n");
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(records(&take(&mut rows)), [r#"{"a":"1","b":"x\ny"}"#]);
}

#[test]
fn a_file_that_is_renamed_away_is_read_to_its_end_first() {
    let input = Input::new(b"one\n");
    let mut config = input.jsonl();
    config.follow = true;
    let config = SourceConfig::Jsonl(config);
    let mut source = open(&config, None).unwrap().source;
    let mut rows = rows(usize::MAX);
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    let old = input.folder.path().join("in.txt.1");
    std::fs::rename(input.path(), &old).unwrap();
    let position = source.position().unwrap();
    // The writer has not noticed yet.
    std::fs::write(&old, b"one\ntwo\nthree").unwrap();
    input.write(b"four\n");
    let mut reads = Vec::new();
    while reads.last() != Some(&Reading::Turned) {
        reads.push(source.read(&mut rows).unwrap());
        assert!(reads.len() < 20, "{reads:?}");
    }
    assert_eq!(records(&take(&mut rows)), ["one", "two", "three"]);
    let turned = source.position().unwrap();
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(records(&take(&mut rows)), ["four"]);

    // After a kill before the rename was noticed, the old file is found under its new name.
    let mut source = open(&config, Some(&position)).unwrap().source;
    while source.read(&mut rows).unwrap() != Reading::Turned {}
    assert_eq!(records(&take(&mut rows)), ["two", "three"]);
    // After one between the two files, the new file begins.
    let mut source = open(&config, Some(&turned)).unwrap().source;
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(records(&take(&mut rows)), ["four"]);
}

#[test]
fn a_truncated_file_has_to_be_opened_again_and_then_begins_anew() {
    let input = Input::new(b"one\ntwo\n");
    let mut config = input.jsonl();
    config.follow = true;
    let config = SourceConfig::Jsonl(config);
    let mut source = open(&config, None).unwrap().source;
    let mut rows = rows(usize::MAX);
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    let position = source.position().unwrap();
    input.write(b"new\n");
    let error = source.read(&mut rows).unwrap_err();
    assert!(matches!(error, SourceError::Changed(_)), "{error}");
    take(&mut rows);
    let opened = open(&config, Some(&position)).unwrap();
    assert!(
        opened
            .anew
            .unwrap()
            .ends_with("is not the file that was read before")
    );
    let mut source = opened.source;
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(records(&take(&mut rows)), ["new"]);
}

#[test]
fn a_file_that_grew_goes_on_and_one_that_was_replaced_begins_anew() {
    let before: String = (0..1_000).map(|n| format!("{n}\n")).collect();
    let input = Input::new(before.as_bytes());
    let config = SourceConfig::Jsonl(input.jsonl());
    let mut source = open(&config, None).unwrap().source;
    assert_eq!(read_all(source.as_mut(), usize::MAX).len(), 1_000);
    let position = source.position().unwrap();
    // content, whether it is the same file
    let rows = [
        (format!("{before}x\n"), true),
        (before.clone(), true),
        (before.replace("\n0\n", "\n9\n"), true),
        (before.replace("500\n", "5OO\n"), true),
        (before.replace("0\n1\n", "1\n0\n"), false),
        (before.replace("999\n", "998\n"), false),
        (before[..before.len() - 4].to_owned(), false),
        (String::new(), false),
    ];
    for (content, same) in rows {
        // A copy: the same name, another inode.
        std::fs::remove_file(input.path()).unwrap();
        input.write(content.as_bytes());
        let opened = open(&config, Some(&position)).unwrap();
        assert_eq!(opened.anew.is_none(), same, "{content:?}");
    }
    std::fs::remove_file(input.path()).unwrap();
    let missing = open(&config, Some(&position)).map(|o| o.anew);
    assert!(matches!(missing, Err(SourceError::Missing(_))));
}

#[test]
fn a_followed_file_may_come_later() {
    let input = Input::new(b"");
    std::fs::remove_file(input.path()).unwrap();
    let mut config = input.jsonl();
    config.follow = true;
    let mut source = open(&SourceConfig::Jsonl(config), None).unwrap().source;
    let mut rows = rows(usize::MAX);
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    input.write(b"one\n");
    assert_eq!(source.read(&mut rows).unwrap(), Reading::Waiting);
    assert_eq!(records(&take(&mut rows)), ["one"]);
}

/// A sparse file: 100 MB of zero bytes on one line cost no more memory than the bound.
#[test]
fn a_row_of_100_megabytes_costs_the_bound() {
    let input = Input::new(b"a,b\n1,2\n3,");
    let file = File::options().write(true).open(input.path()).unwrap();
    file.set_len(100 << 20).unwrap();
    input.append(b"\n4,5\n");
    let mut source = Box::new(FileSource::new(&SourceConfig::Csv(input.csv())));
    assert!(source.open_path().unwrap());
    let mut rows = rows(usize::MAX);
    let mut given = Vec::new();
    let mut largest = 0;
    loop {
        let read = source.read(&mut rows).unwrap();
        let kept = source
            .long_line
            .as_ref()
            .map_or(0, |long| long.kept.capacity());
        largest = largest.max(source.buffer.capacity() + kept);
        given.extend(take(&mut rows));
        if read == Reading::End {
            break;
        }
    }
    assert_eq!(
        records(&given),
        [r#"{"a":"1","b":"2"}"#, r#"{"a":"4","b":"5"}"#]
    );
    let dead = dead_letters(&given);
    assert_eq!(
        (dead.len(), dead[0].0, dead[0].1.len()),
        (1, "3 row_size", 1 << 20)
    );
    assert!(largest < 6 << 20, "{largest} bytes were held");
}
