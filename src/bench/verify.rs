//! Whether the views equal the log, by what both services say over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::load::Connection;

const PATIENCE: Duration = Duration::from_secs(300);

/// The position of each partition that the projection has applied.
pub(super) async fn applied(projection: SocketAddr) -> anyhow::Result<Vec<i64>> {
    let answer = Connection::open(projection).await?.get("/admin/projection").await?;
    let partitions = answer["partitions"].as_array().context("no partitions")?;
    Ok(partitions.iter().map(|partition| partition["position"].as_i64().unwrap_or_default()).collect())
}

/// Waits until the projection has applied all that is in the log now.
pub(super) async fn caught_up(command: SocketAddr, projection: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut commands = Connection::open(command).await?;
    loop {
        let applied = applied(projection).await?;
        let mut behind = false;
        for (partition, position) in applied.iter().enumerate() {
            let next = commands.get(&format!("/v1/events?partition={partition}&after={position}&limit=1")).await?;
            behind |= next["data"].as_array().is_some_and(|events| !events.is_empty());
        }
        if !behind && !applied.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the projection did not catch up in {PATIENCE:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether each account of the views has the version and balance that a fold of the log gives, and there is no other.
pub(super) async fn equal(command: SocketAddr, projection: SocketAddr) -> anyhow::Result<bool> {
    caught_up(command, projection).await?;
    let log = fold(command, applied(projection).await?.len()).await?;
    let views = list(projection).await?;
    if log != views {
        let differing = log.iter().filter(|(account, state)| views.get(*account) != Some(state)).take(5);
        tracing::error!(log = log.len(), views = views.len(), ?differing, "the views do not equal the log");
    }
    Ok(log == views)
}

type Accounts = BTreeMap<String, (i64, i64)>;

async fn fold(command: SocketAddr, partitions: usize) -> anyhow::Result<Accounts> {
    let mut connection = Connection::open(command).await?;
    let mut accounts = Accounts::new();
    for partition in 0..partitions {
        let mut after = 0;
        loop {
            let page = connection.get(&format!("/v1/events?partition={partition}&after={after}&limit=5000")).await?;
            for event in page["data"].as_array().context("no data")? {
                after += 1;
                let position = event["position"].as_str().unwrap_or_default();
                if position != format!("{partition}-{after}") {
                    bail!("positions are not dense: {position} where {partition}-{after} was due");
                }
                apply(&mut accounts, event)?;
            }
            if page["has_more"] != Value::Bool(true) {
                break;
            }
        }
    }
    Ok(accounts)
}

fn apply(accounts: &mut Accounts, event: &Value) -> anyhow::Result<()> {
    let account = event["account_id"].as_str().context("no account_id")?;
    let (version, balance) = accounts.entry(account.to_owned()).or_default();
    *version += 1;
    if event["version"] != *version {
        bail!("versions of {account} are not dense: {} where {version} was due", event["version"]);
    }
    let data = &event["data"];
    let amount = |name: &str| data[name].as_i64().unwrap_or_default();
    *balance += match event["type"].as_str() {
        Some("AccountOpened") => amount("initial_deposit"),
        Some("MoneyDeposited") => amount("amount"),
        Some("MoneyWithdrawn") => -amount("amount"),
        _ => 0,
    };
    Ok(())
}

async fn list(projection: SocketAddr) -> anyhow::Result<Accounts> {
    let mut connection = Connection::open(projection).await?;
    let mut accounts = Accounts::new();
    let mut cursor = String::new();
    loop {
        let page = connection.get(&format!("/v1/accounts?limit=200{cursor}")).await?;
        for account in page["data"].as_array().context("no data")? {
            let number = |name: &str| account[name].as_i64().unwrap_or_default();
            let id = account["account_id"].as_str().unwrap_or_default().to_owned();
            accounts.insert(id, (number("version"), number("balance")));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(accounts),
        }
    }
}
