//! Logs that are restored from a backup while commands run. A partition whose topic has other
//! events stops until an operator accepts the restore; then every follower of the topic arrives at
//! the log.

/// Backups of the log.
mod backups;
/// Restore from a base backup and the archived WAL.
mod drill;
/// Log and topic as an outside observer reads them.
mod facts;
/// Random restores, one after the other.
mod seeds;

use std::process::Stdio;

use anyhow::{Context, ensure};
use passbook_shared::partition::partition_of;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::Client;
use crate::environment::{Environment, Pair, Service};
use crate::infrastructure::{PARTITIONS, keys};
use crate::load::Load;
use crate::process::{PASSBOOK, eventually};
use backups::Backups;
use facts::Facts;

/// Waits until the service is not ready, and its check of the log gives a reason with these words.
async fn is_behind(service: &Client, words: &[&str]) -> anyhow::Result<()> {
    eventually("the service reports that its log is behind", async || {
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

/// Runs `passbook restore accept` without a terminal. Returns whether it succeeded, and its output.
async fn accept(service: &Service, options: &[&str]) -> anyhow::Result<(bool, String)> {
    let address = service.addr.to_string();
    let ended = Command::new(PASSBOOK)
        .args(["restore", "accept", "--command-addr", &address])
        .args(options)
        .env("PASSBOOK_KEY_FILE", keys()?.operator)
        .stdin(Stdio::null())
        .output()
        .await?;
    let output = [ended.stdout, ended.stderr].concat();
    Ok((ended.status.success(), String::from_utf8_lossy(&output).into_owned()))
}

/// Loses the last events, and executes more commands than were lost before the service sees the
/// topic again.
#[tokio::test(flavor = "multi_thread")]
async fn lost_events_are_noticed_even_if_new_events_have_their_positions() -> anyhow::Result<()> {
    let environment = Environment::new("restored_behind").await?;
    let mut command = environment.command("command").await?;
    let client = command.client()?;
    let account = client.open().await?;
    let mut facts = Facts::of(&environment).await?;
    let mut backups = Backups::of(&environment).await?;
    let backup = backups.take().await?;
    for amount in [100, 200, 300] {
        client.deposit(account, None, amount).await?;
    }
    facts.until_followed(&client).await?;
    command.stop().await?;
    backups.restore(backup).await?;

    // Without the topic, the loss cannot be noticed, and commands are accepted.
    command.set("kafka-brokers", "127.0.0.1:1");
    command.start()?;
    eventually("commands are accepted", async || client.deposit(account, None, 7).await).await?;
    for _ in 0..4 {
        client.deposit(account, None, 8).await?;
    }
    let unseen = client.get("/admin/restore").await?;
    let (status, problem) = (unseen.status(), unseen.text().await?);
    ensure!(status == 503 && problem.contains("topic_unavailable"), "{status}: {problem}");
    command.stop().await?;
    command.set("kafka-brokers", &environment.kafka.brokers);
    command.start()?;

    let partition = partition_of(account, PARTITIONS);
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

    let (accepted, output) = accept(&command, &[]).await?;
    ensure!(!accepted && output.contains("--yes"), "{output}");
    for detail in [
        &account.to_string(),
        &format!("{partition}-2"),
        "MoneyDeposited  100",
        "MoneyDeposited  300",
    ] {
        ensure!(output.contains(detail), "{detail}: {output}");
    }
    let (accepted, output) = accept(&command, &["--yes"]).await?;
    ensure!(accepted && output.contains("epoch 1 has begun"), "{output}");
    command.ready().await?;
    client.deposit(account, None, 9).await?;
    facts.until_followed(&client).await?;
    let (accepted, output) = accept(&command, &["--yes"]).await?;
    ensure!(accepted && output.contains("nothing to accept"), "{output}");
    let (accepted, output) = accept(&command, &["--yes", "--force", "--above-epoch", "4"]).await?;
    ensure!(accepted && output.contains("epoch 5 has begun"), "{output}");
    client.deposit(account, None, 10).await?;
    facts.until_followed(&client).await
}

/// The views have the lost events, too. They are rewound, and equal the log again.
#[tokio::test(flavor = "multi_thread")]
async fn the_views_follow_a_restored_log_once_it_is_accepted() -> anyhow::Result<()> {
    let mut pair = Pair::start(Environment::new("restored_pair").await?, 1).await?;
    let load = Load::start(&pair.command()?, 4, 20).await?;
    load.further(50).await?;
    let mut backups = Backups::of(&pair.environment).await?;
    let backup = backups.take().await?;
    load.further(100).await?;
    load.stop().await?;
    pair.assert_consistent(&[]).await?;
    backups.restore(backup).await?;
    is_behind(&pair.command()?, &["restore accept"]).await?;
    is_behind(&pair.projection()?, &["the views are at position", "restore accept"]).await?;
    let (accepted, output) = accept(&pair.commands[0], &["--yes"]).await?;
    ensure!(accepted && output.contains("epoch 1 has begun"), "{output}");
    let load = Load::start(&pair.command()?, 4, 5).await?;
    load.further(50).await?;
    let acknowledged = load.stop().await?;
    pair.assert_consistent(&acknowledged).await?;
    // No record of the new epoch was taken for a forged one.
    let metrics = pair.projection()?.metrics().await?;
    let unknown = metrics.lines().find(|line| line.contains("kind=\"unknown_epoch\""));
    ensure!(unknown.is_none_or(|line| line.ends_with(" 0")), "{unknown:?}");
    Ok(())
}

/// Runs 100 seeds in five environments, with one or two instances. PASSBOOK_TEST_SEED is the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_logs_restored_while_commands_run() -> anyhow::Result<()> {
    // Each with its number of instances.
    let sites = [
        ("restored_0", 1),
        ("restored_1", 2),
        ("restored_2", 1),
        ("restored_3", 2),
        ("restored_4", 1),
    ];
    let seed = std::env::var_os("PASSBOOK_TEST_SEED").unwrap_or_else(|| "0".into());
    let seed: u64 = seed.to_string_lossy().parse().context("PASSBOOK_TEST_SEED")?;
    let mut running = tokio::task::JoinSet::new();
    for ((name, instances), first) in sites.into_iter().zip((seed..).step_by(20)) {
        running.spawn(
            async move { seeds::run(name, instances, first..first + 20).await.context(name) },
        );
    }
    let mut forked = 0;
    while let Some(ended) = running.join_next().await {
        forked += ended??;
    }
    ensure!(forked > 60, "only {forked} of 100 restores were forks");
    Ok(())
}
