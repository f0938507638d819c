//! Fair scheduling of log reads: readers yield to commands and to each other.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::http::gate::Holder;
use passbook_shared::http::problem::Problem;
use passbook_shared::shares::Shares;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::lanes::Lanes;

/// Maximum time to wait for a turn.
const PATIENCE: Duration = Duration::from_millis(1_800);
/// Rest after a turn, as a multiple of the turn's duration. With two turns at once, readers get
/// half a processor.
const REST: u32 = 3;
/// Maximum rest after a turn.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Turns at reading. Few run at once, and a holder's waiting reads do not delay others. While
/// commands are in flight, each turn is followed by a rest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    turns: Arc<Semaphore>,
    /// Bound the turns that a holder waits for or has.
    shares: Shares,
    lanes: Lanes,
}

/// Turn, and place in the holder's share.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Turns {
    /// Creates turns for `at_once` concurrent reads that yield to the commands of `lanes`.
    pub fn new(at_once: usize, shares: Shares, lanes: Lanes) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once)), shares, lanes }
    }

    /// Reads when the holder's turn comes.
    ///
    /// # Errors
    /// 503 `overloaded` if the turn does not come in time.
    pub async fn wait_for<T>(
        &self,
        holder: &Holder,
        read: impl Future<Output = T>,
    ) -> Result<T, Problem> {
        let turn =
            timeout(PATIENCE, self.turn(holder)).await.map_err(|_| Problem::reads_overloaded())?;
        Ok(self.run(turn, read).await)
    }

    /// Continues a read that has begun: waits for a turn without a deadline.
    pub async fn take<T>(&self, holder: &Holder, read: impl Future<Output = T>) -> T {
        let turn = self.turn(holder).await;
        self.run(turn, read).await
    }

    async fn turn(&self, holder: &Holder) -> Result<Turn, AcquireError> {
        // Both semaphores are fair. The holder's share comes first, so that its reads cannot fill
        // the shared queue.
        let place = self.shares.of(&holder.0).acquire_owned().await?;
        Ok((Arc::clone(&self.turns).acquire_owned().await?, place))
    }

    async fn run<T>(&self, turn: Result<Turn, AcquireError>, read: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let read = read.await;
        // The semaphores are never closed.
        if let Ok((turn, _)) = turn
            && self.lanes.are_busy()
        {
            let rest = (started.elapsed() * REST).min(LONGEST_REST);
            // The turn rests in the background, so that the reader gets its answer at once.
            tokio::spawn(async move {
                sleep(rest).await;
                drop(turn);
            });
        }
        read
    }
}
