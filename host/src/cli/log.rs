//! `wstream log`: what is to be decided about a node's log while no node uses it.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use wstream_log::{DataDir, Log, LogConfig, TopicSpec};
use wstream_record::{Clock, TopicId, TopicName};

use super::output::{Output, bytes, thousands};

const EXAMPLES: &str = "\
Examples:
  wstream log forgotten list --data ./wstream-data
  wstream log forgotten adopt 8b1c0e62-5f6a-4b3e-9f6d-0c9a4a1f7e21 clicks --partitions 6
  wstream log forgotten discard 8b1c0e62-5f6a-4b3e-9f6d-0c9a4a1f7e21

Records of topics that damaged metadata has forgotten are kept, and the node names the topics by their
ids at each start. `adopt` gives one a name again, with default settings, which `wstream topic alter`
changes; `discard` removes its records for good. No node may use the data directory meanwhile.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Records of topics that the metadata does not know.
    #[command(after_help = EXAMPLES)]
    Forgotten {
        #[command(subcommand)]
        command: ForgottenCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ForgottenCommand {
    /// List what there is: id, partition, offsets, size.
    #[command(after_help = EXAMPLES)]
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make the records those of a topic of this name.
    #[command(after_help = EXAMPLES)]
    Adopt {
        /// The topic's id, as `list` shows it.
        id: TopicId,
        /// The name that it gets.
        name: TopicName,
        /// Partitions, if it had more than have records: keys go to partitions by their number.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=10_000))]
        partitions: Option<i32>,
        #[command(flatten)]
        place: Place,
    },
    /// Remove the records for good.
    #[command(after_help = EXAMPLES)]
    Discard {
        /// The topic's id, as `list` shows it.
        id: TopicId,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the log is.
#[derive(Debug, Args)]
struct Place {
    /// The data directory of the node.
    #[arg(
        long,
        value_name = "DIR",
        env = "WSTREAM_DATA",
        default_value = "./wstream-data"
    )]
    data: PathBuf,
    /// Streams that the node runs with.
    #[arg(
        long,
        value_name = "COUNT",
        env = "WSTREAM_STREAMS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    streams: u16,
}

pub(super) async fn execute(args: LogArgs, output: &mut Output) -> anyhow::Result<()> {
    let LogCommand::Forgotten { command } = args.command;
    let (ForgottenCommand::List { place }
    | ForgottenCommand::Adopt { place, .. }
    | ForgottenCommand::Discard { place, .. }) = &command;
    let dir = &place.data;
    ensure!(
        dir.join("VERSION").is_file(),
        "{} is no data directory of a node",
        dir.display()
    );
    let data = DataDir::open(dir)?;
    let config = LogConfig {
        dir: data.path().to_owned(),
        streams: usize::from(place.streams),
        ..LogConfig::default()
    };
    let log = Log::open(config, Clock::system()).await;
    let log = log.with_context(|| format!("cannot open the log in {}", dir.display()))?;
    let done = forgotten(command, &log, output).await;
    log.close().await;
    done
}

async fn forgotten(
    command: ForgottenCommand,
    log: &Log,
    output: &mut Output,
) -> anyhow::Result<()> {
    let all = log.forgotten();
    match command {
        ForgottenCommand::List { .. } if all.is_empty() => {
            output.line("there are no records of unknown topics")?;
        }
        ForgottenCommand::List { .. } => {
            let rows = all.iter().flat_map(|topic| {
                topic.partitions.iter().map(|found| {
                    let id = topic.topic.to_string();
                    let offset = |at: wstream_record::Offset| thousands(at.0.unsigned_abs());
                    let offsets = [offset(found.log_start), offset(found.log_end)];
                    let [start, end] = offsets;
                    vec![
                        id,
                        found.partition.to_string(),
                        start,
                        end,
                        bytes(found.bytes.0),
                    ]
                })
            });
            let headings = ["topic id", "partition", "log start", "log end", "size"];
            output.table(&headings, &rows.collect::<Vec<_>>())?;
        }
        ForgottenCommand::Adopt {
            id,
            name,
            partitions,
            ..
        } => {
            let found = all.iter().find(|found| found.topic == id);
            let least = found.map_or(1, wstream_log::Forgotten::partitions_min);
            let spec = TopicSpec::partitions(partitions.unwrap_or(least));
            let info = log.adopt(id, &name, spec).await?;
            let count = info.config.partitions;
            output.line(&format!("{id} is topic {name}, with {count} partitions"))?;
        }
        ForgottenCommand::Discard { id, .. } => {
            let found = all.iter().find(|found| found.topic == id);
            let held = found.map_or(0, |f| f.partitions.iter().map(|p| p.bytes.0).sum());
            log.discard(id).await?;
            output.line(&format!("{} of topic {id} are removed", bytes(held)))?;
        }
    }
    Ok(())
}
