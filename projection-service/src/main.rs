//! Process of the projection-service.

use std::process::ExitCode;

use clap::Parser;
use passbook_shared::process;
use projection_service::Cli;

/// Requests make many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run("projection-service", async { projection_service::run(Cli::parse()).await })
}
