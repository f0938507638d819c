//! Lanes: each owns some partitions, and decides and appends all commands on their accounts, many to a commit.

/// A command on its way, and what becomes of it.
pub mod request;
mod batch;
mod cache;
mod lane;

use std::sync::Arc;

use passbook_shared::partition::Partition;
use tokio::sync::{mpsc, oneshot};

pub use lane::LaneConfig;
pub use request::{Answer, CommandError, CommandRequest, Outcome};
use request::Pending;

/// The way into the lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    queues: Arc<[mpsc::Sender<Pending>]>,
    partitions: Partition,
}

impl Lanes {
    /// Decides and appends a command, and gives what became of it once that is durable. A caller that goes away
    /// leaves the command to its fate.
    ///
    /// # Errors
    /// See [`CommandError`]; none but `OutcomeUnknown` leaves anything in the log.
    pub async fn submit(&self, request: CommandRequest) -> Result<Answer, CommandError> {
        let partition = passbook_shared::partition::partition_of(request.account_id, self.partitions);
        let queue = &self.queues[usize::from(partition.unsigned_abs()) % self.queues.len()];
        let (reply, answer) = oneshot::channel();
        queue.try_send(Pending { request, partition, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => CommandError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CommandError::ShuttingDown,
        })?;
        answer.await.unwrap_or(Err(CommandError::ShuttingDown))
    }
}
