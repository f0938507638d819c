//! Drill of a backup and a restore of the log, with the commands that docs/OPERATIONS.md shows.

/// Blocks of the page.
mod page;
/// Postgres that archives its WAL.
mod server;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

use super::is_behind;
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::infrastructure::keys;
use crate::invariants::{caught_up, read_log};
use crate::load::Acknowledged;
use crate::process::{DEADLINE, PASSBOOK, ops_of};
use server::Server;

const ACCOUNTS: usize = 20;
/// Number of commands before the moment that is restored.
const KEPT: usize = 6_000;
/// Number of commands after it.
const LOST: usize = 4_000;
const AT_ONCE: usize = 1_000;

/// Makes `count` deposits.
async fn deposit(
    client: &Client,
    accounts: &[Uuid],
    count: usize,
) -> anyhow::Result<Vec<Acknowledged>> {
    let mut acknowledged = Vec::new();
    for _ in 0..count / AT_ONCE {
        let command = |account| {
            let key = Uuid::new_v4().to_string();
            json!({"type": "deposit", "account_id": account, "amount": 1, "idempotency_key": key})
        };
        let commands: Vec<_> = accounts.iter().cycle().take(AT_ONCE).map(command).collect();
        let answer = client.post("/v1/commands", None, &json!({"commands": commands})).await?;
        let answer: Value = answer.json().await?;
        let results = answer["results"].as_array().context("no results")?;
        for (command, result) in commands.iter().zip(results) {
            ensure!(result["status"] == 201, "{result}");
            let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
            acknowledged.push(Acknowledged {
                account: text(&command["account_id"])?.parse()?,
                key: text(&command["idempotency_key"])?,
                position: text(&result["position"])?,
                version: result["version"].as_i64().context("no version")?,
            });
        }
    }
    Ok(acknowledged)
}

/// Runs commands of the services on their host.
async fn on_host(pair: &Pair, script: &str) -> anyhow::Result<()> {
    let environment = &pair.environment;
    let services = "command-service() { \"$PASSBOOK\" command-service \"$@\"; }
        projection-service() { \"$PASSBOOK\" projection-service \"$@\"; }\n";
    let ended = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{services}{script}")])
        .env("PASSBOOK", PASSBOOK)
        .env("PASSBOOK_KEY_FILE", keys()?.operator)
        .env("COMMAND_ADDR", pair.commands[0].addr.to_string())
        .env("COMMAND_OPS_ADDR", ops_of(pair.commands[0].addr).to_string())
        .env("PROJECTION_OPS_ADDR", ops_of(pair.projections[0].addr).to_string())
        .env("DATABASE_URL", &environment.command_role_url)
        .env("MIGRATION_DATABASE_URL", &environment.database_url)
        .env("PROJECTION_ADDR", pair.projections[0].addr.to_string())
        .env("PROJECTION_DATABASE_URL", &environment.projection_role_url)
        .env("KAFKA_BROKERS", &environment.kafka.brokers)
        .output();
    let ended = timeout(DEADLINE, ended).await.context("the script does not end")??;
    if !ended.status.success() {
        let output = [ended.stdout, ended.stderr].concat();
        bail!("{script}: {}: {}", ended.status, String::from_utf8_lossy(&output));
    }
    Ok(())
}

/// Restores the log to a moment between commands, accepts it, and verifies both services.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_its_wal_restore_the_log_to_a_moment() -> anyhow::Result<()> {
    let blocks: [String; 6] =
        page::blocks("sh").try_into().map_err(|blocks| anyhow::anyhow!("{blocks:#?}"))?;
    let [back_up, archive, restore, check, accept, verify] = blocks;
    let server = Server::start(&page::blocks("ini").concat()).await?;
    let environment = Environment::with_log_on("restored_drill", &server.url).await?;
    let mut pair = Pair::start(environment, 1).await?;
    let (client, views) = (pair.command()?, pair.projection()?);
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        accounts.push(client.open().await?);
    }

    server.run(&back_up, &[]).await?;
    let kept = deposit(&client, &accounts, KEPT).await?;
    let until = server.now().await?;
    deposit(&client, &accounts, LOST).await?;
    // The topic and the views have everything.
    caught_up(&read_log(&client).await?, &views).await?;
    server.run(&archive, &[]).await?;

    server.run(&restore, &[("UNTIL", &until)]).await?;
    pair.commands[0].stop().await?;
    pair.environment.log_is_on(&server.restored_url)?;
    on_host(&pair, &check).await?;
    pair.commands[0].set("database-url", &pair.environment.command_role_url);
    pair.commands[0].start()?;
    is_behind(&client, &["restore accept"]).await?;
    is_behind(&views, &["restore accept"]).await?;
    // Without a terminal, nobody can confirm.
    on_host(&pair, &accept.replace("restore accept", "restore accept --yes")).await?;
    pair.commands[0].ready().await?;
    pair.projections[0].ready().await?;
    on_host(&pair, &verify).await?;
    let log = pair.assert_consistent(&kept).await?;
    let count: usize = log.iter().map(Vec::len).sum();
    ensure!(count == ACCOUNTS + KEPT, "the log has {count} events");
    deposit(&client, &accounts, AT_ONCE).await?;
    pair.assert_consistent(&kept).await.map(drop)
}
