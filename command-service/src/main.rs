//! The command-service as a process of its own.

use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    command_service::run(command_service::Cli::parse()).await
}
