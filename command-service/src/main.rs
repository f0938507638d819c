//! The command-service as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use command_service::Cli;
use passbook_shared::process;

/// Requests are many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run("command-service", async { command_service::run(Cli::parse()).await })
}
