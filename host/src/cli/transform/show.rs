//! `wstream transform show`: what a module says of itself.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use wstream_transform::{Inspection, inspect};

use super::registry;
use crate::cli::client::NodeOptions;
use crate::cli::output::{Output, bytes};
use crate::config;

const EXAMPLES: &str = "\
Examples:
  wstream transform show transforms/dist/netflix-titles.wasm
  wstream transform show shout                what a node has of it
  wstream transform show transforms/dist/filter.wasm --json | jq .metadata.config";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// The module's file, or the name it is registered under at a node.
    module: String,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeOptions,
}

pub(super) async fn execute(args: &ShowArgs, output: &mut Output) -> anyhow::Result<()> {
    let file = Path::new(&args.module);
    if !config::names_a_file(&args.module) && !file.exists() {
        return registry::show(&args.module, args.json, &args.node, output).await;
    }
    let module = super::read(file)?;
    let said = inspect(&module).with_context(|| args.module.clone())?;
    let digest: String = Sha256::digest(&module)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if args.json {
        let mut all = serde_json::to_value(&said)?;
        all["sha256"] = json!(digest);
        all["size"] = json!(module.len());
        return Ok(output.line(&serde_json::to_string_pretty(&all)?)?);
    }
    for (name, value) in lines(&said, &digest, module.len() as u64) {
        output.line(&format!("{name:<12} {value}"))?;
    }
    if let Some(schema) = &said.metadata.config_schema {
        let schema: serde_json::Value = serde_json::from_str(schema.get())?;
        output.line(&format!(
            "configuration:\n{}",
            serde_json::to_string_pretty(&schema)?
        ))?;
    }
    Ok(())
}

fn lines(said: &Inspection, digest: &str, size: u64) -> Vec<(&'static str, String)> {
    let metadata = &said.metadata;
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let outputs = if metadata.outputs.is_empty() {
        "default".to_owned()
    } else {
        metadata.outputs.join(", ")
    };
    let blame = if said.cursor {
        "at once"
    } else {
        "by replaying one record at a time"
    };
    vec![
        ("name", or_dash(&metadata.name)),
        ("version", or_dash(&metadata.version)),
        ("description", or_dash(&metadata.description)),
        ("abi", said.kind.name().to_owned()),
        ("outputs", outputs),
        ("size", bytes(size)),
        ("sha256", digest.to_owned()),
        ("blame", blame.to_owned()),
        ("exports", said.exports.join(", ")),
        ("imports", said.imports.join(", ")),
    ]
}
