//! Background maintenance: expiry of holds, and retention of idempotency keys. One instance of the
//! service runs it; another takes over when that instance ends.

mod expiry;
mod keys;

use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::{Instant, sleep};

use crate::lanes::Lanes;
use crate::log::in_time;
use keys::Sweep;

/// Keys of the maintenance's advisory lock. The first key differs from that of the relay's locks.
const LOCK: (i32, i32) = (0x7061_7373 + 1, 0);
/// Interval of the maintenance: bounds the delay of an expiry and of a takeover.
const EVERY: Duration = Duration::from_secs(1);
/// Pause after a failure of Postgres.
const AGAIN: Duration = Duration::from_secs(2);

static STALLED: Fault = Fault::new("holds do not expire and idempotency keys are not deleted");

/// Maintenance task.
#[derive(Debug)]
pub struct Upkeep {
    /// Settings of Postgres.
    pub connect: PgConnectOptions,
    /// Lanes that decide and append expiries.
    pub lanes: Lanes,
    /// Retention of idempotency keys.
    pub keep_keys: Duration,
}

impl Upkeep {
    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// Never fails: failures are retried.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut sweep = Sweep::new(self.keep_keys);
        while let Some(worked) = shutdown.run_until_cancelled(self.work(&mut sweep)).await {
            if let Err(error) = worked {
                STALLED.occurred(store_error::reason(&error));
            }
            shutdown.run_until_cancelled(sleep(AGAIN)).await;
        }
        Ok(())
    }

    /// Runs until the first failure.
    async fn work(&self, sweep: &mut Sweep) -> sqlx::Result<()> {
        let mut connection = in_time(self.connect.connect()).await?;
        // The lock belongs to the connection, so a lost connection lets another instance take over.
        while !lock(&mut connection).await? {
            sleep(EVERY).await;
        }
        loop {
            let until = Instant::now() + EVERY;
            // Before the sweep, which uses the rest of the interval.
            expiry::expire_due(&mut connection, &self.lanes).await?;
            sweep.advance(&mut connection, until).await?;
            STALLED.ended();
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Takes the lock if it is free. It lasts as long as the connection.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let sql = "SELECT pg_try_advisory_lock($1, $2)";
    in_time(sqlx::query_scalar(sql).bind(LOCK.0).bind(LOCK.1).fetch_one(connection)).await
}
