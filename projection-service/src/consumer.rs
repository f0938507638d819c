//! From the topic into the views: a thread reads and decodes records, a task puts them in order, folds and applies them.
//!
//! Two rules carry it. **Accept only what is next**: an event is applied if and only if its position is the last one's
//! plus 1, whatever Kafka does with offsets; a smaller one is a repeat, a larger one shows a hole, which is filled from
//! the log. **Start over from the checkpoints**: whatever goes wrong (Postgres away, another instance went on with a
//! partition, a rebalance), all that is in memory is forgotten and reading begins where the checkpoints stand.

pub(crate) mod account_cache;
mod applier;
mod causes;
pub(crate) mod client;
/// How large a share of the events may fail.
pub mod failure_rate;
pub(crate) mod fold;
mod handoff;
pub(crate) mod intake;
pub(crate) mod judging;
mod reader;
pub(crate) mod record;
pub(crate) mod sequence;
mod stalled;
/// How far the topic reaches, and so how far the views are behind.
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
use applier::{Applier, Pace};
use failure_rate::Limit;
use handoff::Handoff;
use reader::Reader;
use topic_lag::TopicLag;
use writer::Writer;

/// What the consumer needs.
#[derive(Debug)]
pub struct Consumer {
    /// Where Kafka is.
    pub kafka: KafkaConfig,
    /// The consumer group.
    pub group: String,
    /// This instance's lasting name in the group, if it has one.
    pub group_instance: Option<String>,
    /// The views' database.
    pub database: PgConnectOptions,
    /// The most events in a transaction.
    pub max_batch: usize,
    /// The least time from one transaction to the next under load.
    pub pace: std::time::Duration,
    /// How large a share of the events may fail.
    pub limit: Limit,
    /// The log itself.
    pub feed: Feed,
    /// Compares the views with it.
    pub(crate) guard: Arc<Guard>,
    /// Queries that wait.
    pub waiting: Arc<Waiters>,
    /// How far the topic reaches.
    pub ends: Arc<TopicLag>,
    /// Where to tell how it goes.
    pub health: Health,
    /// Where to tell what is in quarantine.
    pub quarantine: QuarantineCheck,
}

/// Chunks of records between the thread and the task: while a batch is applied, the next is read.
const CHUNKS: usize = 16;

/// Starts consuming.
pub fn spawn(consumer: Consumer, tasks: &mut Tasks) {
    metrics::register_unusable(judging::Flaw::ALL.map(judging::Flaw::as_str));
    let (sender, messages) = mpsc::channel(CHUNKS);
    let handoff = Arc::new(Handoff::default());
    let applier = Applier::new(
        Pace { max_batch: consumer.max_batch, least: consumer.pace },
        Writer::new(consumer.database.clone(), consumer.limit),
        messages,
        Arc::clone(&handoff),
        consumer.feed.clone(),
        Arc::clone(&consumer.guard),
        Arc::clone(&consumer.waiting),
        consumer.quarantine.clone(),
    );
    tasks.spawn("guard", Arc::clone(&consumer.guard).run(tasks.shutdown()));
    let shutdown = tasks.shutdown();
    tasks.spawn("projection", async move {
        applier.run(shutdown).await;
        Ok(())
    });

    let reader =
        Reader::new(consumer, handoff, sender, tokio::runtime::Handle::current(), tasks.shutdown());
    tasks.spawn("consumer", async move {
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new()
            .name("consumer".to_owned())
            .spawn(move || ended.send(reader.run()))?;
        end.await?
    });
}
