//! Fair scheduling of log reads: readers yield to commands and to each other.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use passbook_shared::http::problem::Problem;
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
/// Number of client queues above which idle ones are dropped.
const MAX_CLIENTS: usize = 1_024;

/// Turns at reading. Few run at once, and a client's waiting reads do not delay other clients.
/// While commands are in flight, each turn is followed by a rest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    at_once: usize,
    turns: Arc<Semaphore>,
    /// Queue of each client: bounds the turns that a client waits for or holds.
    clients: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
    lanes: Lanes,
}

/// Turn, and place in the client's queue.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Turns {
    /// Creates turns for `at_once` concurrent reads that yield to the commands of `lanes`.
    pub fn new(at_once: usize, lanes: Lanes) -> Self {
        Self { at_once, turns: Arc::new(Semaphore::new(at_once)), clients: Arc::default(), lanes }
    }

    /// Reads when the client's turn comes.
    ///
    /// # Errors
    /// 503 `overloaded` if the turn does not come in time.
    pub async fn wait_for<T>(
        &self,
        client: IpAddr,
        read: impl Future<Output = T>,
    ) -> Result<T, Problem> {
        let turn =
            timeout(PATIENCE, self.turn(client)).await.map_err(|_| Problem::reads_overloaded())?;
        Ok(self.run(turn, read).await)
    }

    /// Continues a read that has begun: waits for a turn without a deadline.
    pub async fn take<T>(&self, client: IpAddr, read: impl Future<Output = T>) -> T {
        let turn = self.turn(client).await;
        self.run(turn, read).await
    }

    async fn turn(&self, client: IpAddr) -> Result<Turn, AcquireError> {
        // Both semaphores are fair. The client's own queue comes first, so that it cannot fill the
        // shared one.
        let place = self.client_queue(client).acquire_owned().await?;
        Ok((Arc::clone(&self.turns).acquire_owned().await?, place))
    }

    fn client_queue(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut clients = self.clients.lock();
        if let Some(queue) = clients.get(&client).and_then(Weak::upgrade) {
            return queue;
        }
        if clients.len() >= MAX_CLIENTS {
            clients.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::new(Semaphore::new(self.at_once));
        // Weak: the reads of the client keep its queue.
        clients.insert(client, Arc::downgrade(&queue));
        queue
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
