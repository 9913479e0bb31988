//! The binary `penstock`. Everything is in the library; this is its entry and its allocator.

use std::process::ExitCode;

use gateway::behind::commands::Commands;
use gateway::cli;

/// mimalloc: request handling allocates and frees small pieces on the lane's own thread, which it
/// does without locks and returns to the system when idle.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), std::env::vars_os(), &Commands)
}
