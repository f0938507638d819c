//! Requests that clients cancel.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::environment::{Environment, Pair};

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_leave_no_connection_in_a_transaction() -> anyhow::Result<()> {
    cancelled("cancelled_1", 1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_leave_no_connection_in_a_transaction_with_two_of_each()
-> anyhow::Result<()> {
    cancelled("cancelled_2", 2).await
}

/// Cancels 1,000 requests after different times: before, during and after their appends.
async fn cancelled(name: &'static str, instances: usize) -> anyhow::Result<()> {
    const REQUESTS: u64 = 1_000;
    const AT_ONCE: u64 = 50;
    let mut pair = Pair::start(Environment::new(name).await?, instances).await?;
    let client = pair.command()?;
    let account = client.open().await?;
    for round in 0..REQUESTS / AT_ONCE {
        let mut requests = JoinSet::new();
        for number in 0..AT_ONCE {
            let client = client.clone();
            requests.spawn(async move {
                let path = format!("/v1/accounts/{account}/deposits");
                let patience = Duration::from_micros((number * 400 + round * 37) % 20_000);
                let _ = timeout(patience, client.post(&path, None, &json!({"amount": 1}))).await;
            });
        }
        requests.join_all().await;
    }

    let mut connection = PgConnection::connect(&pair.environment.database_url).await?;
    // Postgres itself would end an idle transaction after 5 s. Transactions that come and go are
    // the services' own.
    let mut left = in_transaction(&mut connection).await?;
    for _ in 0..60 {
        if left.is_empty() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        let still = in_transaction(&mut connection).await?;
        left.retain(|transaction| still.contains(transaction));
    }
    ensure!(left.is_empty(), "connections are still in a transaction: {left:?}");
    connection.close().await?;
    client.deposit(account, None, 1).await?;
    pair.assert_consistent(&[]).await.map(drop)
}

/// Returns the idle transactions: process id, start and last statement.
async fn in_transaction(connection: &mut PgConnection) -> sqlx::Result<Vec<(i32, String, String)>> {
    sqlx::query_as(
        "SELECT pid, xact_start::text, query FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND state LIKE 'idle in transaction%'",
    )
    .fetch_all(connection)
    .await
}
