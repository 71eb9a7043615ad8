//! `wstream transform push|list|rollback|delete`: the modules of a running node.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use serde_json::Value;
use wstream_record::Timestamp;

use super::read;
use crate::cli::client::{Client, NodeOptions, encoded};
use crate::cli::output::{Output, bytes};
use crate::cli::time;
use crate::units::Period;

/// How often a rehearsal is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) const EXAMPLES: &str = "\
Examples:
  wstream transform push shout dist/shout.wasm       upload it; pipelines that name it go on with it
  wstream transform push shout dist/shout.wasm --no-activate
  wstream transform push shout dist/shout.wasm --trial 1000 --fail-percent 1
  wstream transform push shout dist/shout.wasm --shadow --records 5000
  wstream transform push shout dist/shout.wasm --from 2026-11-20T00:00:00Z --into shout-tried
  wstream transform list
  wstream transform rollback shout                   the version before the active one
  wstream transform rollback shout --to 3
  wstream transform logs shout -f                    what it logs, across upgrades
  wstream transform delete shout";

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// The name that pipelines use.
    name: String,
    /// The module.
    file: PathBuf,
    /// Only store it: pipelines go on with the version they have.
    #[arg(long)]
    no_activate: bool,
    /// Hold back what pipelines make of so many records, and bring the version before back if too
    /// many of them fail.
    #[arg(long, value_name = "RECORDS", conflicts_with = "no_activate")]
    trial: Option<u64>,
    /// How many may fail on trial, in percent.
    #[arg(
        long,
        value_name = "PERCENT",
        requires = "trial",
        default_value_t = 5.0
    )]
    fail_percent: f64,
    /// Do not activate it: run it beside the version in service on live records, drop what it makes
    /// of them, and report the differences.
    #[arg(long, conflicts_with = "trial")]
    shadow: bool,
    /// Do not activate it: run it over the records from here to the end, into a topic of its own.
    #[arg(long, value_name = "OFFSET|TIME", requires = "into", conflicts_with_all = ["shadow", "trial"])]
    from: Option<String>,
    /// The topic for --from; it is made if there is none.
    #[arg(long, value_name = "TOPIC", requires = "from")]
    into: Option<String>,
    /// The pipeline whose records --shadow and --from take [default: the one that uses the module].
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Most records of --shadow and --from [default: 1000 for --shadow].
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Longest time for --shadow and --from.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s")]
    time: Period,
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print the node's answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The module's name.
    name: String,
    /// The version [default: the one before the active one].
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The module's name.
    name: String,
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The module's name.
    name: String,
    /// Go on with what is logged from now on, across upgrades.
    #[arg(long, short)]
    follow: bool,
    /// Print lines of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeOptions,
}

fn path(name: &str) -> String {
    format!("/api/v1/transforms/{}", encoded(name))
}

pub(super) async fn push(args: PushArgs, output: &mut Output) -> anyhow::Result<()> {
    let module = Bytes::from(read(&args.file)?);
    let rehearsed = args.shadow || args.from.is_some();
    let activate = !args.no_activate && !rehearsed;
    let mut place = format!("{}?activate={activate}", path(&args.name));
    if let Some(records) = args.trial {
        place += &format!("&trial={records}&fail_percent={}", args.fail_percent);
    }
    let client = Client::new(&args.node)?;
    let answer = client.put(&place, "application/wasm", module).await?;
    let state = match (answer["active"] == true, args.trial) {
        (true, Some(_)) => "on trial",
        (true, None) => "active",
        (false, _) => "stored, not active",
    };
    output.line(&format!(
        "{}@{}: {state}, {}, {}",
        args.name,
        answer["version"],
        answer["abi"].as_str().unwrap_or_default(),
        bytes(answer["size"].as_u64().unwrap_or(0))
    ))?;
    if rehearsed {
        let version = answer["version"].as_u64().unwrap_or(0);
        rehearse(&args, &client, version, output).await?;
    }
    Ok(())
}

/// Runs a stored version beside a pipeline and prints what came of it.
async fn rehearse(
    args: &PushArgs,
    client: &Client,
    version: u64,
    output: &mut Output,
) -> anyhow::Result<()> {
    let seconds = args.time.0.as_secs().max(1);
    let mut options = vec![format!("seconds={seconds}")];
    options.extend(args.records.map(|n| format!("records={n}")));
    options.extend(
        args.pipeline
            .as_ref()
            .map(|p| format!("pipeline={}", encoded(p))),
    );
    options.extend(
        args.into
            .as_ref()
            .map(|topic| format!("into={}", encoded(topic))),
    );
    if let Some(from) = &args.from {
        options.push(match from.parse::<u64>() {
            Ok(offset) => format!("offset={offset}"),
            Err(_) => {
                let time = time::point(from).map_err(anyhow::Error::msg)?;
                format!("timestamp={}", time.0)
            }
        });
    }
    let how = if args.shadow { "shadow" } else { "replay" };
    let place = format!(
        "{}/versions/{version}/{how}?{}",
        path(&args.name),
        options.join("&")
    );
    client
        .post(&place, "application/json", Bytes::new())
        .await?;
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    let report = loop {
        looks.tick().await;
        let report = client.get(&path(&args.name)).await?["rehearsal"].clone();
        if report["done"] == true {
            break report;
        }
    };
    for line in report_lines(&report) {
        output.line(&line)?;
    }
    match report["error"].as_str() {
        Some(error) => bail!("it ended early: {error}"),
        None => Ok(()),
    }
}

fn report_lines(report: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{} records, {} failed, {} ns a record",
        report["records"], report["failed"], report["ns_per_record"]
    )];
    if let Some(differing) = report["differing"].as_u64() {
        lines.push(format!(
            "in service {} failed, {} ns a record; {differing} records differ",
            report["failed_in_service"], report["ns_per_record_in_service"]
        ));
    } else {
        lines.push(format!("{} records written", report["written"]));
    }
    for difference in report["differences"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{}-{} offset {}:\n  in service {}\n  version    {}",
            difference["topic"].as_str().unwrap_or_default(),
            difference["partition"],
            difference["offset"],
            difference["in_service"],
            difference["version"],
        ));
    }
    lines
}

pub(super) async fn list(args: ListArgs, output: &mut Output) -> anyhow::Result<()> {
    let answer = Client::new(&args.node)?.get("/api/v1/transforms").await?;
    if args.json {
        return Ok(output.line(&serde_json::to_string_pretty(&answer)?)?);
    }
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for module in all(&answer["modules"]) {
        for version in all(&module["versions"]) {
            let active = version["version"] == module["active"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            output.line(&format!(
                "{:<30} {:<8} {:<12} {:>10}  {}",
                format!("{}@{}", text(&module["name"]), version["version"]),
                if active { "active" } else { "" },
                text(&version["abi"]),
                bytes(version["size"].as_u64().unwrap_or(0)),
                text(&version["description"]),
            ))?;
        }
    }
    Ok(())
}

pub(super) async fn rollback(args: RollbackArgs, output: &mut Output) -> anyhow::Result<()> {
    let client = Client::new(&args.node)?;
    let version = match args.to {
        Some(version) => version,
        None => before(&client.get(&path(&args.name)).await?, &args.name)?,
    };
    let activate = format!("{}/versions/{version}/activate", path(&args.name));
    client
        .post(&activate, "application/json", Bytes::new())
        .await?;
    Ok(output.line(&format!("{}@{version}: active", args.name))?)
}

/// The version before the active one.
fn before(module: &Value, name: &str) -> anyhow::Result<u64> {
    let active = module["active"].as_u64().unwrap_or(0);
    let versions = module["versions"].as_array().into_iter().flatten();
    let numbers = versions.filter_map(|version| version["version"].as_u64());
    match numbers.filter(|number| *number < active).max() {
        Some(version) => Ok(version),
        None => bail!("{name} has no version before {active}, the active one"),
    }
}

pub(super) async fn logs(args: LogsArgs, output: &mut Output) -> anyhow::Result<()> {
    let path = format!("{}/logs?follow={}", path(&args.name), args.follow);
    let mut lines = Client::new(&args.node)?.lines(&path).await?;
    while let Some(line) = lines.next().await? {
        let line = String::from_utf8_lossy(&line);
        // Events are lines with their names in between.
        let json = if args.follow {
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            data
        } else {
            &line
        };
        if args.json {
            output.line(json)?;
        } else {
            output.line(&log_line(&serde_json::from_str(json)?))?;
        }
        output.flush()?;
    }
    Ok(())
}

fn log_line(line: &Value) -> String {
    if let Some(missed) = line["missed"].as_u64() {
        return format!("({missed} lines were missed)");
    }
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let at = time::shown(Timestamp(line["timestamp"].as_i64().unwrap_or(-1)));
    let version = text("version");
    format!("{at} {:<5} @{version} {}", text("level"), text("text"))
}

/// What a node has of a module.
pub(super) async fn show(
    name: &str,
    json: bool,
    node: &NodeOptions,
    output: &mut Output,
) -> anyhow::Result<()> {
    let module = Client::new(node)?.get(&path(name)).await?;
    if json {
        return Ok(output.line(&serde_json::to_string_pretty(&module)?)?);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for version in module["versions"].as_array().into_iter().flatten() {
        let active = version["version"] == module["active"];
        let at = Timestamp(version["created_ms"].as_i64().unwrap_or(-1));
        output.line(&format!(
            "{:<24} {:<7} {:<18} {:>10}  {}  sha256 {}",
            format!("{name}@{}", version["version"]),
            if active { "active" } else { "" },
            text(&version["abi"]),
            bytes(version["size"].as_u64().unwrap_or(0)),
            time::shown(at),
            text(&version["sha256"]),
        ))?;
    }
    for running in module["running"].as_array().into_iter().flatten() {
        let pipelines = running["pipelines"].as_array().into_iter().flatten();
        let pipelines: Vec<_> = pipelines.map(text).collect();
        output.line(&format!(
            "in pipeline {}: version {}, {} records, {} ns a record, {} in {} instances, failures {}",
            pipelines.join(", "),
            text(&running["version"]),
            running["records"],
            running["ns_per_record"],
            bytes(running["memory_bytes"].as_u64().unwrap_or(0)),
            running["instances"],
            running["failures"],
        ))?;
    }
    Ok(())
}

pub(super) async fn delete(args: DeleteArgs, output: &mut Output) -> anyhow::Result<()> {
    Client::new(&args.node)?.delete(&path(&args.name)).await?;
    Ok(output.line(&format!("deleted {}", args.name))?)
}
