//! `wstream topic`: what kafka-topics does, over HTTP.

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wstream_record::TopicName;

use super::client::{Client, NodeOptions, encoded};
use super::output::{Output, bytes, thousands};
use crate::units::{Period, Size};

const EXAMPLES: &str = "\
Examples:
  wstream topic list
  wstream topic describe netflix-titles
  wstream topic create clicks --partitions 6 --retention-bytes 10GiB --retention-age 30d
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
        /// Bytes that each partition keeps, as in 10GiB [default: all].
        #[arg(long, value_name = "SIZE")]
        retention_bytes: Option<Size>,
        /// How long records are kept, as in 30d [default: for ever].
        #[arg(long, value_name = "DURATION")]
        retention_age: Option<Period>,
        #[command(flatten)]
        node: NodeOptions,
    },
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
            retention_bytes,
            retention_age,
            node,
        } => {
            let age_ms =
                retention_age.map(|age| u64::try_from(age.0.as_millis()).unwrap_or(u64::MAX));
            let retention = json!({"bytes": retention_bytes.map(|size| size.0), "age_ms": age_ms});
            let body = json!({"name": topic, "partitions": partitions, "retention": retention});
            let client = Client::new(&node)?;
            client
                .post(
                    "/api/v1/topics",
                    "application/json",
                    Bytes::from(body.to_string()),
                )
                .await?;
            let plural = if partitions == 1 { "" } else { "s" };
            Ok(output.line(&format!(
                "created {topic} with {partitions} partition{plural}"
            ))?)
        }
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
    let rows: Vec<Vec<String>> = items(&answer["partition_details"])
        .map(|partition| {
            vec![
                text(&partition["partition"]),
                text(&partition["log_start"]),
                text(&partition["high_watermark"]),
                text(&partition["leader_epoch"]),
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
    Ok(())
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
    let kept: Vec<String> = size.into_iter().chain(age).collect();
    if kept.is_empty() {
        "everything".to_owned()
    } else {
        kept.join(", ")
    }
}
