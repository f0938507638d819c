//! Comparison of the views with the log, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::load::Connection;

/// Timeout until the projection has caught up.
const CATCH_UP: Duration = Duration::from_secs(300);

/// Returns the number of events that the views have applied.
pub(crate) async fn applied(projection: SocketAddr) -> anyhow::Result<i64> {
    Ok(positions(projection).await?.iter().sum())
}

/// Returns the last applied position of each partition.
async fn positions(projection: SocketAddr) -> anyhow::Result<Vec<i64>> {
    let answer = Connection::open(projection).await?.get("/admin/projection").await?;
    let partitions = answer["partitions"].as_array().context("no partitions")?;
    Ok(partitions
        .iter()
        .map(|partition| partition["position"].as_i64().unwrap_or_default())
        .collect())
}

/// Waits until the projection has applied all events of the log.
pub(crate) async fn caught_up(command: SocketAddr, projection: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + CATCH_UP;
    let mut commands = Connection::open(command).await?;
    loop {
        let applied = positions(projection).await?;
        let mut behind = false;
        for (partition, position) in applied.iter().enumerate() {
            let next = commands
                .get(&format!("/v1/events?partition={partition}&after={position}&limit=1"))
                .await?;
            behind |= next["data"].as_array().is_some_and(|events| !events.is_empty());
        }
        if !behind && !applied.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the projection did not catch up within {CATCH_UP:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for the views, then returns whether the projection-service finds them equal to the log.
pub(crate) async fn equal(command: SocketAddr, projection: SocketAddr) -> anyhow::Result<bool> {
    caught_up(command, projection).await?;
    let mut connection = Connection::open(projection).await?;
    let (status, answer) = connection.send(Method::POST, "/admin/verify", None, None).await?;
    if status != StatusCode::ACCEPTED {
        bail!("POST /admin/verify: {status}: {}", String::from_utf8_lossy(&answer));
    }
    let mut job: Value = serde_json::from_slice(&answer)?;
    let path = format!("/admin/verify/{}", job["id"].as_str().context("no id")?);
    while job["state"] == "running" {
        sleep(Duration::from_millis(50)).await;
        job = connection.get(&path).await?;
    }
    if job["state"] != "done" {
        bail!("cannot compare the views with the log: {}", job["error"]);
    }
    let equal = job["differences"] == 0;
    if !equal {
        tracing::error!(%job, "the views differ from the log");
    }
    Ok(equal)
}
