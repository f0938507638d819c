//! Restored databases: views that are older than the log, newer than the log, or another store's.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::infrastructure::{self, TOPICS};
use crate::load::Load;
use crate::process::eventually;

/// Copy of a database.
struct Backup {
    database: String,
}

impl Backup {
    async fn take(url: &str) -> anyhow::Result<Self> {
        let database = url.rsplit('/').next().context("no database")?.to_owned();
        run(&format!("CREATE DATABASE {database}_backup TEMPLATE {database}")).await?;
        Ok(Self { database })
    }

    async fn restore(&self) -> anyhow::Result<()> {
        let database = &self.database;
        run(&format!("DROP DATABASE {database} WITH (FORCE)")).await?;
        run(&format!("CREATE DATABASE {database} TEMPLATE {database}_backup")).await?;
        run(&format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {database}")).await
    }
}

async fn run(sql: &str) -> anyhow::Result<()> {
    let postgres = infrastructure::postgres().await?;
    let mut connection = PgConnection::connect(&format!("{postgres}/postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .with_context(|| sql.to_owned())?;
    Ok(connection.close().await?)
}

/// Waits until the views are not ready, and the reason has these words.
async fn refuses(views: &Client, words: &[&str]) -> anyhow::Result<()> {
    eventually("readiness reports that the views and the log disagree", async || {
        let response = views.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        let health: Value = serde_json::from_str(&health)?;
        let reason = health["checks"]["log"]["reason"].as_str().unwrap_or_default();
        ensure!(
            status == 503 && words.iter().all(|word| reason.contains(word)),
            "{status}: {health}"
        );
        Ok(())
    })
    .await
}

async fn positions(views: &Client) -> anyhow::Result<Vec<i64>> {
    let state = views.json("/admin/projection").await?;
    let partitions = state["partitions"].as_array().context("no partitions")?;
    Ok(partitions.iter().filter_map(|partition| partition["position"].as_i64()).collect())
}

/// Waits until the log has confirmed the last event of every partition of the views.
async fn confirmed(pair: &Pair) -> anyhow::Result<()> {
    eventually("the log has confirmed the views", async || {
        let views = &pair.environment.projection_database_url;
        let mut connection = PgConnection::connect(views).await?;
        let unconfirmed: i64 = sqlx::query_scalar(
            "SELECT count(*)
               FROM views_1.checkpoints
               LEFT JOIN projection.confirmed USING (partition, position, event_id)
              WHERE position > 0 AND confirmed_at IS NULL",
        )
        .fetch_one(&mut connection)
        .await?;
        ensure!(unconfirmed == 0, "{unconfirmed} partitions are not confirmed");
        Ok(connection.close().await?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn older_views_catch_up() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("views_older").await?, 1).await?;
    let commands = pair.command()?;
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    pair.projections[0].stop().await?;
    let backup = Backup::take(&pair.environment.projection_database_url).await?;
    pair.projections[0].start()?;
    load.further(100).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await?;
    pair.projections[0].stop().await?;
    backup.restore().await?;
    pair.projections[0].start()?;
    pair.assert_consistent(&acknowledged).await.map(drop)
}

/// Restores the log and deletes the topic, so that only the views have the events that were lost.
#[tokio::test(flavor = "multi_thread")]
async fn newer_views_discard_nothing_until_an_operator_accepts_the_restore() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("views_newer").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await?;
    pair.commands[0].stop().await?;
    let backup = Backup::take(&pair.environment.database_url).await?;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    let account = commands.open().await?;
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    let lost = load.stop().await?;
    pair.assert_consistent(&lost).await?;
    // Only events that the log confirmed, which it does every second, are known as lost.
    confirmed(&pair).await?;
    let before = positions(&views).await?;

    pair.commands[0].stop().await?;
    pair.projections[0].stop().await?;
    backup.restore().await?;
    lose_topic(&mut pair).await?;
    pair.commands[0].start()?;
    pair.projections[0].start()?;
    pair.commands[0].ready().await?;
    refuses(&views, &["partition ", "the views are at position ", "restored", "restore accept"])
        .await?;
    ensure!(positions(&views).await? == before, "an event was discarded or applied");
    ensure!(
        views.get(&format!("/v1/accounts/{account}")).await?.status() == 200,
        "reads are no longer answered"
    );

    // As `restore accept` does when no partition is forked.
    let mut connection = PgConnection::connect(&pair.environment.database_url).await?;
    let accepted: bool = sqlx::query_scalar("SELECT passbook.accept_restore(0, 1, '{}', '{}')")
        .fetch_one(&mut connection)
        .await?;
    ensure!(accepted, "not accepted");
    pair.projections[0].ready().await?;
    let discarded = views.get(&format!("/v1/accounts/{account}")).await?;
    ensure!(discarded.status() == 404, "{}", discarded.text().await?);
    let load = Load::start(&commands, 8, 30).await?;
    load.further(50).await?;
    let further = load.stop().await?;
    pair.assert_consistent(&[acknowledged, further].concat()).await.map(drop)
}

async fn lose_topic(pair: &mut Pair) -> anyhow::Result<()> {
    if pair.environment.kafka.has_admin() {
        let (admin, options) = pair.environment.admin()?;
        for deleted in admin.delete_topics(&[&pair.environment.topic], &options).await? {
            deleted.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
        }
    } else {
        for service in pair.commands.iter_mut().chain(&mut pair.projections) {
            service.set("kafka-topic", TOPICS[1]);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_another_store_apply_nothing() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("views_foreign").await?, 1).await?;
    let views = pair.projection()?;
    let account = pair.command()?.open().await?;
    pair.assert_consistent(&[]).await?;
    let before = positions(&views).await?;
    let other =
        Environment::on("views_foreign_other", crate::infrastructure::Kafka::shared().await?)
            .await?;
    let other_service = other.command("command-0").await?;
    other_service.client()?.open().await?;

    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("command-service-url", &format!("http://{}", other_service.addr));
    projection.start()?;
    refuses(&views, &["store", "nothing is applied", "PROJECTION_DATABASE_URL"]).await?;
    pair.command()?.deposit(account, None, 1).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ensure!(positions(&views).await? == before, "an event was applied");
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 1, "{shown}");

    let own = json!(format!("http://{}", pair.commands[0].addr));
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("command-service-url", own.as_str().context("not a string")?);
    projection.start()?;
    pair.assert_consistent(&[]).await.map(drop)
}
