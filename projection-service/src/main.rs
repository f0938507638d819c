//! The projection-service as a process.

use clap::Parser;
use projection_service::Cli;

/// Requests are many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    projection_service::run(Cli::parse()).await
}
