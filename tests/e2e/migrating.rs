//! The tables are made by jobs that own them; the services own nothing and wait for the jobs.

use anyhow::{Context, ensure};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::ground::Kafka;
use crate::process::{Process, eventually};
use crate::site::{Pair, Service, Site};

/// The service is not ready, and says why in these words.
async fn waits(service: &Client, words: &str) -> anyhow::Result<()> {
    eventually("the service says what it waits for", async || {
        let response = service.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        let health: Value = serde_json::from_str(&health)?;
        let reason = health["checks"]["postgres"]["reason"].as_str().unwrap_or_default();
        ensure!(status == 503 && reason.contains(words), "{status}: {health}");
        Ok(())
    })
    .await
}

/// The job of a service, as its owner.
fn job(site: &Site, part: &str, log: &str) -> anyhow::Result<Process> {
    let log = std::env::temp_dir().join(format!("{}-{part}-{log}.log", site.name));
    let _ = std::fs::remove_file(&log);
    let arguments = match part {
        "command-service" => [
            part.to_owned(),
            format!("--database-url={}", site.command_role_url),
            "migrate".to_owned(),
            format!("--migration-database-url={}", site.database_url),
        ],
        _ => [
            part.to_owned(),
            format!("--projection-database-url={}", site.projection_role_url),
            "migrate".to_owned(),
            format!("--projection-migration-database-url={}", site.projection_database_url),
        ],
    };
    Process::start(&arguments, &log)
}

async fn succeeds(mut job: Process) -> anyhow::Result<()> {
    let status = job.ended().await?;
    ensure!(status.success(), "{status}: {}", job.output());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_tables_and_several_jobs_at_once_make_them() -> anyhow::Result<()> {
    let site = Site::unprepared("migrating", Kafka::shared().await?).await?;
    let mut command = site.command_started("command-0")?;
    waits(&command.client()?, "run `command-service migrate`").await?;
    let mut projection = site.projection_started("projection-0", &command)?;
    waits(&projection.client()?, "run `projection-service migrate`").await?;

    for part in ["command-service", "projection-service"] {
        let jobs: Vec<_> =
            (0..3).map(|n| job(&site, part, &n.to_string())).collect::<anyhow::Result<_>>()?;
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
    let mut pair = Pair { site, commands: vec![command], projections: vec![projection] };
    pair.holds(&[]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_on_a_newer_schema_that_is_compatible_and_on_no_other() -> anyhow::Result<()>
{
    let mut pair = Pair::start(Site::new("newer").await?, 1).await?;
    let (commands, projections) = (pair.commands.remove(0), pair.projections.remove(0));
    let site = &pair.site;
    // While the command-service still runs: empty views ask whose log they are to be of.
    let table = "projection.migrations";
    newer(
        site,
        projections,
        "projection-service",
        &site.projection_database_url,
        table,
        "projection",
    )
    .await?;
    newer(
        site,
        commands,
        "command-service",
        &site.database_url,
        "public._sqlx_migrations",
        "passbook",
    )
    .await
}

async fn newer(
    site: &Site,
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
         VALUES (9999, 'of a build to come', true, '', 0)"
    ))
    .await?;
    succeeds(job(site, part, "compatible")?).await?;
    service.start()?;
    service.ready().await?;

    run(format!("UPDATE {schema}.compatibility SET oldest_build = 9999")).await?;
    service.stop().await?;
    let mut refused = job(site, part, "incompatible")?;
    ensure!(!refused.ended().await?.success(), "the job of an older build changed a newer schema");
    ensure!(refused.output().contains("knows version 9999"), "{}", refused.output());
    service.start()?;
    let refused =
        service.ready().await.err().context("the service runs on tables that it does not know")?;
    ensure!(format!("{refused:#}").contains("ended"), "{refused:#}");

    // A job that has yet to run: of this build, on tables of an older one.
    run(format!(
        "DELETE FROM {migrations} WHERE version = (SELECT max(version) FROM {migrations} WHERE version < 9999)"
    ))
    .await?;
    run(format!("DELETE FROM {migrations} WHERE version = 9999")).await?;
    service.start()?;
    waits(&service.client()?, "this build needs version").await
}
