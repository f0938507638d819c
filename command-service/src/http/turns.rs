//! Turns at reading the log, so that readers leave commands their time, and each other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use passbook_shared::http::problem::Problem;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::lanes::Lanes;

/// Time to wait for a turn.
const PATIENCE: Duration = Duration::from_millis(1_800);
/// Rest after a turn, as a multiple of the time that it took: of two turns at once, half a processor is left to readers.
const REST: u32 = 3;
/// The longest rest after a turn.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Clients' lines that are kept before those that nobody stands in are forgotten.
const LINES: usize = 1_024;

/// Turns at reading: few at once, and no more of one client ahead of the others. While commands are on their way, each rests
/// after its work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    at_once: usize,
    turns: Arc<Semaphore>,
    /// Those of a client that wait for a turn beside other clients', or have one.
    lines: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
    lanes: Lanes,
}

/// A turn, and the place in the client's line.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Turns {
    /// So many at once, beside the commands of these lanes.
    pub fn new(at_once: usize, lanes: Lanes) -> Self {
        Self { at_once, turns: Arc::new(Semaphore::new(at_once)), lines: Arc::default(), lanes }
    }

    /// Reads for a client when its turn comes.
    ///
    /// # Errors
    /// 503 `overloaded` if it does not come in time.
    pub async fn wait_for<T>(
        &self,
        client: IpAddr,
        read: impl Future<Output = T>,
    ) -> Result<T, Problem> {
        let turn =
            timeout(PATIENCE, self.turn(client)).await.map_err(|_| Problem::reads_overloaded())?;
        Ok(self.have(turn, read).await)
    }

    /// The same, for what has begun: it waits for its turn however long that takes.
    pub async fn take<T>(&self, client: IpAddr, read: impl Future<Output = T>) -> T {
        let turn = self.turn(client).await;
        self.have(turn, read).await
    }

    async fn turn(&self, client: IpAddr) -> Result<Turn, AcquireError> {
        // All are first come, first served.
        let place = self.line(client).acquire_owned().await?;
        Ok((Arc::clone(&self.turns).acquire_owned().await?, place))
    }

    fn line(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get(&client).and_then(Weak::upgrade) {
            return line;
        }
        if lines.len() >= LINES {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::new(Semaphore::new(self.at_once));
        lines.insert(client, Arc::downgrade(&line));
        line
    }

    async fn have<T>(&self, turn: Result<Turn, AcquireError>, read: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let read = read.await;
        // The semaphores are never closed.
        if let Ok((turn, _)) = turn
            && self.lanes.are_busy()
        {
            let rest = (started.elapsed() * REST).min(LONGEST_REST);
            tokio::spawn(async move {
                sleep(rest).await;
                drop(turn);
            });
        }
        read
    }
}
