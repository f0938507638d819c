//! The previous build and this one on one store, under load: an upgrade instance by instance, a way
//! back, and a second upgrade.
//!
//! `PASSBOOK_PREVIOUS_BUILD` names a `passbook` of an earlier commit; `tests/previous_build.py`
//! builds one. Without it, the previous build is this one.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::ensure;
use serde_json::json;

use super::{job_of, succeeds};
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::Kafka;
use crate::load::Load;
use crate::process::PASSBOOK;
use crate::replay;

/// Number of commands between two steps.
const BETWEEN: usize = 200;

fn previous_build() -> OsString {
    std::env::var_os("PASSBOOK_PREVIOUS_BUILD").unwrap_or_else(|| PASSBOOK.into())
}

async fn migrate(environment: &Environment, program: &OsStr, log: &str) -> anyhow::Result<()> {
    for part in ["command-service", "projection-service"] {
        succeeds(job_of(program, environment, part, log)?).await?;
    }
    Ok(())
}

/// Runs another build of an instance.
async fn run(service: &mut Service, program: &OsStr) -> anyhow::Result<()> {
    service.run(program);
    service.start()?;
    service.ready().await
}

async fn replace(service: &mut Service, program: &OsStr) -> anyhow::Result<()> {
    service.stop().await?;
    run(service, program).await
}

/// Replaces both services' instances, one after the other, and lets them work next to each other
/// after each step.
async fn roll(pair: &mut Pair, program: &OsStr, load: &Load) -> anyhow::Result<()> {
    for number in 0..2 {
        for service in [&mut pair.projections[number], &mut pair.commands[number]] {
            replace(service, program).await?;
            load.further(BETWEEN).await?;
        }
    }
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    eprintln!("all instances run {name}, {} commands so far", load.count());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_replaced_by_another_build_and_back_under_load() -> anyhow::Result<()> {
    let (previous, new) = (previous_build(), OsStr::new(PASSBOOK));
    let environment = Environment::unprepared("previous", Kafka::shared().await?).await?;
    migrate(&environment, &previous, "previous").await?;
    let mut commands = Vec::new();
    let mut projections = Vec::new();
    for number in 0..2 {
        let mut command = environment.command_started(&format!("command-{number}"))?;
        command.kill().await?;
        run(&mut command, &previous).await?;
        let mut projection =
            environment.projection_started(&format!("projection-{number}"), &command)?;
        projection.kill().await?;
        run(&mut projection, &previous).await?;
        commands.push(command);
        projections.push(projection);
    }
    let mut pair = Pair { environment, commands, projections };
    let load = Load::start(&pair.command()?, 6, 20).await?;
    load.further(BETWEEN).await?;

    migrate(&pair.environment, new, "new").await?;
    // The previous build on the new schema.
    load.further(BETWEEN).await?;
    roll(&mut pair, new, &load).await?;
    roll(&mut pair, &previous, &load).await?;
    // The previous build's job leaves a newer schema as it is.
    migrate(&pair.environment, &previous, "back").await?;
    load.further(BETWEEN).await?;
    roll(&mut pair, new, &load).await?;

    let views = pair.projection()?;
    replay::request(&views, json!({"from": "beginning"})).await?;
    let rebuilt = replay::ended(&views).await?;
    ensure!(rebuilt["state"] == "done" && rebuilt["differences"] == 0, "{rebuilt}");
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}
