//! Settings of lanes.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::Config;

/// Settings of lanes.
#[derive(Debug, Clone)]
pub struct LaneConfig {
    /// Number of lanes.
    pub lanes: usize,
    /// Address of Postgres, and the settings of a lane's connection.
    pub connect: PgConnectOptions,
    /// Maximum number of commands in a lane's queue.
    pub queue: usize,
    /// Maximum number of submissions in one append.
    pub max_batch: usize,
    /// Maximum size of a cache of states, in bytes.
    pub cache_bytes: u64,
    /// Maximum time of a batch with its reconnections: its senders get an error after it.
    pub patience: Duration,
    /// Number of events of an account between two of its snapshots. It is the number of open holds,
    /// if that is larger.
    pub snapshot_every: i64,
    /// Maximum number of open holds of an account.
    pub most_holds: usize,
}

impl LaneConfig {
    /// Returns the maximum time of one attempt: half of the patience, so that a second attempt can
    /// follow one that hangs.
    pub(crate) fn attempt(&self) -> Duration {
        self.patience / 2
    }
}

impl From<&Config> for LaneConfig {
    fn from(config: &Config) -> Self {
        let patience = config.store_patience();
        // Postgres gives up before the lane does, so that an abandoned statement holds no locks.
        let statement_timeout = format!("{}ms", (patience / 2 * 9 / 10).as_millis());
        // All queries of a lane are by key: each is planned once.
        let connect = config.database_url.clone().application_name("passbook-lane").options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
            // The locks of a lane that has vanished within a transaction must not stay.
            ("idle_in_transaction_session_timeout", "5s"),
            ("statement_timeout", &statement_timeout),
        ]);
        Self {
            lanes: config.lanes.into(),
            connect,
            queue: config.lane_queue as usize,
            max_batch: config.lane_batch as usize,
            cache_bytes: config.lane_cache_mib * 1024 * 1024,
            patience,
            snapshot_every: config.snapshot_every,
            most_holds: config.max_open_holds as usize,
        }
    }
}
