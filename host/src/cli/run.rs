//! `wstream run`: what the command line says of a node, and where its log goes.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use wstream_log::Durability;

use crate::node::{self, RunError, RunOptions};
use crate::stderr;
use crate::units::{Period, Size};

/// The file that is run when none is named.
const FILE_DEFAULT: &str = "wstream.toml";
/// More disks than a machine has.
const STREAMS_MAX: i64 = 64;

const EXAMPLES: &str = "\
Examples:
  wstream run                               ./wstream.toml if there is one, else an empty node
  wstream run wstream.toml --watch          apply edits of the file while running
  wstream run wstream.toml --once           end when every source is read and every sink has it
  wstream run --http 0.0.0.0:8080 --http-token \"$TOKEN\"
  WSTREAM_DATA=/var/lib/wstream wstream run --log-format json

SIGHUP reads the file again. SIGTERM and Ctrl-C stop the node cleanly; a second one at once.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The file with topics, sources, pipelines and sinks [default: wstream.toml if present].
    #[arg(env = "WSTREAM_FILE")]
    file: Option<PathBuf>,
    /// Where the log, the indices and everything else is kept.
    #[arg(
        long,
        value_name = "DIR",
        env = "WSTREAM_DATA",
        default_value = "./wstream-data"
    )]
    data: PathBuf,
    /// Where compiled modules are kept; nobody else may write there [default: DATA/compiled].
    #[arg(long, value_name = "DIR", env = "WSTREAM_COMPILED")]
    compiled: Option<PathBuf>,
    /// Address of the page and the API.
    #[arg(
        long,
        value_name = "ADDR",
        env = "WSTREAM_HTTP",
        default_value = "127.0.0.1:8080"
    )]
    http: SocketAddr,
    /// Address of the Elasticsearch API.
    #[arg(
        long,
        value_name = "ADDR",
        env = "WSTREAM_SEARCH",
        default_value = "127.0.0.1:9200"
    )]
    search: SocketAddr,
    /// Token that requests must carry as `Authorization: Bearer TOKEN`.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WSTREAM_HTTP_TOKEN",
        hide_env_values = true
    )]
    http_token: Option<String>,
    /// Listen beyond loopback without a token.
    #[arg(long, env = "WSTREAM_INSECURE", value_parser = FalseyValueParser::new())]
    insecure: bool,
    /// Read the file again when it changes; a bad edit keeps what runs and says why.
    #[arg(long, env = "WSTREAM_WATCH", value_parser = FalseyValueParser::new())]
    watch: bool,
    /// End when all sources are read and every sink has confirmed.
    #[arg(long, env = "WSTREAM_ONCE", value_parser = FalseyValueParser::new())]
    once: bool,
    /// With --once: fail if a record went to a dead-letter topic.
    #[arg(long, env = "WSTREAM_FAIL_ON_DEAD_LETTER", value_parser = FalseyValueParser::new(), requires = "once")]
    fail_on_dead_letter: bool,
    /// What an acknowledged record survives.
    #[arg(long, value_enum, env = "WSTREAM_DURABILITY", default_value_t = DurabilityArg::Process)]
    durability: DurabilityArg,
    /// Appends are refused while the data directory's file system has less room than this.
    #[arg(
        long,
        value_name = "SIZE",
        env = "WSTREAM_DISK_FREE_MIN",
        default_value = "512MiB"
    )]
    disk_free_min: Size,
    /// Streams that partitions are written to, each a directory below DATA/log that may be another
    /// disk. Never changes once there is data.
    #[arg(
        long,
        value_name = "COUNT",
        env = "WSTREAM_STREAMS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=STREAMS_MAX)
    )]
    streams: u16,
    /// How often all that is stored is read and compared with its checksums; 0s for never.
    #[arg(
        long,
        value_name = "TIME",
        env = "WSTREAM_SCRUB_INTERVAL",
        default_value = "7d"
    )]
    scrub_interval: Period,
    /// How log lines look.
    #[arg(long, value_enum, env = "WSTREAM_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which log lines there are, as in `info` or `wstream=debug,warn`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "WSTREAM_LOG",
        default_value = "info"
    )]
    log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DurabilityArg {
    /// The end of the process.
    Process,
    /// A power cut too.
    Disk,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object per line.
    Json,
}

impl From<DurabilityArg> for Durability {
    fn from(arg: DurabilityArg) -> Self {
        match arg {
            DurabilityArg::Process => Self::Process,
            DurabilityArg::Disk => Self::Disk,
        }
    }
}

pub(super) async fn execute(args: RunArgs) -> anyhow::Result<()> {
    log_to_stderr(&args)?;
    let present = || Some(PathBuf::from(FILE_DEFAULT)).filter(|file| file.exists());
    let options = RunOptions {
        file: args.file.or_else(present),
        data: args.data,
        compiled: args.compiled,
        http: args.http,
        search: args.search,
        http_token: args.http_token.filter(|token| !token.is_empty()),
        insecure: args.insecure,
        watch: args.watch,
        once: args.once,
        fail_on_dead_letter: args.fail_on_dead_letter,
        durability: args.durability.into(),
        disk_free_min: args.disk_free_min.0,
        streams: usize::from(args.streams),
        scrub_interval: args.scrub_interval.0,
    };
    node::run(options).await.map_err(|error| match error {
        RunError::Config(wrong) => wrong.into(),
        RunError::Failed(error) => error,
    })
}

/// Log lines go to standard error, so that a stdout sink has standard output for itself.
fn log_to_stderr(args: &RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)
        .with_context(|| format!("--log {:?} is not a filter", args.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| stderr::Stderr);
    match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
    }
    Ok(())
}
