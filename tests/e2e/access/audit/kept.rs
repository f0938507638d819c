use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::access::scope::Role;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::super::{ask, key, known};
use super::calls;
use crate::environment::{Environment, Pair};
use crate::process::eventually;

const OPERATIONS: &str = include_str!("../../../../docs/OPERATIONS.md");
/// Number of calls while the database is away.
const DURING: usize = 300;

/// Opens or closes the database of the views to everybody.
async fn open_views(environment: &Environment, is_open: bool) -> anyhow::Result<()> {
    let views: PgConnectOptions = environment.projection_database_url.parse()?;
    let name = views.get_database().context("no database")?.to_owned();
    let mut elsewhere = views.database("postgres").connect().await?;
    let alter = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_open}");
    sqlx::raw_sql(AssertSqlSafe(alter)).execute(&mut elsewhere).await?;
    if !is_open {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(name)
            .execute(&mut elsewhere)
            .await?;
    }
    Ok(elsewhere.close().await?)
}

async fn state_of_the_trail(pair: &Pair) -> anyhow::Result<(String, String)> {
    let health = pair.projection()?.get("/health/ready").await?.text().await?;
    let health: Value = serde_json::from_str(&health)?;
    let check = &health["checks"]["audit"];
    Ok((check["state"].to_string(), check["reason"].to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_during_an_outage_of_the_database_are_in_the_trail_afterwards() -> anyhow::Result<()>
{
    let mut pair = Pair::start(Environment::new("audit_outage").await?, 1).await?;
    let reader = key("audited-outage", Role::Reader.scopes())?;
    known(&pair.projections[0], &reader).await?;
    let bearer = format!("Bearer {}", reader.text);
    let forbidden = async |number: usize| {
        let path = format!("/admin/replays/00000000-0000-0000-0000-{number:012}");
        let views = &pair.projections[0];
        let (status, body) = ask(views, Method::DELETE, &path, Some(&bearer), None).await?;
        ensure!(status == StatusCode::FORBIDDEN, "{status}: {body}");
        Ok(())
    };
    forbidden(0).await?;
    calls(&pair.projections[0], 1).await?;
    open_views(&pair.environment, false).await?;
    for number in 1..=DURING {
        forbidden(number).await?;
    }
    eventually("readiness reports the calls that wait", async || {
        let (state, reason) = state_of_the_trail(&pair).await?;
        let waits = format!("{DURING} calls wait in memory");
        ensure!(state.contains("degraded") && reason.contains(&waits), "{state}: {reason}");
        Ok(())
    })
    .await?;
    // More than one attempt fails.
    tokio::time::sleep(Duration::from_secs(3)).await;
    open_views(&pair.environment, true).await?;
    let paths = eventually("the trail has every call once", async || {
        let mut rows = PgConnection::connect(&pair.environment.projection_database_url).await?;
        let sql = "SELECT path FROM projection.audit ORDER BY audit_id";
        let paths: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut rows).await?;
        ensure!(paths.len() > DURING, "{} calls", paths.len());
        Ok(paths)
    })
    .await?;
    ensure!(paths.len() == DURING + 1 && paths.is_sorted(), "{paths:?}");
    pair.projections[0].ready().await?;
    let (state, _) = state_of_the_trail(&pair).await?;
    let metrics = pair.projection()?.metrics().await?;
    ensure!(state.contains("ok") && metrics.contains("passbook_audit_lost_total 0"), "{state}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_statement_deletes_old_calls_only() -> anyhow::Result<()> {
    let environment = Environment::new("audit_retention").await?;
    for (schema, url) in [
        ("passbook", &environment.database_url),
        ("projection", &environment.projection_database_url),
    ] {
        let mut owner = PgConnection::connect(url).await?;
        let append = format!(
            "SELECT {schema}.record_audit(
                 ARRAY[now() - interval '401 days', now() - interval '399 days', now()],
                 ARRAY['a', 'b', 'c'], ARRAY['x', 'x', 'x'], ARRAY['/', '/', '/'],
                 ARRAY[200, 200, 200]::smallint[], ARRAY['1', '2', '3'],
                 ARRAY[NULL, NULL, NULL]::text[])"
        );
        sqlx::raw_sql(AssertSqlSafe(append)).execute(&mut owner).await?;
        let delete = format!("DELETE FROM {schema}.audit ");
        let documented = OPERATIONS.lines().find(|line| line.starts_with(&delete));
        let documented = documented.with_context(|| format!("no {delete}in the document"))?;
        sqlx::raw_sql(AssertSqlSafe(documented.to_owned())).execute(&mut owner).await?;
        let left: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT principal FROM {schema}.audit ORDER BY audit_id"
        )))
        .fetch_all(&mut owner)
        .await?;
        ensure!(left == ["b", "c"], "{schema}: {left:?}");
    }
    Ok(())
}
