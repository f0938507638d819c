//! Attacks on an authenticated topic, while the relay runs and while it does not. No forged record
//! is ever applied, not even for a moment.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::attacks::Attack;
use super::forger::Forger;
use super::{metric, replayed};
use crate::client::Client;
use crate::environment::{Environment, Pair};
use crate::process::eventually;

pub(super) const KEY: &str = "a key of the topic, of the tests only";

async fn unauthentic(views: &Client) -> anyhow::Result<u64> {
    metric(views, "passbook_topic_unusable_records_total{kind=\"unauthentic\"}").await
}

/// Makes a deposit, and checks that the views then have the log's balance.
async fn deposit_is_shown(
    (commands, views): (&Client, &Client),
    account: Uuid,
    expected: &mut i64,
) -> anyhow::Result<()> {
    let version = commands.deposit(account, None, 1).await?["version"].clone();
    let found = views.json(&format!("/v1/accounts/{account}?min_version={version}")).await?;
    *expected += 1;
    ensure!(found["balance"] == *expected, "{found}, not {expected}");
    Ok(())
}

/// Checks that both services are ready, that the views equal the log and never differed from it,
/// and that new views from the topic do so, too.
async fn nothing_was_forged(pair: &mut Pair) -> anyhow::Result<()> {
    let views = pair.projection()?;
    pair.assert_consistent(&[]).await?;
    ensure!(metric(&views, "passbook_projection_corrections_total").await? == 0, "corrected");
    let replay = replayed(&views, &json!({"from": "beginning"})).await?;
    ensure!(replay["differences"] == 0, "{replay}");
    let state = views.json("/admin/projection").await?;
    ensure!(state["generation"] == 2 && state["quarantined"] == 0, "{state}");
    pair.assert_consistent(&[]).await.map(drop)
}

async fn check(service: &Client, name: &str) -> anyhow::Result<(Value, String)> {
    let health: Value = serde_json::from_str(&service.get("/health/ready").await?.text().await?)?;
    let check = &health["checks"][name];
    ensure!(health["ready"] == true, "{health}");
    Ok((check["state"].clone(), check["reason"].as_str().unwrap_or_default().to_owned()))
}

/// State of the relay while an attacker writes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Relay {
    Up,
    Down,
}

/// Writes the records of an attack, with the relay in the given state. Afterwards, the relay runs.
async fn write(
    attack: Attack,
    relay: Relay,
    (pair, forger): (&mut Pair, &Forger),
    account: Uuid,
) -> anyhow::Result<()> {
    let commands = pair.command()?;
    let last = forger.newest(&commands, account).await?;
    if relay == Relay::Up {
        return attack.write(forger, &last).await;
    }
    pair.commands[0].stop().await?;
    attack.write(forger, &last).await?;
    pair.commands[0].start()?;
    pair.commands[0].ready().await?;
    if attack.unauthentic() == 0 {
        return Ok(());
    }
    eventually("the relay counts and reports the records that it skips", async || {
        let found =
            metric(&commands, "passbook_relay_passed_over_total{kind=\"unauthentic\"}").await?;
        ensure!(found >= attack.unauthentic(), "{found}");
        let (state, reason) = check(&commands, "relay").await?;
        let is_named = state == "degraded" && reason.contains("without a valid MAC");
        ensure!(is_named, "{state}: {reason}");
        Ok(())
    })
    .await
}

/// Tries all attacks, one after the other. After each, both services are ready, the views have the
/// log's balance, and the metrics have counted each record of the attack.
async fn all_attacks_change_nothing(name: &'static str, relay: Relay) -> anyhow::Result<()> {
    const REPEATED: &str = "passbook_topic_repeated_records_total";
    let environment = Environment::new(name).await?.authenticated(&[KEY])?;
    let mut pair = Pair::start(environment, 1).await?;
    let (commands, views) = (pair.command()?, pair.projection()?);
    let forger = Forger::new(&pair.environment).await?;
    let (account, mut balance) = (commands.open().await?, 1_000_000);
    deposit_is_shown((&commands, &views), account, &mut balance).await?;
    let mut expected = 0;
    for attack in Attack::ALL {
        ensure!(unauthentic(&views).await? == expected, "counted before {attack:?}");
        let repeated = metric(&views, REPEATED).await? + attack.repeated();
        let context = || format!("{attack:?}, relay {relay:?}");
        write(attack, relay, (&mut pair, &forger), account).await.with_context(context)?;
        let shown = deposit_is_shown((&commands, &views), account, &mut balance).await;
        shown.with_context(context)?;
        expected += attack.unauthentic();
        let counted = eventually("the projection counts and reports the records", async || {
            let found = [unauthentic(&views).await?, metric(&views, REPEATED).await?];
            ensure!(found[0] == expected && found[1] >= repeated, "{found:?}, not {expected}");
            let (state, reason) = check(&views, "topic").await?;
            let words = format!("unauthentic {expected}");
            ensure!(state == "degraded" && reason.contains(&words), "{state}: {reason}");
            Ok(())
        });
        counted.await.with_context(context)?;
        for service in pair.commands.iter_mut().chain(&mut pair.projections) {
            service.ready().await.with_context(context)?;
        }
        eprintln!("{attack:?}, relay {relay:?}: {} counted", attack.unauthentic());
    }
    nothing_was_forged(&mut pair).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_while_the_relay_is_up_change_nothing() -> anyhow::Result<()> {
    all_attacks_change_nothing("attacked_up", Relay::Up).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_while_the_relay_is_down_change_nothing() -> anyhow::Result<()> {
    all_attacks_change_nothing("attacked_down", Relay::Down).await
}
