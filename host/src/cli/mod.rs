//! The command line: every command parses, does one thing and ends with a documented exit code.
//!
//! 0 is done, 1 failed, 2 wrong usage, 78 a bad configuration file. Results go to standard
//! output, everything else to standard error; a reader that goes away, as `| head` does, ends a
//! command quietly. Commands that need a node talk HTTP to it; the others need none.

mod bench;
mod check;
mod client;
mod completion;
mod consume;
mod log;
mod output;
mod produce;
mod restore;
mod run;
mod search;
mod time;
mod topic;
mod transform;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::Output;

use crate::config::ConfigError;

/// The command did not do what it was asked.
const EXIT_FAILED: u8 = 1;
/// The configuration file is wrong: EX_CONFIG of sysexits.
const EXIT_CONFIG: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  wstream run                              start the node and the pipelines in ./wstream.toml
  wstream run examples/netflix/wstream.toml --once
  wstream check wstream.toml               find every mistake in a file without running it
  echo hello | wstream produce greetings   put a record into a topic
  wstream consume greetings --follow       watch a topic
  wstream search netflix-titles 'type:MOVIE AND release_year:2020'

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration file.
Every flag can be set by an environment variable, shown with it.";

/// A WebAssembly-extensible stream processor in one binary: records in, through transforms, to
/// search and live dashboards.
#[derive(Debug, Parser)]
#[command(name = "wstream", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the node and every pipeline in a file.
    Run(run::RunArgs),
    /// Read and validate a file without running it.
    Check(check::CheckArgs),
    /// List, describe, create and alter topics.
    Topic(topic::TopicArgs),
    /// Put records into a topic, from standard input or files.
    Produce(produce::ProduceArgs),
    /// Print the records of a topic.
    Consume(consume::ConsumeArgs),
    /// Search an index.
    Search(search::SearchArgs),
    /// Make, build, test and look at transforms; none of it needs a node.
    Transform(transform::TransformArgs),
    /// Go back to what reads of damaged metadata, and keep the damaged files aside.
    Restore(restore::RestoreArgs),
    /// Decide about records that the metadata has forgotten; no node may run.
    Log(log::LogArgs),
    /// Measure the parts of a node on this machine.
    Bench(bench::BenchArgs),
    /// Print the completion script of a shell.
    Completion(completion::CompletionArgs),
}

impl Cli {
    /// Runs the command and reports what went wrong.
    pub async fn execute(self) -> ExitCode {
        let mut output = Output::new();
        let result = match self.command {
            Command::Run(args) => run::execute(args).await,
            Command::Check(args) => check::execute(&args, &mut output).await,
            Command::Topic(args) => topic::execute(args, &mut output).await,
            Command::Produce(args) => produce::execute(args).await,
            Command::Consume(args) => consume::execute(args, &mut output).await,
            Command::Search(args) => search::execute(args, &mut output).await,
            Command::Transform(args) => transform::execute(args, &mut output).await,
            Command::Restore(args) => restore::execute(args, &mut output).await,
            Command::Log(args) => log::execute(args, &mut output).await,
            Command::Bench(args) => bench::execute(args, &mut output).await,
            Command::Completion(args) => completion::execute(&args, &mut output),
        };
        let result = result.and_then(|()| Ok(output.flush()?));
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&error),
        }
    }
}

/// Prints an error with its causes and chooses the exit code.
fn report(error: &anyhow::Error) -> ExitCode {
    if output::reader_is_gone(error) {
        return ExitCode::SUCCESS;
    }
    if let Some(wrong) = error.downcast_ref::<ConfigError>() {
        output::to_stderr(&format!("{wrong}"));
        return ExitCode::from(EXIT_CONFIG);
    }
    output::to_stderr(&format!("error: {error:#}"));
    ExitCode::from(EXIT_FAILED)
}
