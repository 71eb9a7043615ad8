//! `wstream produce`: puts lines into a topic as records.
//!
//! Lines go out together when they come fast and at once when they come slowly; each request is
//! acknowledged before the next, so what is reported as produced is in the log. Input is read on
//! a thread of its own, at most `LINES_WAITING_MAX` lines ahead.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;
use wstream_record::{JsonRecord, Record, Timestamp, TopicName};

use super::client::{Client, NodeOptions, encoded};
use super::output::{thousands, to_stderr};

const LINES_WAITING_MAX: usize = 1000;
/// Bytes of lines that go out in one request; a longer line goes alone.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of the longest line.
const LINE_BYTES_MAX: u64 = 256 << 20;

const EXAMPLES: &str = "\
Examples:
  echo hello | wstream produce greetings
  wstream produce events data/events.jsonl
  tail -F app.log | wstream produce logs
  printf 'k1:v1\\nk2:v2\\n' | wstream produce pairs --key-separator :
  echo '{\"key\":\"a\",\"value_json\":{\"n\":1},\"headers\":[[\"h\",\"v\"]]}' | wstream produce t --json
  wstream consume a --format json | wstream produce b --json

With --json a line is a record: timestamp, key, value (or value_json, value_base64), headers.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProduceArgs {
    /// The topic.
    topic: TopicName,
    /// Files of lines; `-` is standard input [default: -].
    files: Vec<PathBuf>,
    /// Put every record into this partition [default: by key, else in turn].
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// A line is a record as JSON, not a value.
    #[arg(long, conflicts_with = "key_separator")]
    json: bool,
    /// What stands between key and value of a line.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    #[command(flatten)]
    node: NodeOptions,
}

/// A line and where it stands.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    file: PathBuf,
    number: u64,
}

pub(super) async fn execute(args: ProduceArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.node)?;
    let query = args
        .partition
        .map_or_else(String::new, |n| format!("?partition={n}"));
    let path = format!(
        "/api/v1/topics/{}/records{query}",
        encoded(args.topic.as_str())
    );
    let mut lines = read_lines(args.files.clone());
    let mut produced = 0_u64;
    let sent = loop {
        match request(&mut lines, &args).await {
            Ok(None) => break Ok(()),
            Ok(Some(body)) => match client.post(&path, "application/x-ndjson", body).await {
                Ok(answer) => produced += answer["records"].as_u64().unwrap_or_default(),
                Err(error) => break Err(error),
            },
            Err(error) => break Err(error),
        }
    };
    // Said after a failure too: so much is in the topic.
    let plural = if produced == 1 { "record" } else { "records" };
    to_stderr(&format!(
        "{} {plural} to {}",
        thousands(produced),
        args.topic
    ));
    sent
}

/// The lines that are there, as records; waits for the first. `None` at the end of the input.
async fn request(
    lines: &mut mpsc::Receiver<io::Result<Line>>,
    args: &ProduceArgs,
) -> anyhow::Result<Option<Bytes>> {
    let Some(first) = lines.recv().await else {
        return Ok(None);
    };
    let mut body = Vec::new();
    write(&first?, args, &mut body)?;
    while body.len() < REQUEST_BYTES_MAX {
        let Ok(line) = lines.try_recv() else { break };
        write(&line?, args, &mut body)?;
    }
    Ok(Some(body.into()))
}

/// Appends a line as a record in JSON.
fn write(line: &Line, args: &ProduceArgs, body: &mut Vec<u8>) -> anyhow::Result<()> {
    let Line {
        bytes,
        file,
        number,
    } = line;
    let place = || {
        format!(
            "{}:{number}",
            if file == Path::new("-") {
                Path::new("stdin")
            } else {
                file
            }
            .display()
        )
    };
    let record = if args.json {
        let text = std::str::from_utf8(bytes).with_context(place)?;
        JsonRecord::parse(text).with_context(place)?.record
    } else {
        let bytes = Bytes::copy_from_slice(bytes);
        let (key, value) = match args.key_separator.as_deref().filter(|s| !s.is_empty()) {
            None => (None, bytes),
            Some(separator) => {
                let Some(at) = memchr::memmem::find(&bytes, separator.as_bytes()) else {
                    bail!("{}: no {separator:?} between key and value", place());
                };
                (Some(bytes.slice(..at)), bytes.slice(at + separator.len()..))
            }
        };
        Record {
            timestamp: Timestamp::NONE,
            key,
            value: Some(value),
            headers: Vec::new(),
        }
    };
    JsonRecord {
        record,
        ..JsonRecord::default()
    }
    .write(body);
    body.push(b'\n');
    Ok(())
}

/// Reads on a thread: standard input cannot be waited for in any other way. The thread ends with
/// its input, with the receiver, or with the process.
fn read_lines(files: Vec<PathBuf>) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(LINES_WAITING_MAX);
    let files = if files.is_empty() {
        vec![PathBuf::from("-")]
    } else {
        files
    };
    std::thread::spawn(move || {
        for file in files {
            let read = if file == Path::new("-") {
                read_file(io::stdin().lock(), &file, &sender)
            } else {
                File::open(&file).and_then(|open| read_file(BufReader::new(open), &file, &sender))
            };
            if let Err(error) = read {
                let named = io::Error::new(error.kind(), format!("{}: {error}", file.display()));
                // Without a receiver there is nobody to tell.
                sender.blocking_send(Err(named)).ok();
                return;
            }
        }
    });
    receiver
}

fn read_file(
    mut input: impl BufRead,
    file: &Path,
    sender: &mpsc::Sender<io::Result<Line>>,
) -> io::Result<()> {
    for number in 1.. {
        let mut bytes = Vec::new();
        let read = input
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if read as u64 == LINE_BYTES_MAX {
            return Err(io::Error::other(format!(
                "line {number} is longer than {LINE_BYTES_MAX} bytes"
            )));
        }
        let line = Line {
            bytes,
            file: file.to_owned(),
            number,
        };
        if sender.blocking_send(Ok(line)).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn written(arguments: &[&str], bytes: &[u8]) -> Result<String, String> {
        let all = ["wstream", "produce", "t"].iter().chain(arguments);
        let Command::Produce(args) = Cli::try_parse_from(all).unwrap().command else {
            panic!("not produce")
        };
        let line = Line {
            bytes: bytes.to_vec(),
            file: "-".into(),
            number: 3,
        };
        let mut body = Vec::new();
        write(&line, &args, &mut body).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(body).unwrap())
    }

    #[test]
    fn lines_become_records() {
        let rows: [(&[&str], &[u8], &str); 6] = [
            (&[], b"plain \"text\"", r#"{"value":"plain \"text\""}"#),
            (&[], b"", r#"{"value":""}"#),
            (&[], b"\xff", r#"{"value_base64":"/w=="}"#),
            (
                &["--key-separator", "=>"],
                b"k=>v=>w",
                r#"{"key":"k","value":"v=>w"}"#,
            ),
            (
                &["--json"],
                br#"{"key":"k","value_json":{ "n": 1.0 }}"#,
                r#"{"key":"k","value":"{\"n\":1.0}"}"#,
            ),
            (
                &["--json"],
                br#"{"topic":"other","offset":9,"timestamp":5,"value":null}"#,
                r#"{"timestamp":5}"#,
            ),
        ];
        for (arguments, line, wanted) in rows {
            assert_eq!(written(arguments, line).unwrap(), format!("{wanted}\n"));
        }
    }

    #[test]
    fn wrong_lines_are_named() {
        let rows: [(&[&str], &[u8], &str); 3] = [
            (
                &["--key-separator", ":"],
                b"novalue",
                "stdin:3: no \":\" between key and value",
            ),
            (&["--json"], b"[]", "stdin:3: not a record in JSON"),
            (&["--json"], b"\xff", "stdin:3: invalid utf-8"),
        ];
        for (arguments, line, wanted) in rows {
            let error = written(arguments, line).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
