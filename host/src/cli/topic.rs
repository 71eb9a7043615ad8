//! `wstream topic`: what kafka-topics and kafka-configs do, over HTTP.

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use wstream_record::TopicName;

use super::client::{Client, NodeOptions, encoded};
use super::output::{Output, bytes, thousands, to_stderr};
use crate::units::{Period, Size};

const EXAMPLES: &str = "\
Examples:
  wstream topic list
  wstream topic describe netflix-titles
  wstream topic create clicks --partitions 6 --retention-bytes 10GiB --retention-age 30d
  wstream topic create users --set cleanup.policy=compact
  wstream topic alter clicks --partitions 12 --retention-age 7d --unset retention.bytes
  wstream topic delete clicks
  wstream topic list --json | jq -r '.topics[].name'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// List topics with their size and rate.
    #[command(after_help = EXAMPLES)]
    List {
        /// With the node's own topics.
        #[arg(long)]
        internal: bool,
        /// Print the node's answer as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Show a topic, its partitions and who reads it.
    #[command(after_help = EXAMPLES)]
    Describe {
        /// The topic.
        topic: TopicName,
        /// Print the node's answer as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Create a topic.
    #[command(after_help = EXAMPLES)]
    Create {
        /// The topic.
        topic: TopicName,
        /// Partitions; more can be added later.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=1000))]
        partitions: i32,
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Change a topic: what is not named stays as it is.
    #[command(after_help = EXAMPLES)]
    Alter {
        /// The topic.
        topic: TopicName,
        /// Partitions, at least as many as there are.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1000))]
        partitions: Option<i32>,
        #[command(flatten)]
        settings: SettingsArgs,
        /// A setting that goes back to its default; may be given several times.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        #[command(flatten)]
        node: NodeOptions,
    },
    /// Delete a topic with all its records, at once and for good.
    #[command(after_help = EXAMPLES)]
    Delete {
        /// The topic.
        topic: TopicName,
        #[command(flatten)]
        node: NodeOptions,
    },
}

/// Settings of a topic.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// Bytes that each partition keeps, as in 10GiB [default: all].
    #[arg(long, value_name = "SIZE")]
    retention_bytes: Option<Size>,
    /// How long records are kept, as in 30d [default: for ever].
    #[arg(long, value_name = "DURATION")]
    retention_age: Option<Period>,
    /// What that is counted from [default: append].
    #[arg(long, value_enum, value_name = "WHAT")]
    retention_by: Option<RetentionByArg>,
    /// Any setting, as in cleanup.policy=compact; may be given several times. `describe` lists them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RetentionByArg {
    /// When a record was appended.
    Append,
    /// The record's own time.
    Record,
}

impl SettingsArgs {
    /// As the API takes them.
    fn to_json(&self) -> Map<String, Value> {
        let mut settings = Map::new();
        if let Some(size) = self.retention_bytes {
            settings.insert("retention.bytes".to_owned(), json!(size.0.to_string()));
        }
        if let Some(age) = self.retention_age {
            let millis = age.0.as_millis().to_string();
            settings.insert("retention.ms".to_owned(), json!(millis));
        }
        if let Some(by) = self.retention_by {
            let by = match by {
                RetentionByArg::Append => "append",
                RetentionByArg::Record => "record",
            };
            settings.insert("retention.by".to_owned(), json!(by));
        }
        let named = self.set.iter();
        settings.extend(named.map(|(key, value)| (key.clone(), json!(value))));
        settings
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a setting is KEY=VALUE, as in cleanup.policy=compact")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

pub(super) async fn execute(args: TopicArgs, output: &mut Output) -> anyhow::Result<()> {
    match args.command {
        TopicCommand::List {
            internal,
            json,
            node,
        } => {
            let answer = Client::new(&node)?.get("/api/v1/topics").await?;
            if json {
                return Ok(output.line(&serde_json::to_string_pretty(&answer)?)?);
            }
            list(&answer, internal, output)
        }
        TopicCommand::Describe { topic, json, node } => {
            let path = format!("/api/v1/topics/{}", encoded(topic.as_str()));
            let answer = Client::new(&node)?.get(&path).await?;
            if json {
                return Ok(output.line(&serde_json::to_string_pretty(&answer)?)?);
            }
            describe(&answer, output)
        }
        TopicCommand::Create {
            topic,
            partitions,
            settings,
            node,
        } => {
            let settings = settings.to_json();
            let body = json!({"name": topic, "partitions": partitions, "settings": settings});
            let body = Bytes::from(body.to_string());
            let client = Client::new(&node)?;
            let answer = client
                .post("/api/v1/topics", "application/json", body)
                .await?;
            warn(&answer);
            let plural = if partitions == 1 { "" } else { "s" };
            Ok(output.line(&format!(
                "created {topic} with {partitions} partition{plural}"
            ))?)
        }
        TopicCommand::Alter {
            topic,
            partitions,
            settings,
            unset,
            node,
        } => {
            let mut settings = settings.to_json();
            settings.extend(unset.into_iter().map(|key| (key, Value::Null)));
            let path = format!("/api/v1/topics/{}", encoded(topic.as_str()));
            let body = json!({"partitions": partitions, "settings": settings});
            let body = Bytes::from(body.to_string());
            let client = Client::new(&node)?;
            let answer = client.patch(&path, "application/json", body).await;
            let answer = answer.with_context(|| format!("cannot alter {topic}"))?;
            warn(&answer);
            output.line(&format!("altered {topic}"))?;
            show_settings(&answer, output)
        }
        TopicCommand::Delete { topic, node } => {
            let path = format!("/api/v1/topics/{}", encoded(topic.as_str()));
            let deleted = Client::new(&node)?.delete(&path).await;
            deleted.with_context(|| format!("cannot delete {topic}"))?;
            Ok(output.line(&format!("deleted {topic}"))?)
        }
    }
}

/// Says what the node wants known of settings that it took.
fn warn(answer: &Value) {
    for warning in items(&answer["warnings"]) {
        to_stderr(&format!("warning: {}", text(warning)));
    }
}

fn list(answer: &Value, internal: bool, output: &mut Output) -> anyhow::Result<()> {
    let topics = answer["topics"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let shown = topics
        .iter()
        .filter(|topic| internal || topic["internal"] != true);
    let rows: Vec<Vec<String>> = shown
        .map(|topic| {
            vec![
                text(&topic["name"]),
                text(&topic["partitions"]),
                count(&topic["records"]),
                size(&topic["bytes"]),
                format!(
                    "{:.0}",
                    topic["records_per_second"].as_f64().unwrap_or_default()
                ),
                retention(&topic["retention"]),
            ]
        })
        .collect();
    let headings = [
        "TOPIC",
        ">PARTITIONS",
        ">RECORDS",
        ">SIZE",
        ">RECORDS/S",
        "KEEPS",
    ];
    Ok(output.table(&headings, &rows)?)
}

fn describe(answer: &Value, output: &mut Output) -> anyhow::Result<()> {
    let file = if answer["defined_in_file"] == true {
        ", declared in the file"
    } else {
        ""
    };
    output.line(&format!(
        "{}: {} records, {}, keeps {}{file}",
        text(&answer["name"]),
        count(&answer["records"]),
        size(&answer["bytes"]),
        retention(&answer["retention"]),
    ))?;
    output.line(&format!("id {}", text(&answer["id"])))?;
    let rows: Vec<Vec<String>> = items(&answer["partition_details"])
        .map(|partition| {
            vec![
                text(&partition["partition"]),
                text(&partition["log_start"]),
                text(&partition["high_watermark"]),
                text(&partition["leader_epoch"]),
                count(&partition["records"]),
                size(&partition["bytes"]),
                format!(
                    "{:.0}",
                    partition["records_per_second"].as_f64().unwrap_or_default()
                ),
            ]
        })
        .collect();
    let headings = [
        ">PARTITION",
        ">LOG START",
        ">HIGH WATERMARK",
        ">EPOCH",
        ">RECORDS",
        ">SIZE",
        ">RECORDS/S",
    ];
    output.table(&headings, &rows)?;
    let groups: Vec<Vec<String>> = items(&answer["groups"])
        .map(|group| vec![text(&group["group"]), count(&group["lag"])])
        .collect();
    if !groups.is_empty() {
        output.table(&["GROUP", ">LAG"], &groups)?;
    }
    show_settings(answer, output)
}

/// Settings with where their values come from.
fn show_settings(answer: &Value, output: &mut Output) -> anyhow::Result<()> {
    let row = |setting: &Value| {
        let from = match setting["is_default"].as_bool() {
            Some(true) => "default",
            _ => "set",
        };
        let effect = match setting["without_effect"].is_string() {
            true => ", changes nothing",
            false => "",
        };
        vec![
            text(&setting["key"]),
            text(&setting["value"]),
            format!("{from}{effect}"),
        ]
    };
    let rows: Vec<Vec<String>> = items(&answer["settings"]).map(row).collect();
    Ok(output.table(&["SETTING", "VALUE", "FROM"], &rows)?)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn count(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), thousands)
}

fn size(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), bytes)
}

fn retention(value: &Value) -> String {
    let size = value["bytes"]
        .as_u64()
        .map(|n| Size(wstream_record::ByteSize(n)).to_string());
    let age = value["age_ms"]
        .as_u64()
        .map(|n| Period(std::time::Duration::from_millis(n)).to_string());
    let age = age.map(|age| match value["by"].as_str() {
        Some("record") => format!("{age} by the records' time"),
        _ => age,
    });
    let kept: Vec<String> = size.into_iter().chain(age).collect();
    if kept.is_empty() {
        "everything".to_owned()
    } else {
        kept.join(", ")
    }
}
