//! Runs all of Passbook on one machine, or one of its parts.

use std::process::ExitCode;

use clap::Parser;
use passbook::cli::{Cli, Part, ReplayPart, RestorePart, with_operator_key};
use passbook::{launcher, standalone};
use passbook_shared::access::commands;
use passbook_shared::process;
use projection_service::operate;

/// Faster than the system's allocator for many small allocations on few threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    process::run("passbook", async {
        let cli = Cli::parse();
        match cli.part {
            None => launcher::run(cli.launcher).await,
            Some(Part::CommandService(cli)) => command_service::run(*cli).await,
            Some(Part::ProjectionService(cli)) => projection_service::run(*cli).await,
            Some(Part::Postgres(options)) => standalone::postgres(options).await,
            Some(Part::Broker(options)) => standalone::broker(options).await,
            Some(Part::Replay(ReplayPart { running, mut replay })) => {
                replay.client = with_operator_key(replay.client, running.projection_addr)?;
                operate::replay(running.projection_addr, &running.tls, &replay).await
            }
            Some(Part::Verify { running, client }) => {
                let client = with_operator_key(client, running.projection_addr)?;
                operate::verify(running.projection_addr, &running.tls, &client).await
            }
            Some(Part::Restore(RestorePart::Accept { command_addr, tls, mut options })) => {
                options.client = with_operator_key(options.client, command_addr)?;
                command_service::operate::accept_restore(command_addr, &tls, options).await
            }
            Some(Part::Keys(options)) => commands::run(&options),
            Some(Part::Setup(options)) => passbook_setup::run(&options),
            Some(Part::Bench(options)) => passbook_bench::run(*options).await,
        }
    })
}
