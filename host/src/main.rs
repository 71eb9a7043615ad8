//! The program: parses the command line, starts the runtime and ends with an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wstream::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(cli.execute());
            // A thread may still wait for a line of standard input: the end does not wait for it.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "error: cannot start threads: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
