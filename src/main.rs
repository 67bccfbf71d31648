//! The `claude-manager` program.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use claude_manager::app;

fn main() -> ExitCode {
    match app::run(app::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
