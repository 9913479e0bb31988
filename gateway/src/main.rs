//! The binary `penstock`. Everything is in the library; this is its entry and its allocator.

use std::process::ExitCode;

/// mimalloc: request handling allocates and frees small pieces on the lane's own thread, which it
/// does without locks and returns to the system when idle.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
