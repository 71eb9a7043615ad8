//! `wstream completion`: the completion script of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::output::Output;

const EXAMPLES: &str = "\
Examples:
  source <(wstream completion bash)
  wstream completion zsh > ~/.zfunc/_wstream
  wstream completion fish > ~/.config/fish/completions/wstream.fish";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn execute(args: &CompletionArgs, output: &mut Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wstream", &mut script);
    Ok(output.bytes(&script)?)
}
