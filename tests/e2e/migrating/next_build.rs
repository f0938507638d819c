//! Builds N and N+1 next to each other on the schema of N+1.
//!
//! The migration of N+1 is an additional one, which the code of the migration job applies. The
//! services of both are this build.

use anyhow::ensure;
use command_service::log::store::SCHEMA as LOG;
use passbook_shared::schema::Schema;
use projection_service::store::schema::SCHEMA as VIEWS;
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, SqlSafeStr};

use super::{job, succeeds};
use crate::environment::{Environment, Pair};
use crate::load::Load;
use crate::replay;

/// Changes that a migration may make while services of the previous build run.
const TO_LOG: &str = "
    ALTER TABLE passbook.events ADD COLUMN next_build text;
    ALTER TABLE passbook.commands ADD COLUMN next_build int NOT NULL DEFAULT 7;
    ALTER TABLE passbook.snapshots ADD COLUMN next_build text;
    ALTER TABLE passbook.store ADD COLUMN next_build text;
    CREATE TABLE passbook.next_build (id bigint PRIMARY KEY);
    CREATE FUNCTION passbook.next_build() RETURNS int LANGUAGE sql AS 'SELECT 1';";
const TO_VIEWS: &str = "
    ALTER TABLE projection.generations ADD COLUMN next_build int NOT NULL DEFAULT 7;
    ALTER TABLE projection.replays ADD COLUMN next_build text;
    ALTER TABLE projection.source ADD COLUMN next_build text;
    CREATE TABLE projection.next_build (id bigint PRIMARY KEY);
    CREATE FUNCTION projection.next_build() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION projection.next_internal() RETURNS int LANGUAGE sql AS 'SELECT 1';
    REVOKE ALL ON FUNCTION projection.next_internal() FROM PUBLIC;";

fn and_one_more(mut migrator: Migrator, sql: &'static str) -> Migrator {
    let version = migrator.iter().map(|one| one.version).max().unwrap_or_default() + 1;
    let (name, sql) = ("of the next build".into(), sql.into_sql_str());
    let migration = Migration::new(version, name, MigrationType::Simple, sql, false);
    migrator.migrations.to_mut().push(migration);
    migrator
}

/// Migrates both schemas as the jobs of build N+1 do, but grants nothing yet.
async fn migrate(environment: &Environment) -> anyhow::Result<()> {
    let log = Schema { migrations: || and_one_more((LOG.migrations)(), TO_LOG), ..LOG };
    let views = Schema { migrations: || and_one_more((VIEWS.migrations)(), TO_VIEWS), ..VIEWS };
    for (schema, url) in
        [(log, &environment.database_url), (views, &environment.projection_database_url)]
    {
        let owner: PgConnectOptions = url.parse()?;
        let mut connection = schema.own(&owner).await?;
        schema.migrate(&mut connection).await?;
        connection.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_run_next_to_each_other_on_the_newer_schema() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("two_builds").await?, 2).await?;
    let load = Load::start(&pair.command()?, 6, 20).await?;
    load.further(100).await?;
    migrate(&pair.environment).await?;
    // The running services of build N.
    load.further(300).await?;
    for part in ["command-service", "projection-service"] {
        succeeds(job(&pair.environment, part, "previous")?).await?;
    }
    // The instances start again one after the other, on a schema that is newer than their build.
    for number in 0..2 {
        for service in [&mut pair.projections[number], &mut pair.commands[number]] {
            service.stop().await?;
            service.start()?;
            service.ready().await?;
        }
        load.further(300).await?;
    }
    // Creates tables of a new generation.
    let views = pair.projection()?;
    replay::request(&views, json!({"from": "beginning"})).await?;
    let rebuilt = replay::ended(&views).await?;
    ensure!(rebuilt["state"] == "done", "{rebuilt}");
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}
