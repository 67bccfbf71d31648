//! The `claude-manager` program.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use claude_manager::app;

/// Gives back what a burst of work needed: with the system's allocator a manager stayed several times as large as what it
/// holds, as each thread kept its own. Without huge pages, which would be held for a few bytes in each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match app::run(app::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
