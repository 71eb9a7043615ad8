//! `wstream restore`: goes back to what reads of damaged metadata. It needs no node, and none may use
//! the data directory.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use wstream_log::{DataDir, Metadata};

use super::output::Output;

const EXAMPLES: &str = "\
Examples:
  wstream restore --data ./wstream-data

A node that does not start because its metadata is damaged says up to which command it reads. This
goes back to there, says what is lost, and keeps the damaged files in DIR/aside. Records are not
touched: those of topics that the metadata does not know any more are kept, and the node names them.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// The data directory of the node.
    #[arg(
        long,
        value_name = "DIR",
        env = "WSTREAM_DATA",
        default_value = "./wstream-data"
    )]
    data: PathBuf,
}

pub(super) async fn execute(args: RestoreArgs, output: &mut Output) -> anyhow::Result<()> {
    let dir = args.data;
    ensure!(
        dir.join("metadata").is_dir() || dir.join("VERSION").is_file(),
        "{} is no data directory of a node",
        dir.display()
    );
    let restore = move || -> anyhow::Result<_> {
        let data = DataDir::open(&dir)?;
        let restored = Metadata::restore(&data.path().join("metadata"));
        restored.with_context(|| format!("cannot restore the metadata in {}", dir.display()))
    };
    let restored = tokio::task::spawn_blocking(restore).await??;
    Ok(output.line(&restored.to_string())?)
}
