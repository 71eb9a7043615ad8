//! A node: everything that `wstream run` starts, in order, and stops in reverse.
//!
//! Start: addresses, data directory, log, positions, index, guests (`core`); topics, pipelines,
//! sources (`parts`); listeners last, so that whoever gets an answer gets a whole one.
//! Stop: sources, pipelines, listeners, stores, within `STOP_TIMEOUT`; a second signal ends the
//! process at once. Either way the next start goes on where this one was.

mod changes;
mod core;
mod modules;
mod parts;
mod progress;
mod signals;
mod views;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{error, info, warn};
use wstream_log::Durability;
use wstream_record::ByteSize;
use wstream_transform::{Runtime, RuntimeConfig};

use self::core::Core;
use crate::config::{self, Config, ConfigError, LoadOptions};
use crate::pipeline::StepConfig;
use crate::registry::{self, Asked};
use crate::stderr;
use modules::Modules;
use parts::{Ending, Parts};
use progress::Progress;
use signals::{Ask, Asks};

/// Longest clean stop; then the process ends as it is, and nothing acknowledged is lost.
const STOP_TIMEOUT: Duration = Duration::from_secs(9);
/// Time the last answers have once everything else has stopped.
const SERVING_TIMEOUT: Duration = Duration::from_secs(4);
/// Exit code of a second signal.
const EXIT_AT_ONCE: i32 = 1;

/// What the command line says of a node.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The pipeline file; `None` runs without pipelines.
    pub file: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// Where compiled modules are kept; `None` is in the data directory.
    pub compiled: Option<PathBuf>,
    /// Address of the page and the API.
    pub http: SocketAddr,
    /// Address of the Elasticsearch API.
    pub search: SocketAddr,
    /// Token that protects changes; `None` accepts changes on loopback.
    pub http_token: Option<String>,
    /// Whether listeners beyond loopback are allowed without a token.
    pub insecure: bool,
    /// What an acknowledged append survives.
    pub durability: Durability,
    /// Appends are refused while the data directory's file system has less room.
    pub disk_free_min: ByteSize,
    /// Streams that partitions are written to; never changes once there is data.
    pub streams: usize,
    /// How often all that is stored is compared with its checksums; zero for never.
    pub scrub_interval: Duration,
    /// Reload the file when it changes.
    pub watch: bool,
    /// Exit when all finite sources are read and every sink has confirmed.
    pub once: bool,
    /// With `once`: exit 1 if a record was dead-lettered.
    pub fail_on_dead_letter: bool,
}

/// Why a node did not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Everything else; the text says what to do.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// Runs a node until it is asked to stop or, with `once`, until everything is delivered.
///
/// # Errors
/// The file is wrong, the node could not start, or with `once` something failed.
pub async fn run(options: RunOptions) -> Result<(), RunError> {
    let config = load(&options)?;
    let mut asks = Asks::new(options.file.as_deref().filter(|_| options.watch))
        .map_err(|e| anyhow::anyhow!("cannot listen for signals: {e}"))?;
    let (core, listeners) = Core::open(&options).await?;
    let (switch, mut asked) = registry::switch();
    let mut parts = Parts::new(&core, switch.clone()).await?;
    if let Err(error) = parts.apply(&core, config, options.file.as_deref()).await {
        parts.stop().await;
        core.close().await;
        return Err(match error.downcast::<ConfigError>() {
            Ok(wrong) => wrong.into(),
            Err(error) => error.into(),
        });
    }
    core.serve(listeners, switch);
    core.running.set_ready(true);
    announce(&core);
    let progress = Progress::start(&core, parts.sources());
    let ending = work(&options, &core, &mut parts, (&mut asks, &mut asked)).await;
    progress.finish();
    stop(&core, parts, asks).await;
    match ending {
        Some(ending) => judge(&options, &ending),
        None => Ok(()),
    }
}

/// Starts every transform that a file names once, and reads its dashboards; nothing else runs.
///
/// # Errors
/// A module refuses its settings or does not start, or a dashboard is wrong.
pub async fn try_out(file: &Path, config: &Config) -> anyhow::Result<()> {
    let mut modules = Modules::new(Runtime::new(RuntimeConfig::default())?, None, None);
    for (name, pipeline) in &config.pipelines {
        let registered = |step: &StepConfig| !config::names_a_file(&step.module);
        if pipeline.transforms.iter().any(registered) {
            // What a node has is seen when it starts.
            continue;
        }
        let transforms = modules.load(name, pipeline, Some(file)).await?;
        Modules::try_out(name, &transforms, Some(file)).await?;
    }
    parts::dashboards(config, Some(file)).map(drop)
}

fn load(options: &RunOptions) -> Result<Config, ConfigError> {
    let read = LoadOptions { once: options.once };
    options
        .file
        .as_deref()
        .map_or_else(|| Ok(Config::default()), |file| config::load(file, read))
}

/// One line per listener, for people and for programs that wait for it.
fn announce(core: &Core) {
    let (http, search) = (core.facts.http, core.facts.search);
    stderr::say(format_args!("ready: page and API on http://{http}"));
    stderr::say(format_args!("ready: search on http://{search}"));
    info!(http = %core.facts.http, search = %core.facts.search, "ready");
}

/// Runs until asked to stop (`None`) or until everything is delivered.
async fn work(
    options: &RunOptions,
    core: &Core,
    parts: &mut Parts,
    (asks, asked): (&mut Asks, &mut Asked),
) -> Option<Ending> {
    loop {
        let ask = tokio::select! {
            ask = asks.next() => ask,
            ask = asked.next() => {
                let done = parts.change(core, ask.change, options.file.as_deref()).await;
                // Who asked may have gone.
                drop(ask.answer.send(done));
                continue;
            }
            ending = parts.finished(), if options.once => return Some(ending),
        };
        match ask {
            Ask::Stop => return None,
            Ask::Reload => reload(options, core, parts).await,
        }
    }
}

/// Takes an edit of the file; a bad one is told and changes nothing.
async fn reload(options: &RunOptions, core: &Core, parts: &mut Parts) {
    let Some(file) = options.file.as_deref() else {
        warn!("there is no file to reload");
        return;
    };
    let applied = match load(options) {
        Ok(config) => parts
            .apply(core, config, Some(file))
            .await
            .map_err(|e| format!("{e:#}")),
        Err(error) => Err(error.to_string()),
    };
    match applied {
        Ok(()) => {
            info!(file = %file.display(), "reloaded");
            core.running.set_reload_error(None);
        }
        Err(error) => {
            error!(file = %file.display(), "the edit is not taken, everything runs as before: {error}");
            core.running.set_reload_error(Some(error));
        }
    }
}

/// Stops in reverse order of the start. A second signal, or too long a stop, ends the process.
#[expect(clippy::exit, reason = "a second signal asks for exactly this")]
async fn stop(core: &Core, mut parts: Parts, mut asks: Asks) {
    core.running.set_ready(false);
    let clean = async {
        core.work.ask();
        parts.stop().await;
        core.serving.ask();
        if !core.serving.finished(SERVING_TIMEOUT).await {
            warn!("some connections did not end");
        }
        core.close().await;
    };
    tokio::select! {
        stopped = tokio::time::timeout(STOP_TIMEOUT, clean) => {
            if stopped.is_err() {
                warn!("could not stop within {STOP_TIMEOUT:?}; the next start goes on from what is durable");
            }
        }
        () = second_signal(&mut asks) => {
            warn!("stopped at once");
            std::process::exit(EXIT_AT_ONCE);
        }
    }
}

async fn second_signal(asks: &mut Asks) {
    while asks.next().await != Ask::Stop {}
}

/// What `--once` ends with.
fn judge(options: &RunOptions, ending: &Ending) -> Result<(), RunError> {
    if ending.dead_letters > 0 {
        stderr::say(format_args!("dead letters: {}", ending.dead_letters));
    }
    if !ending.failed.is_empty() {
        return Err(anyhow::anyhow!("{}", ending.failed.join("\n")).into());
    }
    if options.fail_on_dead_letter && ending.dead_letters > 0 {
        let count = ending.dead_letters;
        let error = anyhow::anyhow!(
            "{count} records were dead-lettered: see `wstream topic list` and the topics' .dlq"
        );
        return Err(error.into());
    }
    Ok(())
}
