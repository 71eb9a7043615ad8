//! `wstream transform`: a module's life, before it meets a node and in it.

mod build;
mod compilers;
mod language;
mod new;
mod registry;
mod show;
mod test;
mod toolchain;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::value::RawValue;
use wstream_transform::{Limits, Module, Runtime, RuntimeConfig};

use super::bench::{TransformBenchArgs, bench_transform};
use super::output::Output;
use crate::units::{Period, Size};

const EXAMPLES: &str = "\
Examples:
  wstream transform new shout                 make a transform in Rust in ./shout
  wstream transform build shout               compile it to shout/dist/shout.wasm
  wstream transform test shout/dist/shout.wasm --cases shout/cases.jsonl
  wstream transform bench shout/dist/shout.wasm
  wstream transform show shout/dist/shout.wasm";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TransformArgs {
    #[command(subcommand)]
    command: TransformCommand,
}

#[derive(Debug, Subcommand)]
enum TransformCommand {
    /// Make a new transform, in Rust or another language: one page, with its cases.
    New(new::NewArgs),
    /// Compile a transform to a module that says what it is.
    Build(build::BuildArgs),
    /// Run cases or records through a module.
    Test(test::TestArgs),
    /// Measure a module: time per record, memory, failures.
    #[command(after_help = EXAMPLES)]
    Bench(TransformBenchArgs),
    /// Show what a module says of itself, or what a node has of it.
    Show(show::ShowArgs),
    /// Upload a module to a node: pipelines that name it go on with it.
    #[command(after_help = registry::EXAMPLES)]
    Push(registry::PushArgs),
    /// List what a node has: modules, their versions, and what runs.
    #[command(after_help = registry::EXAMPLES)]
    List(registry::ListArgs),
    /// Go back to an earlier version, or to any other.
    #[command(after_help = registry::EXAMPLES)]
    Rollback(registry::RollbackArgs),
    /// Show what a module logged, and with -f what it logs.
    #[command(after_help = registry::EXAMPLES)]
    Logs(registry::LogsArgs),
    /// Delete a module with all its versions, if no pipeline uses it.
    #[command(after_help = registry::EXAMPLES)]
    Delete(registry::DeleteArgs),
}

pub(super) async fn execute(args: TransformArgs, output: &mut Output) -> anyhow::Result<()> {
    match args.command {
        TransformCommand::New(args) => new::execute(&args, output),
        TransformCommand::Build(args) => build::execute(&args, output),
        TransformCommand::Test(args) => test::execute(args, output).await,
        TransformCommand::Bench(args) => bench_transform(args, output).await,
        TransformCommand::Show(args) => show::execute(&args, output).await,
        TransformCommand::Push(args) => registry::push(args, output).await,
        TransformCommand::List(args) => registry::list(args, output).await,
        TransformCommand::Rollback(args) => registry::rollback(args, output).await,
        TransformCommand::Logs(args) => registry::logs(args, output).await,
        TransformCommand::Delete(args) => registry::delete(args, output).await,
    }
}

/// What a record may cost, as in a pipeline's `limits`.
#[derive(Debug, Args)]
struct LimitArgs {
    /// Longest time for one record.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        help_heading = "Limits"
    )]
    time_per_record: Period,
    /// Largest memory of the instance.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Limits"
    )]
    memory: Size,
    /// Most output of one record.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "8MiB",
        help_heading = "Limits"
    )]
    output_per_record: Size,
}

impl From<&LimitArgs> for Limits {
    fn from(args: &LimitArgs) -> Self {
        Self {
            record_time: args.time_per_record.0,
            memory: args.memory.0,
            output_bytes: args.output_per_record.0,
            ..Self::default()
        }
    }
}

/// Compiles a module from a file.
async fn compile(path: &Path) -> anyhow::Result<Module> {
    let bytes = read(path)?;
    let runtime: Arc<Runtime> = Runtime::new(RuntimeConfig {
        cache_dir: compiled(),
        ..RuntimeConfig::default()
    })?;
    let module = runtime.compile(Bytes::from(bytes)).await;
    module.with_context(|| path.display().to_string())
}

/// Where compiled modules are kept, so that only the first test of a large module waits for its
/// compilation: `WSTREAM_COMPILED`, else the user's cache.
fn compiled() -> Option<PathBuf> {
    let named = std::env::var_os("WSTREAM_COMPILED").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    named.or_else(|| Some(cache.or_else(home)?.join("wstream/compiled")))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A configuration: JSON itself, or a file of it.
fn config(argument: Option<&str>) -> anyhow::Result<Box<RawValue>> {
    let text = match argument {
        None => "{}".to_owned(),
        Some(text) if text.trim_start().starts_with('{') => text.to_owned(),
        Some(file) => {
            let path = PathBuf::from(file);
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?
        }
    };
    serde_json::from_str(&text).context("--config is not JSON")
}
