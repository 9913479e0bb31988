//! `penstock-loadgen`: loads S3 endpoints and plain HTTP file servers, checks every byte they
//! deliver when asked, and compares them side by side.
//!
//! Modules in the order in which a run passes through them: options (`cli`, `setup`), what is asked
//! (`scenario`, `content`), of whom (`endpoint`, `sign`), when (`run`, `worker`, `schedule`), how (`operation`,
//! `multipart`, `client`, `rdma`), and what came of it (`verify`, `record`, `cpu`, `progress`, `report`,
//! `compare`). Beside it, `probe` says what RDMA can do here and there.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod command;
mod compare;
mod content;
mod cpu;
mod endpoint;
mod failure;
mod limits;
mod multipart;
mod operation;
mod probe;
mod progress;
mod quantity;
mod rdma;
mod record;
mod report;
mod run;
mod scenario;
mod schedule;
mod setup;
mod sign;
mod verify;
mod worker;

use std::process::{ExitCode, exit};

use clap::Parser as _;
use tokio::runtime::LocalOptions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A thread that panics would leave the others waiting for it: the process ends instead.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        exit(101);
    }));
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(command::execute(&cli.command)) {
        Ok(command::Verdict::Success) => ExitCode::SUCCESS,
        Ok(command::Verdict::Failure) => ExitCode::FAILURE,
        Ok(command::Verdict::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
