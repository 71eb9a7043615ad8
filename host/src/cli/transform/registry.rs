//! `wstream transform push|list|rollback|delete`: the modules of a running node.

use std::path::PathBuf;

use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::read;
use crate::cli::client::{Client, NodeOptions, encoded};
use crate::cli::output::{Output, bytes};

pub(super) const EXAMPLES: &str = "\
Examples:
  wstream transform push shout dist/shout.wasm       upload it; pipelines that name it go on with it
  wstream transform push shout dist/shout.wasm --no-activate
  wstream transform list
  wstream transform rollback shout                   the version before the active one
  wstream transform rollback shout --to 3
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

fn path(name: &str) -> String {
    format!("/api/v1/transforms/{}", encoded(name))
}

pub(super) async fn push(args: PushArgs, output: &mut Output) -> anyhow::Result<()> {
    let module = Bytes::from(read(&args.file)?);
    let path = format!("{}?activate={}", path(&args.name), !args.no_activate);
    let client = Client::new(&args.node)?;
    let answer = client.put(&path, "application/wasm", module).await?;
    let state = if answer["active"] == true {
        "active"
    } else {
        "stored, not active"
    };
    Ok(output.line(&format!(
        "{}@{}: {state}, {}, {}",
        args.name,
        answer["version"],
        answer["abi"].as_str().unwrap_or_default(),
        bytes(answer["size"].as_u64().unwrap_or(0))
    ))?)
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

pub(super) async fn delete(args: DeleteArgs, output: &mut Output) -> anyhow::Result<()> {
    Client::new(&args.node)?.delete(&path(&args.name)).await?;
    Ok(output.line(&format!("deleted {}", args.name))?)
}
