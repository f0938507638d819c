//! What has to happen without anybody asking for it: holds expire, and idempotency keys are forgotten after a time. One
//! instance of the service does it; others take over when it is gone.

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

/// Of our advisory locks; the relay's have another class.
const LOCK: (i32, i32) = (0x7061_7373 + 1, 0);
/// How late a hold may expire, and how soon an instance takes over.
const EVERY: Duration = Duration::from_secs(1);
/// How long to wait after Postgres was away.
const AGAIN: Duration = Duration::from_secs(2);

static STANDS: Fault = Fault::new("holds don't expire and idempotency keys aren't deleted");

/// The task that does it.
#[derive(Debug)]
pub struct Upkeep {
    /// Where Postgres is.
    pub connect: PgConnectOptions,
    /// Where expiries are decided and appended.
    pub lanes: Lanes,
    /// How long idempotency keys are kept.
    pub keep_keys: Duration,
}

impl Upkeep {
    /// Works until `shutdown`.
    ///
    /// # Errors
    /// None: what can't be done now is done later.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut sweep = Sweep::new(self.keep_keys);
        while let Some(worked) = shutdown.run_until_cancelled(self.work(&mut sweep)).await {
            if let Err(error) = worked {
                STANDS.occurred(store_error::reason(&error));
            }
            shutdown.run_until_cancelled(sleep(AGAIN)).await;
        }
        Ok(())
    }

    /// Works until something fails.
    async fn work(&self, sweep: &mut Sweep) -> sqlx::Result<()> {
        let mut connection = in_time(self.connect.connect()).await?;
        while !lock(&mut connection).await? {
            sleep(EVERY).await;
        }
        loop {
            let until = Instant::now() + EVERY;
            expiry::expire_due(&mut connection, &self.lanes).await?;
            sweep.go_on(&mut connection, until).await?;
            STANDS.ended();
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Takes the lock, if nobody has it; it lasts as long as the connection.
async fn lock(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let sql = "SELECT pg_try_advisory_lock($1, $2)";
    in_time(sqlx::query_scalar(sql).bind(LOCK.0).bind(LOCK.1).fetch_one(connection)).await
}
