//! Compatibility with a store of the first release (`tests/fixtures/store-0.1.0`): this build
//! starts on it and reads every event, key and view as that build did. Migrations are never edited,
//! only added.

mod answers;
mod fixtures;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use self::answers::{answers_the_same, reads_the_same};
use self::fixtures::{Exchange, Read, fixtures, old_environment, quote_keys};
use crate::client::Client;
use crate::environment::Pair;
use crate::invariants::{caught_up, read_log};
use crate::process::eventually;
use crate::verify;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_release_is_read_and_continues() -> anyhow::Result<()> {
    let environment = old_environment("old_store").await?;
    let quoted = quote_keys(&environment).await?;
    environment.migrate().await?;
    // Keeps keys for longer than the fixture will be old.
    let mut service =
        environment.command_with("command-0", &[("idempotency-days", "36500".to_owned())])?;
    service.ready().await?;
    let pair = Pair::resume(environment, service, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let log = read_log(&commands).await?;
    caught_up(&log, &views).await?;

    for read in fixtures::<Read>("reads.jsonl")? {
        let client = if read.service == "command" { &commands } else { &views };
        reads_the_same(client, &read)
            .await
            .with_context(|| format!("GET {} of the {}", read.path, read.service))?;
    }
    let mut repeats = 0;
    for exchange in fixtures::<Exchange>("commands.jsonl")? {
        let Some(repeated) = &exchange.repeated else { continue };
        answers_the_same(&commands, &exchange, repeated).await.with_context(|| {
            format!(
                "{} {} {:?} {}",
                exchange.method, exchange.path, exchange.headers, exchange.body
            )
        })?;
        repeats += 1;
    }
    ensure!(repeats > 50 && quoted > 50, "{repeats} keys, {quoted} in quotes");
    let events: usize = log.iter().map(Vec::len).sum();
    let after: usize = read_log(&commands).await?.iter().map(Vec::len).sum();
    ensure!(after == events, "repeats appended {} events", after - events);
    verify::finds_nothing(&views).await?;

    continues(&commands, &views).await?;
    let replay =
        views.post("/admin/replays", None, &json!({"from": "beginning"})).await?.text().await?;
    let replay: Value = serde_json::from_str(&replay)?;
    let path =
        format!("/admin/replays/{}", replay["id"].as_str().with_context(|| replay.to_string())?);
    eventually("the replay has ended", async || {
        let replay = views.json(&path).await?;
        let done = (
            &replay["state"],
            &replay["generation"],
            &replay["differences"],
            &replay["events_from_log"],
        );
        ensure!(done == (&json!("done"), &json!(3), &json!(0), &json!(0)), "{replay}");
        Ok(())
    })
    .await?;
    verify::finds_nothing(&views).await.map(drop)
}

/// Checks that every account accepts commands, and that the views follow through the topic.
async fn continues(commands: &Client, views: &Client) -> anyhow::Result<()> {
    let accounts = views.json("/v1/accounts?limit=200&status=open").await?;
    let accounts = accounts["data"].as_array().context("no list")?;
    let mut accepted = Vec::new();
    for account in accounts {
        let id = account["account_id"].as_str().context("no id")?;
        // These accounts have events that no build knows.
        if id.starts_with("c000000") {
            continue;
        }
        let id = id.parse()?;
        let done = commands.deposit(id, None, 5).await?;
        let balance = account["balance"].as_i64().context("no balance")? + 5;
        ensure!(done["account"]["balance"] == balance, "{account} became {done}");
        let view =
            views.json(&format!("/v1/accounts/{id}?min_version={}", done["version"])).await?;
        ensure!(
            view["balance"] == balance && view["version"] == done["version"],
            "{done}, but {view}"
        );
        accepted.push(id);
    }
    ensure!(accepted.len() >= 5, "{} accounts took a deposit", accepted.len());
    // A consumer that starts asks the log once, so the log may supply some of the events.
    eventually("an event comes from the topic", async || {
        let done = commands.deposit(accepted[0], None, 5).await?;
        let path = format!("/v1/accounts/{}", accepted[0]);
        views.json(&format!("{path}?min_version={}", done["version"])).await?;
        let entry = views.json(&format!("{path}/entries/{}", done["version"])).await?;
        ensure!(
            entry["kafka"].is_object() && entry["published_at"].is_string(),
            "not from the topic: {entry}"
        );
        Ok(())
    })
    .await
}

/// An edited migration would leave existing stores without the edit.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_migration_is_refused() -> anyhow::Result<()> {
    let environment = old_environment("edited_migration").await?;
    for (url, table) in [
        (&environment.database_url, "public._sqlx_migrations"),
        (&environment.projection_database_url, "projection.migrations"),
    ] {
        let mut connection = PgConnection::connect(url).await?;
        // As if the old build had applied another text.
        let toggled = format!(
            "UPDATE {table} SET checksum = set_byte(checksum, 0, 255 - get_byte(checksum, 0))
              WHERE version = 2"
        );
        sqlx::raw_sql(AssertSqlSafe(toggled.clone())).execute(&mut connection).await?;
        let refused = environment.migrate().await.err().context("the tables were migrated")?;
        let reason = format!("{refused:#}");
        ensure!(
            reason.contains("migration 2 was previously applied but has been modified"),
            "{reason}"
        );
        sqlx::raw_sql(AssertSqlSafe(toggled)).execute(&mut connection).await?;
    }
    environment.migrate().await
}
