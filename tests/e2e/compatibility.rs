//! A store of the first release (`tests/fixtures/store-0.1.0`): this build starts on it, and reads every event, key and
//! view as that build did. Its migrations are never edited, only added to.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::ground::Kafka;
use crate::process::eventually;
use crate::site::{Pair, Site};
use crate::truth::{caught_up, read_log};
use crate::verify;

/// A command, its answer, and the answer to a second one with the same key.
#[derive(Debug, Deserialize)]
struct Exchange {
    method: String,
    path: String,
    headers: Map<String, Value>,
    body: Value,
    status: u16,
    repeated: Option<Repeated>,
}

#[derive(Debug, Deserialize)]
struct Repeated {
    replayed: bool,
    answer: String,
}

/// A query and its answer.
#[derive(Debug, Deserialize)]
struct Read {
    service: String,
    path: String,
    status: u16,
    etag: Option<String>,
    answer: Value,
}

fn fixture(name: &str) -> anyhow::Result<String> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/store-0.1.0").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("{} can't be read", path.display()))
}

fn fixtures<T: for<'a> Deserialize<'a>>(name: &str) -> anyhow::Result<Vec<T>> {
    fixture(name)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// A site with both databases as the old build left them, and no topic.
async fn old_site(name: &'static str) -> anyhow::Result<Site> {
    let site = Site::unprepared(name, Kafka::shared().await?).await?;
    for (url, dump) in
        [(&site.database_url, "log.sql"), (&site.projection_database_url, "views.sql")]
    {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(fixture(dump)?))
            .execute(&mut connection)
            .await
            .context(dump)?;
        connection.close().await?;
    }
    Ok(site)
}

/// Keeps the old store's keys as it would have kept them from clients that send them in quotes; how many there are.
async fn in_quotes(site: &Site) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&site.database_url).await?;
    let sql = "UPDATE passbook.commands SET idempotency_key = '\"' || idempotency_key || '\"'";
    Ok(sqlx::query(sql).execute(&mut connection).await?.rows_affected())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_release_is_read_and_goes_on() -> anyhow::Result<()> {
    let site = old_site("old_store").await?;
    let quoted = in_quotes(&site).await?;
    site.migrate().await?;
    // Keys are kept longer than the fixture will be old.
    let mut service =
        site.command_with("command-0", &[("idempotency-days", "36500".to_owned())])?;
    service.ready().await?;
    let pair = Pair::resume(site, service, 1).await?;
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

    goes_on(&commands, &views).await?;
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

/// Every account takes commands as before, and the views follow through the topic.
async fn goes_on(commands: &Client, views: &Client) -> anyhow::Result<()> {
    let accounts = views.json("/v1/accounts?limit=200&status=open").await?;
    let accounts = accounts["data"].as_array().context("no list")?;
    let mut sound = 0;
    for account in accounts {
        let id = account["account_id"].as_str().context("no id")?;
        // The accounts with events that no build knows.
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
        let entry = views.json(&format!("/v1/accounts/{id}/entries/{}", done["version"])).await?;
        ensure!(
            entry["kafka"].is_object() && entry["published_at"].is_string(),
            "not by the topic: {entry}"
        );
        sound += 1;
    }
    ensure!(sound >= 5, "{sound} accounts took a deposit");
    Ok(())
}

async fn reads_the_same(client: &Client, read: &Read) -> anyhow::Result<()> {
    let response = client.get(&read.path).await?;
    let status = response.status();
    let etag =
        response.headers().get("etag").map(|etag| etag.to_str().map(str::to_owned)).transpose()?;
    let body = response.text().await?;
    ensure!(status == read.status, "{status}: {body}");
    ensure!(read.etag.is_none() || etag == read.etag, "ETag {etag:?}, not {:?}", read.etag);
    let mut expected = read.answer.clone();
    if read.path.starts_with("/admin/replays") {
        expected["data"].as_array_mut().into_iter().flatten().for_each(flatten_from);
    }
    has_all("", &serde_json::from_str(&body)?, &expected)
}

/// From where a replay was asked for has been a field of its own since: `docs/UPGRADE.md`.
fn flatten_from(replay: &mut Value) {
    let Some(from) = replay["from"].as_object().cloned() else { return };
    for (name, value) in from {
        replay["from"] = json!(if name == "account_id" { "account" } else { &name });
        replay[&name] = value;
    }
}

/// Whether `actual` has all that `expected` has; objects may have more.
fn has_all(place: &str, actual: &Value, expected: &Value) -> anyhow::Result<()> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().try_for_each(|(name, expected)| {
                match (place, name.as_str()) {
                    // Opaque; and the name of this test's topic.
                    ("", "next_cursor") | (".kafka", "topic") => Ok(()),
                    _ => has_all(
                        &format!("{place}.{name}"),
                        actual.get(name).unwrap_or(&Value::Null),
                        expected,
                    ),
                }
            })
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            let mut pairs = actual.iter().zip(expected).enumerate();
            pairs.try_for_each(|(index, (actual, expected))| {
                has_all(&format!("{place}[{index}]"), actual, expected)
            })
        }
        _ => {
            ensure!(actual == expected, "{place} is {actual}, not {expected}");
            Ok(())
        }
    }
}

/// The repeat of a command gets its first answer, byte for byte.
async fn answers_the_same(
    commands: &Client,
    exchange: &Exchange,
    repeated: &Repeated,
) -> anyhow::Result<()> {
    let mut request =
        commands.request(Method::from_bytes(exchange.method.as_bytes())?, &exchange.path);
    for (name, value) in &exchange.headers {
        request = request.header(name, value.as_str().context("not a text")?);
    }
    let response = request.json(&exchange.body).send().await?;
    let status = response.status();
    let replayed =
        response.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
    let mut body = response.text().await?;
    if exchange.path == "/v1/commands" {
        // Each result has said what it is since: `docs/UPGRADE.md`.
        for result in ["account", "hold", "transfer", "problem"] {
            body = body.replace(&format!(r#""result":"{result}","#), "");
        }
    }
    ensure!(
        status == exchange.status && body == repeated.answer,
        "{status}: {body}, not {repeated:?}"
    );
    ensure!(replayed == repeated.replayed, "replayed: {replayed}");
    Ok(())
}

/// A migration that was edited after its release would leave old stores without what it says now.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_migration_is_refused() -> anyhow::Result<()> {
    let site = old_site("edited_migration").await?;
    for (url, table) in [
        (&site.database_url, "public._sqlx_migrations"),
        (&site.projection_database_url, "projection.migrations"),
    ] {
        let mut connection = PgConnection::connect(url).await?;
        // What the old build applied was another text than the one that is here.
        let toggled = format!(
            "UPDATE {table} SET checksum = set_byte(checksum, 0, 255 - get_byte(checksum, 0)) WHERE version = 2"
        );
        sqlx::raw_sql(AssertSqlSafe(toggled.clone())).execute(&mut connection).await?;
        let refused = site.migrate().await.err().context("the tables were brought up to date")?;
        let reason = format!("{refused:#}");
        ensure!(
            reason.contains("migration 2 was previously applied but has been modified"),
            "{reason}"
        );
        sqlx::raw_sql(AssertSqlSafe(toggled)).execute(&mut connection).await?;
    }
    site.migrate().await
}
