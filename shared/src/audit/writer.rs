//! Task that writes the audit trail. Calls wait in memory while Postgres is unavailable.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

use super::lost;
use super::table::AuditTable;
use crate::health::Health;
use crate::shutdown::CancellationToken;
use crate::store_error;

/// Name of the readiness check.
const CHECK: &str = "audit";
/// Maximum number of calls of one statement.
const BATCH: usize = 256;
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Time after the shutdown in which the calls of the last requests are written.
const END: Duration = Duration::from_secs(15);

/// Task that writes the audit trail.
#[derive(Debug)]
pub struct AuditWriter {
    table: AuditTable,
    calls: Receiver<super::AuditedCall>,
}

impl AuditWriter {
    pub(super) fn new(table: AuditTable, calls: Receiver<super::AuditedCall>) -> Self {
        Self { table, calls }
    }

    /// Writes calls until the shutdown, and then those of the requests that still run.
    ///
    /// # Errors
    /// None: a failure degrades readiness and is retried.
    pub async fn run(mut self, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
        health.ok(CHECK);
        let mut batch = Vec::new();
        while shutdown
            .run_until_cancelled(self.calls.recv_many(&mut batch, BATCH))
            .await
            .is_some_and(|count| count > 0)
        {
            while let Err(error) = self.table.append(&batch).await {
                let reason = store_error::reason(&error);
                let waiting = batch.len() + self.calls.len();
                health.degraded(CHECK, format!("{reason}; {waiting} calls wait in memory"));
                if shutdown.run_until_cancelled(sleep(RETRY)).await.is_none() {
                    return self.end(batch).await;
                }
            }
            health.ok(CHECK);
            batch.clear();
        }
        self.end(batch).await
    }

    /// Writes what is left, once.
    async fn end(mut self, mut batch: Vec<super::AuditedCall>) -> anyhow::Result<()> {
        let deadline = Instant::now() + END;
        loop {
            if !batch.is_empty()
                && let Err(error) = self.table.append(&batch).await
            {
                tracing::error!(%error, "the audit trail cannot be written");
                lost(batch.len());
            }
            batch.clear();
            let left = deadline.saturating_duration_since(Instant::now());
            // The last request ends the channel.
            match timeout(left, self.calls.recv_many(&mut batch, BATCH)).await {
                Ok(count) if count > 0 => {}
                _ => return Ok(()),
            }
        }
    }
}
