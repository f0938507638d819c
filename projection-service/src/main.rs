//! The projection-service as a process.

use clap::Parser;
use projection_service::Cli;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    projection_service::run(Cli::parse()).await
}
