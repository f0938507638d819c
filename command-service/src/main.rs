//! The command-service as a process.

use std::process::ExitCode;

use clap::Parser;
use command_service::Cli;
use passbook_shared::process;

/// Requests cause many small allocations on few threads, for which mimalloc is faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run("command-service", async { command_service::run(Cli::parse()).await })
}
