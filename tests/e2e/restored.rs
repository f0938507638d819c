//! Logs that are restored from a backup while commands run: what the topic has beyond them stops the partitions concerned,
//! and nothing but an operator's word has them go on; then whoever follows the topic gets to where the log is.

/// Backups, and putting them back.
mod backups;
/// What the log and the topic say, looked at from outside.
mod facts;
/// Many restores, one after the other.
mod seeds;

use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Client;
use crate::load::Load;
use crate::process::{PASSBOOK, eventually};
use crate::site::{Pair, Service, Site};
use backups::Backups;
use facts::Facts;

/// The service is not ready, and its check of the log says why in these words.
async fn is_behind(service: &Client, words: &[&str]) -> anyhow::Result<()> {
    eventually("the service says that its log is behind", async || {
        let response = service.get("/health/ready").await?;
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

/// `passbook restore accept`, where nobody can be asked: whether it went well, and what it said.
async fn accept(service: &Service, options: &[&str]) -> anyhow::Result<(bool, String)> {
    let address = service.addr.to_string();
    let ended = Command::new(PASSBOOK)
        .args(["restore", "accept", "--command-addr", &address])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// The last event is lost, and as many commands are taken as were lost, and more: then topic and log have the same length.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_last_events_is_noticed_though_commands_have_filled_their_places()
-> anyhow::Result<()> {
    let site = Site::new("restored_behind").await?;
    let mut command = site.command("command").await?;
    let client = command.client()?;
    let account = client.open().await?;
    let mut facts = Facts::of(&site).await?;
    let mut backups = Backups::of(&site).await?;
    let backup = backups.make().await?;
    for amount in [100, 200, 300] {
        client.deposit(account, None, amount).await?;
    }
    facts.until_followed(&client).await?;
    command.stop().await?;
    backups.put_back(backup).await?;

    // Where no topic is to be seen, nobody can know: commands are taken.
    command.set("kafka-brokers", "127.0.0.1:1");
    command.start()?;
    eventually("commands are taken", async || client.deposit(account, None, 7).await).await?;
    for _ in 0..4 {
        client.deposit(account, None, 8).await?;
    }
    let unseen = client.get("/admin/restore").await?;
    let (status, problem) = (unseen.status(), unseen.text().await?);
    ensure!(status == 503 && problem.contains("topic_unavailable"), "{status}: {problem}");
    command.stop().await?;
    command.set("kafka-brokers", &site.kafka.brokers);
    command.start()?;

    let partition = passbook_shared::partition::partition_of(account, 12);
    is_behind(
        &client,
        &[&format!("partition {partition} (the log ends at 6, the topic at 4)"), "restore accept"],
    )
    .await?;
    for _ in 0..2 {
        let refused = client
            .post(&format!("/v1/accounts/{account}/deposits"), None, &json!({"amount": 1}))
            .await?;
        let (status, again) = (refused.status(), refused.headers().get("retry-after").cloned());
        let problem = refused.text().await?;
        ensure!(
            status == 503 && again.is_some() && problem.contains("\"log_is_behind\""),
            "{status}: {problem}"
        );
        command.kill_and_start().await?;
        is_behind(&client, &["the topic at 4"]).await?;
    }

    let (accepted, said) = accept(&command, &[]).await?;
    ensure!(!accepted && said.contains("--yes"), "{said}");
    for told in [
        &account.to_string(),
        &format!("{partition}-2"),
        "MoneyDeposited  100",
        "MoneyDeposited  300",
    ] {
        ensure!(said.contains(told), "{told}: {said}");
    }
    let (accepted, said) = accept(&command, &["--yes"]).await?;
    ensure!(accepted && said.contains("epoch 1 has begun"), "{said}");
    command.ready().await?;
    client.deposit(account, None, 9).await?;
    facts.until_followed(&client).await?;
    let (accepted, said) = accept(&command, &["--yes"]).await?;
    ensure!(accepted && said.contains("nothing to accept"), "{said}");
    let (accepted, said) = accept(&command, &["--yes", "--force", "--above-epoch", "4"]).await?;
    ensure!(accepted && said.contains("epoch 5 has begun"), "{said}");
    client.deposit(account, None, 10).await?;
    facts.until_followed(&client).await
}

/// The views have what was lost, too: they take themselves back, and equal the log again.
#[tokio::test(flavor = "multi_thread")]
async fn the_views_follow_a_restored_log_once_it_is_accepted() -> anyhow::Result<()> {
    let mut pair = Pair::start(Site::new("restored_pair").await?, 1).await?;
    let load = Load::start(&pair.command()?, 4, 20).await?;
    load.further(50).await?;
    let mut backups = Backups::of(&pair.site).await?;
    let backup = backups.make().await?;
    load.further(100).await?;
    load.stop().await?;
    pair.holds(&[]).await?;
    backups.put_back(backup).await?;
    is_behind(&pair.command()?, &["restore accept"]).await?;
    is_behind(&pair.projection()?, &["the views are at position", "restore accept"]).await?;
    let (accepted, said) = accept(&pair.commands[0], &["--yes"]).await?;
    ensure!(accepted && said.contains("epoch 1 has begun"), "{said}");
    let load = Load::start(&pair.command()?, 4, 5).await?;
    load.further(50).await?;
    let acknowledged = load.stop().await?;
    pair.holds(&acknowledged).await?;
    // Nobody was suspected of having written what the relay published in the new epoch.
    let metrics = pair.projection()?.get("/metrics").await?.text().await?;
    let unknown = metrics.lines().find(|line| line.contains("kind=\"unknown_epoch\""));
    ensure!(unknown.is_none_or(|line| line.ends_with(" 0")), "{unknown:?}");
    Ok(())
}

/// A hundred times, with one and with two instances.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_logs_restored_while_commands_run() -> anyhow::Result<()> {
    let sites = ["restored_0", "restored_1", "restored_2", "restored_3", "restored_4"];
    let mut running = tokio::task::JoinSet::new();
    for (name, first) in sites.into_iter().zip((0..).step_by(20)) {
        let instances = 1 + usize::try_from(first / 20 % 2)?;
        running.spawn(
            async move { seeds::run(name, instances, first..first + 20).await.context(name) },
        );
    }
    let mut forked = 0;
    while let Some(ended) = running.join_next().await {
        forked += ended??;
    }
    ensure!(forked > 60, "only {forked} of 100 restores were a fork");
    Ok(())
}
