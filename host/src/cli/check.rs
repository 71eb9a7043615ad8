//! `wstream check`: finds every mistake in a file without running it. Modules are started once, with
//! their settings, and see no record.

use std::path::PathBuf;

use clap::Args;

use super::output::Output;
use crate::config::{self, LoadOptions};
use crate::node;

const EXAMPLES: &str = "\
Examples:
  wstream check wstream.toml
  wstream check --schema > wstream.schema.json

Mistakes are printed as FILE:LINE:COLUMN with a hint; the exit code is then 78.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// The file.
    #[arg(required_unless_present = "schema", env = "WSTREAM_FILE")]
    file: Option<PathBuf>,
    /// Print the JSON Schema of the file instead, for editors.
    #[arg(long)]
    schema: bool,
}

pub(super) async fn execute(args: &CheckArgs, output: &mut Output) -> anyhow::Result<()> {
    if args.schema {
        output.line(&serde_json::to_string_pretty(&config::schema())?)?;
    }
    let Some(file) = args.file.as_ref().filter(|_| !args.schema) else {
        return Ok(());
    };
    let found = config::load(file, LoadOptions::default())?;
    node::try_out(file, &found).await?;
    let counts = [
        counted(found.topics.len(), "topic"),
        counted(found.sources.len(), "source"),
        counted(found.pipelines.len(), "pipeline"),
        counted(found.sinks.len(), "sink"),
    ];
    Ok(output.line(&format!("{}: ok ({})", file.display(), counts.join(", ")))?)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
