//! The projection-service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use passbook_shared::process;
use projection_service::Cli;

/// Requests are many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run("projection-service", async { projection_service::run(Cli::parse()).await })
}
