//! Consumption of the topic: a thread reads and decodes records, a task orders, folds and applies
//! them to the views.
//!
//! Two rules prevent lost and repeated events:
//!
//! - **Accept only the next event.** An event is accepted only if its position is the last accepted
//!   position plus 1. A smaller position is a repeat. A larger position reveals a gap, which is
//!   filled from the log. Kafka's offsets are not considered.
//! - **Restart from the checkpoints.** After a failure or a rebalance, everything in memory is
//!   discarded, and reading resumes from the checkpoints.

pub(crate) mod account_cache;
mod applier;
pub(crate) mod batch;
mod causes;
pub(crate) mod client;
/// Limit on the share of events that cannot be applied.
pub mod failure_rate;
pub(crate) mod fold;
mod handoff;
pub(crate) mod intake;
pub(crate) mod judging;
mod reader;
pub(crate) mod record;
pub(crate) mod sequence;
mod stalled;
/// Lag of the views behind the topic.
pub mod topic_lag;
/// Watch of the end of the topic.
pub mod topic_watch;
mod unusable;
pub(crate) mod writer;

use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::health::Health;
use passbook_shared::shutdown::Tasks;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{mpsc, oneshot};

use crate::agreement::guard::Guard;
use crate::feed::Feed;
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::waiters::Waiters;
use applier::Applier;
use failure_rate::Limit;
use handoff::Handoff;
use reader::Reader;
use topic_lag::TopicLag;

/// Dependencies and settings of the consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Connection to Kafka.
    pub kafka: KafkaConfig,
    /// Consumer group.
    pub group: String,
    /// Static member name of this instance in the group, if configured.
    pub group_instance: Option<String>,
    /// Database of the views.
    pub database: PgConnectOptions,
    /// Maximum number of events in a transaction.
    pub max_batch: usize,
    /// Minimum time between the starts of two transactions under load.
    pub pace: std::time::Duration,
    /// Limit on the share of events that may fail.
    pub limit: Limit,
    /// Log of the command-service.
    pub feed: Feed,
    /// Compares the views with the log.
    pub(crate) guard: Arc<Guard>,
    /// Queries that wait for an event.
    pub waiting: Arc<Waiters>,
    /// Ends of the topic's partitions.
    pub ends: Arc<TopicLag>,
    /// Receives the state of each check.
    pub health: Health,
    /// Readiness check of the quarantine.
    pub quarantine: QuarantineCheck,
}

/// Maximum number of chunks of records that are read ahead while a batch is applied.
const CHUNKS: usize = 16;

/// Starts consuming.
pub fn spawn(consumer: Consumer, tasks: &mut Tasks) {
    // A counter that starts at zero lets a rate include its first increment.
    metrics::register_unusable(judging::Flaw::ALL.map(judging::Flaw::as_str));
    // The bound slows the reader down to the speed of the applier.
    let (sender, messages) = mpsc::channel(CHUNKS);
    let handoff = Arc::new(Handoff::default());
    let applier = Applier::new(&consumer, messages, Arc::clone(&handoff));
    tasks.spawn("guard", Arc::clone(&consumer.guard).run(tasks.shutdown()));
    let shutdown = tasks.shutdown();
    tasks.spawn("projection", async move {
        applier.run(shutdown).await;
        Ok(())
    });

    let reader =
        // The reader runs outside the runtime and needs a handle for its queries.
        Reader::new(consumer, handoff, sender, tokio::runtime::Handle::current(), tasks.shutdown());
    tasks.spawn("consumer", async move {
        let (ended, end) = oneshot::channel();
        // The Kafka client blocks while it is polled, so the reader has its own thread.
        std::thread::Builder::new()
            .name("consumer".to_owned())
            .spawn(move || ended.send(reader.run()))?;
        // A panic of the thread drops `ended`, and this task then fails.
        end.await?
    });
}
