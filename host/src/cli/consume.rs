//! `wstream consume`: prints the records of a topic, from any place, to its end or for ever. Offsets
//! that are missing are told on standard error; a topic that is deleted meanwhile is an error.

use clap::{Args, ValueEnum};
use wstream_record::{JsonRecord, Timestamp, TopicName};

use super::client::{Client, Lines, NodeOptions, encoded};
use super::output::{Output, to_stderr};
use super::time;

const EXAMPLES: &str = "\
Examples:
  wstream consume netflix-titles                       from the beginning to the end
  wstream consume netflix-titles --follow              new records, as they come
  wstream consume netflix-titles --since 10m --format pretty
  wstream consume netflix-titles --partition 2 --offset 500 --max 10 --format json
  wstream consume netflix-titles.dlq --format json | jq -c .headers

The formats: value is the record's value as it is; json is the record as one line of JSON;
pretty shows topic, partition, offset, time, key and headers above the value.

Offsets that have no record any more (retention, compaction, damage) are told on standard error. If the
topic is deleted meanwhile, the command ends with exit code 1; a new topic of that name is not shown.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConsumeArgs {
    /// The topic.
    topic: TopicName,
    /// Only this partition [default: all, in the order of time as far as it is known].
    #[arg(long, short, value_name = "N")]
    partition: Option<i32>,
    /// Begin with the oldest record. This is the default without --follow.
    #[arg(long, conflicts_with_all = ["offset", "since"])]
    from_beginning: bool,
    /// Begin here: a number, -N for the last N records, `earliest` or `latest`.
    #[arg(
        long,
        value_name = "OFFSET",
        allow_hyphen_values = true,
        conflicts_with = "since"
    )]
    offset: Option<String>,
    /// Begin with the first record at or after this time: 2026-11-21T10:00:00Z, or 10m ago.
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    since: Option<Timestamp>,
    /// Wait for more at the end. Without a place to begin, only new records are shown.
    #[arg(long, short)]
    follow: bool,
    /// End after so many records.
    #[arg(long, short = 'n', value_name = "N")]
    max: Option<u64>,
    /// What is printed of a record.
    #[arg(long, value_enum, default_value_t = Format::Value)]
    format: Format,
    /// With the format value: partition, offset, time and key in front, separated by tabs.
    #[arg(long)]
    metadata: bool,
    #[command(flatten)]
    node: NodeOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The value as it is.
    Value,
    /// The record as one line of JSON.
    Json,
    /// Where it is, its key and headers, and below them the value.
    Pretty,
}

pub(super) async fn execute(args: ConsumeArgs, output: &mut Output) -> anyhow::Result<()> {
    let mut lines = Client::new(&args.node)?.lines(&path(&args)).await?;
    while let Some(line) = next(&mut lines, output).await? {
        print(&line, args.format, args.metadata, output)?;
    }
    Ok(())
}

/// The next line. What was printed is handed on before waiting, so that a reader sees it at once.
async fn next(lines: &mut Lines, output: &mut Output) -> anyhow::Result<Option<bytes::Bytes>> {
    if let Some(line) = lines.buffered() {
        return Ok(Some(line));
    }
    output.flush()?;
    lines.next().await
}

fn path(args: &ConsumeArgs) -> String {
    let mut query = Vec::new();
    query.extend(args.partition.map(|n| format!("partition={n}")));
    query.extend(
        args.offset
            .as_deref()
            .map(|at| format!("offset={}", encoded(at))),
    );
    query.extend(args.from_beginning.then(|| "offset=earliest".to_owned()));
    query.extend(args.since.map(|at| format!("timestamp={at}")));
    query.extend(args.max.map(|n| format!("limit={n}")));
    query.extend(args.follow.then(|| "follow=true".to_owned()));
    format!(
        "/api/v1/topics/{}/records?{}",
        encoded(args.topic.as_str()),
        query.join("&")
    )
}

fn print(line: &[u8], format: Format, metadata: bool, output: &mut Output) -> anyhow::Result<()> {
    if line.starts_with(b"{\"error\"") {
        let error: serde_json::Value = serde_json::from_slice(line)?;
        let error = &error["error"];
        let message = error["message"].as_str().unwrap_or("reading failed");
        match error["hint"].as_str() {
            Some(hint) => anyhow::bail!("{message}\n  hint: {hint}"),
            None => anyhow::bail!("{message}"),
        }
    }
    if line.starts_with(b"{\"missing\"") {
        let missing: serde_json::Value = serde_json::from_slice(line)?;
        let message = missing["missing"]["message"].as_str();
        to_stderr(message.unwrap_or("offsets are missing"));
        return Ok(());
    }
    if format == Format::Json {
        output.bytes(line)?;
        return Ok(output.bytes(b"\n")?);
    }
    let record = JsonRecord::parse(std::str::from_utf8(line)?)?;
    if format == Format::Pretty {
        return Ok(output.line(&pretty(&record))?);
    }
    if metadata {
        let (partition, offset, at) = place(&record);
        let key = record
            .record
            .key
            .as_ref()
            .map(|key| String::from_utf8_lossy(key));
        output.bytes(
            format!(
                "{partition}\t{offset}\t{at}\t{}\t",
                key.as_deref().unwrap_or("null")
            )
            .as_bytes(),
        )?;
    }
    output.bytes(record.record.value.as_deref().unwrap_or(b"null"))?;
    Ok(output.bytes(b"\n")?)
}

fn place(record: &JsonRecord) -> (i32, i64, String) {
    let partition = record.partition.map_or(-1, |p| p.0);
    let offset = record.offset.map_or(-1, |o| o.0);
    (partition, offset, time::shown(record.record.timestamp))
}

/// Where a record is, its key and its headers, and below them its value, indented.
fn pretty(record: &JsonRecord) -> String {
    let (partition, offset, at) = place(record);
    let topic = record.topic.as_ref().map_or("", TopicName::as_str);
    let mut text = format!("{topic}-{partition} @{offset}  {at}");
    let shown = |bytes: Option<&bytes::Bytes>| {
        bytes.map_or_else(
            || "null".into(),
            |b| String::from_utf8_lossy(b).into_owned(),
        )
    };
    text.push_str(&format!("  key={}", shown(record.record.key.as_ref())));
    for header in &record.record.headers {
        text.push_str(&format!(
            "\n  {}: {}",
            String::from_utf8_lossy(&header.name),
            shown(header.value.as_ref())
        ));
    }
    let value = shown(record.record.value.as_ref());
    // Numbers keep their text: only white space is added, and only to objects and lists.
    let json: Option<serde_json::Value> = serde_json::from_str(&value)
        .ok()
        .filter(|json: &serde_json::Value| json.is_object() || json.is_array());
    let value = json
        .and_then(|json| serde_json::to_string_pretty(&json).ok())
        .unwrap_or(value);
    for line in value.lines() {
        text.push_str(&format!("\n    {line}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pretty_record_shows_where_it_is_and_what_it_says() {
        let line = r#"{"topic":"t","partition":1,"offset":7,"timestamp":1795255200042,"key":"k","value":"{\"a\":1}","headers":[["h","v"],["n",null]]}"#;
        let wanted = "t-1 @7  2026-11-21T10:00:00.042Z  key=k\n  h: v\n  n: null\n    {\n      \"a\": 1\n    }";
        assert_eq!(pretty(&JsonRecord::parse(line).unwrap()), wanted);
    }
}
