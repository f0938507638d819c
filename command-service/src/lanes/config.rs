//! What lanes are started with.

use std::time::Duration;

use passbook_shared::health::Health;
use sqlx::postgres::PgConnectOptions;

use crate::config::Config;
use crate::restore::standing::Standing;
use crate::writes::Writes;

/// What lanes need to know.
#[derive(Debug, Clone)]
pub struct LaneConfig {
    /// How many there are.
    pub lanes: usize,
    /// Where Postgres is, and the settings of the lane's connection.
    pub connect: PgConnectOptions,
    /// The most commands that may wait.
    pub queue: usize,
    /// The most commands in one append.
    pub max_batch: usize,
    /// What its cache may hold, in bytes.
    pub cache_bytes: u64,
    /// How long a batch may take, breaks of the connection included, before its senders get an error.
    pub patience: Duration,
    /// Events of an account between two of its snapshots; more, if it has more open holds, which each snapshot repeats.
    pub snapshot_every: i64,
    /// Where lanes tell how writing goes.
    pub writes: Writes,
    /// The forked partitions, on which commands are refused.
    pub standing: Standing,
    /// Maximum number of open holds of an account.
    pub most_holds: usize,
}

impl LaneConfig {
    /// How long one attempt may take: half of the time, so that there is some left to ask again if it hangs.
    pub(super) fn attempt(&self) -> Duration {
        self.patience / 2
    }
}

impl From<&Config> for LaneConfig {
    fn from(config: &Config) -> Self {
        // A lane's queries are all by key, and one of them is nearly all there is: plan it once.
        let connect = config.database_url.clone().application_name("passbook-lane").options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("idle_in_transaction_session_timeout", "5s"),
            // What is given up here is to end there too, and not to hold locks.
            (
                "statement_timeout",
                &format!("{}ms", (config.store_patience() / 2 * 9 / 10).as_millis()),
            ),
        ]);
        Self {
            lanes: config.lanes.into(),
            connect,
            queue: config.lane_queue as usize,
            max_batch: config.lane_batch as usize,
            cache_bytes: config.lane_cache_mib * 1024 * 1024,
            patience: config.store_patience(),
            snapshot_every: config.snapshot_every,
            writes: Writes::default(),
            standing: Standing::new(Health::default()),
            most_holds: config.max_open_holds as usize,
        }
    }
}
