//! Databases that were restored: the views may be older than the log, newer than it, or another store's.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::client::Client;
use crate::ground::{self, TOPICS};
use crate::load::Load;
use crate::process::eventually;
use crate::site::{Pair, Site};

/// A copy of a database that nobody uses.
struct Backup {
    of: String,
}

impl Backup {
    async fn take(url: &str) -> anyhow::Result<Self> {
        let of = url.rsplit('/').next().context("no database")?.to_owned();
        run(&format!("CREATE DATABASE {of}_backup TEMPLATE {of}")).await?;
        Ok(Self { of })
    }

    async fn restore(&self) -> anyhow::Result<()> {
        let of = &self.of;
        run(&format!("DROP DATABASE {of} WITH (FORCE)")).await?;
        run(&format!("CREATE DATABASE {of} TEMPLATE {of}_backup")).await?;
        run(&format!("GRANT CONNECT, TEMPORARY ON DATABASE {of} TO {of}")).await
    }
}

async fn run(sql: &str) -> anyhow::Result<()> {
    let postgres = ground::postgres().await?;
    let mut connection = PgConnection::connect(&format!("{postgres}/postgres")).await?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .with_context(|| sql.to_owned())?;
    Ok(connection.close().await?)
}

/// Readiness says no, and why, in these words.
async fn refuses(views: &Client, words: &[&str]) -> anyhow::Result<()> {
    eventually("readiness says that the views and the log disagree", async || {
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

#[tokio::test(flavor = "multi_thread")]
async fn older_views_read_on() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("views_older").await?, 1).await?;
    let commands = pair.command()?;
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    pair.projections[0].stop().await?;
    let backup = Backup::take(&pair.site.projection_database_url).await?;
    pair.projections[0].start()?;
    load.further(100).await?;
    let acknowledged = load.stop().await?;
    pair.holds(&acknowledged).await?;
    pair.projections[0].stop().await?;
    backup.restore().await?;
    pair.projections[0].start()?;
    pair.holds(&acknowledged).await.map(drop)
}

/// The log is restored and the topic is lost, so nothing but the views knows what the log had.
#[tokio::test(flavor = "multi_thread")]
async fn newer_views_give_up_nothing_until_an_operator_says_so() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("views_newer").await?, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    let acknowledged = load.stop().await?;
    pair.holds(&acknowledged).await?;
    pair.commands[0].stop().await?;
    let backup = Backup::take(&pair.site.database_url).await?;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    let account = commands.open().await?;
    let load = Load::start(&commands, 8, 30).await?;
    load.further(100).await?;
    let lost = load.stop().await?;
    pair.holds(&lost).await?;
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
    ensure!(positions(&views).await? == before, "something was given up or applied");
    ensure!(
        views.get(&format!("/v1/accounts/{account}")).await?.status() == 200,
        "reads are answered as before"
    );

    // As `restore accept` does when no partition is forked.
    let mut connection = PgConnection::connect(&pair.site.database_url).await?;
    let accepted: bool = sqlx::query_scalar("SELECT passbook.accept_restore(0, 1, '{}', '{}')")
        .fetch_one(&mut connection)
        .await?;
    ensure!(accepted, "not accepted");
    pair.projections[0].ready().await?;
    let gone = views.get(&format!("/v1/accounts/{account}")).await?;
    ensure!(gone.status() == 404, "{}", gone.text().await?);
    let load = Load::start(&commands, 8, 30).await?;
    load.further(50).await?;
    let later = load.stop().await?;
    pair.holds(&[acknowledged, later].concat()).await.map(drop)
}

async fn lose_topic(pair: &mut Pair) -> anyhow::Result<()> {
    if pair.site.kafka.has_admin() {
        let (admin, options) = pair.site.admin()?;
        for deleted in admin.delete_topics(&[&pair.site.topic], &options).await? {
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
async fn views_of_another_store_refuse_and_change_nothing() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("views_foreign").await?, 1).await?;
    let views = pair.projection()?;
    let account = pair.command()?.open().await?;
    pair.holds(&[]).await?;
    let before = positions(&views).await?;
    let other = Site::on("views_foreign_other", crate::ground::Kafka::shared().await?).await?;
    let stranger = other.command("command-0").await?;
    stranger.client()?.open().await?;

    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("command-service-url", &format!("http://{}", stranger.addr));
    projection.start()?;
    refuses(&views, &["store", "nothing is applied", "PROJECTION_DATABASE_URL"]).await?;
    pair.command()?.deposit(account, None, 1).await?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    ensure!(positions(&views).await? == before, "something was applied");
    let shown = views.json(&format!("/v1/accounts/{account}")).await?;
    ensure!(shown["version"] == 1, "{shown}");

    let own = json!(format!("http://{}", pair.commands[0].addr));
    let projection = &mut pair.projections[0];
    projection.stop().await?;
    projection.set("command-service-url", own.as_str().context("no text")?);
    projection.start()?;
    pair.holds(&[]).await.map(drop)
}
