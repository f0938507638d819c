//! The command-service as a process of its own.

use clap::Parser;

/// Requests are many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    command_service::run(command_service::Cli::parse()).await
}
