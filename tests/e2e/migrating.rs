//! Migrations: jobs create the tables and own them, services own nothing and wait for the jobs.

/// Two builds on one schema.
mod next_build;
/// Upgrade from an earlier commit, and the way back.
mod previous_build;

use std::ffi::OsStr;

use anyhow::{Context, ensure};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::{Kafka, PARTITIONS};
use crate::process::{PASSBOOK, Process, eventually};

/// Waits until the service is not ready for a reason with these words.
async fn waits(service: &Client, words: &str) -> anyhow::Result<()> {
    eventually("the service reports why it waits", async || {
        let response = service.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        let health: Value = serde_json::from_str(&health)?;
        let reason = health["checks"]["postgres"]["reason"].as_str().unwrap_or_default();
        ensure!(status == 503 && reason.contains(words), "{status}: {health}");
        Ok(())
    })
    .await
}

/// Starts the migration job of a service, as the owner of its database.
fn job(environment: &Environment, part: &str, log: &str) -> anyhow::Result<Process> {
    job_of(OsStr::new(PASSBOOK), environment, part, log)
}

/// Starts the migration job of another build.
fn job_of(
    program: &OsStr,
    environment: &Environment,
    part: &str,
    log: &str,
) -> anyhow::Result<Process> {
    let log = std::env::temp_dir().join(format!("{}-{part}-{log}.log", environment.name));
    let _ = std::fs::remove_file(&log);
    let arguments = match part {
        "command-service" => vec![
            part.to_owned(),
            format!("--database-url={}", environment.command_role_url),
            "migrate".to_owned(),
            format!("--migration-database-url={}", environment.database_url),
            format!("--partitions={PARTITIONS}"),
        ],
        _ => vec![
            part.to_owned(),
            format!("--projection-database-url={}", environment.projection_role_url),
            "migrate".to_owned(),
            format!("--projection-migration-database-url={}", environment.projection_database_url),
        ],
    };
    Process::start_program(program, &arguments, &[], &[], &log)
}

async fn succeeds(mut job: Process) -> anyhow::Result<()> {
    let status = job.ended().await?;
    ensure!(status.success(), "{status}: {}", job.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn services_wait_for_their_tables_and_concurrent_jobs_create_them() -> anyhow::Result<()> {
    let environment = Environment::unprepared("migrating", Kafka::shared().await?).await?;
    let mut command = environment.command_started("command-0")?;
    waits(&command.client()?, "run `command-service migrate`").await?;
    let mut projection = environment.projection_started("projection-0", &command)?;
    waits(&projection.client()?, "run `projection-service migrate`").await?;

    for part in ["command-service", "projection-service"] {
        let jobs: Vec<_> = (0..3)
            .map(|n| job(&environment, part, &n.to_string()))
            .collect::<anyhow::Result<_>>()?;
        for job in jobs {
            succeeds(job).await?;
        }
    }
    command.ready().await?;
    projection.ready().await?;
    let client = command.client()?;
    let account = client.open().await?;
    client.deposit(account, None, 25).await?;
    let view = projection.client()?.json(&format!("/v1/accounts/{account}?min_version=2")).await?;
    ensure!(view["balance"] == 1_000_025, "{view}");
    let mut pair = Pair { environment, commands: vec![command], projections: vec![projection] };
    pair.assert_consistent(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_on_a_newer_schema_only_if_it_is_compatible() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("newer").await?, 1).await?;
    let (commands, projections) = (pair.commands.remove(0), pair.projections.remove(0));
    let environment = &pair.environment;
    // First the views, while the command-service runs: empty views ask it for the store's id.
    let table = "projection.migrations";
    newer(
        environment,
        projections,
        "projection-service",
        &environment.projection_database_url,
        table,
        "projection",
    )
    .await?;
    newer(
        environment,
        commands,
        "command-service",
        &environment.database_url,
        "public._sqlx_migrations",
        "passbook",
    )
    .await
}

async fn newer(
    environment: &Environment,
    mut service: Service,
    part: &str,
    database: &str,
    migrations: &str,
    schema: &str,
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    let mut run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.map(drop)
    };
    service.stop().await?;
    run(format!(
        "INSERT INTO {migrations} (version, description, success, checksum, execution_time)
         VALUES (9999, 'of a later build', true, '', 0)"
    ))
    .await?;
    succeeds(job(environment, part, "compatible")?).await?;
    service.start()?;
    service.ready().await?;

    run(format!("UPDATE {schema}.compatibility SET oldest_build = 9999")).await?;
    service.stop().await?;
    let mut refused = job(environment, part, "incompatible")?;
    ensure!(!refused.ended().await?.success(), "the job of an older build migrated a newer schema");
    ensure!(refused.output().contains("knows version 9999"), "{}", refused.output());
    service.start()?;
    let refused =
        service.ready().await.err().context("the service runs on an incompatible schema")?;
    ensure!(format!("{refused:#}").contains("ended"), "{refused:#}");

    // Tables of an older build, whose job of this build has not run yet.
    run(format!(
        "DELETE FROM {migrations}
          WHERE version = (SELECT max(version) FROM {migrations} WHERE version < 9999)"
    ))
    .await?;
    run(format!("DELETE FROM {migrations} WHERE version = 9999")).await?;
    service.start()?;
    waits(&service.client()?, "this build needs version").await
}
