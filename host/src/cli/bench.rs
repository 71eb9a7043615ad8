//! `wstream bench`: measures the parts of a node in this process, as text or JSON.

use std::fmt::Display;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::output::Output;
use crate::bench::{log, pipeline, search, transform};

const EXAMPLES: &str = "\
Examples:
  wstream bench log --baseline file                 the log beside a plain file
  wstream bench log --durability disk --record-bytes 1KiB --batch-bytes 1KiB --json
  wstream bench transform transforms/dist/filter.wasm --config '{\"field\":\"level\",\"op\":\"exists\"}'
  wstream bench search --documents 200000 --searches 0
  wstream bench pipeline --module transforms/dist/filter.wasm --lines 2000000

Quote medians, and trust CPU seconds before rates: machines are noisy.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Append to the log and wait for acknowledgements.
    #[command(after_help = EXAMPLES)]
    Log {
        #[command(flatten)]
        options: log::LogBenchOptions,
        /// Print the figures as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run records through a module.
    #[command(after_help = EXAMPLES)]
    Transform(TransformBenchArgs),
    /// Index documents and search them.
    #[command(after_help = EXAMPLES)]
    Search {
        #[command(flatten)]
        options: search::SearchBenchOptions,
        /// Print the figures as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a file of JSON lines through a whole node into files.
    #[command(after_help = EXAMPLES)]
    Pipeline {
        #[command(flatten)]
        options: pipeline::PipelineBenchOptions,
        /// Print the figures as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `wstream bench transform`, and `wstream transform bench`.
#[derive(Debug, Args)]
pub(super) struct TransformBenchArgs {
    #[command(flatten)]
    options: transform::TransformBenchOptions,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn bench_transform(
    args: TransformBenchArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    print(&transform::run(args.options).await?, args.json, output)
}

pub(super) async fn execute(args: BenchArgs, output: &mut Output) -> anyhow::Result<()> {
    // A measurement that is dropped removes its files.
    tokio::select! {
        done = measure(args, output) => done,
        signal = stopped() => Err(anyhow::anyhow!("stopped by {}", signal?)),
    }
}

/// Returns the name of the signal that asks to stop.
async fn stopped() -> anyhow::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

async fn measure(args: BenchArgs, output: &mut Output) -> anyhow::Result<()> {
    match args.command {
        BenchCommand::Log { options, json } => print(&log::run(options).await?, json, output),
        BenchCommand::Transform(args) => bench_transform(args, output).await,
        BenchCommand::Search { options, json } => print(&search::run(options).await?, json, output),
        BenchCommand::Pipeline { options, json } => {
            print(&pipeline::run(options).await?, json, output)
        }
    }
}

fn print(
    report: &(impl Serialize + Display),
    json: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)?
    } else {
        report.to_string()
    };
    Ok(output.line(text.trim_end())?)
}
