//! Queries that wait until a version of an account or a position is applied. This instance wakes
//! them for the events that it applies. The queries find events of other instances in the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use passbook_shared::partition::Partition;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Registry of waiting queries. Each entry belongs to a running query.
#[derive(Debug, Default)]
pub struct Waiters {
    accounts: Mutex<ByKey<Uuid>>,
    partitions: Mutex<ByKey<Partition>>,
}

type ByKey<K> = HashMap<K, Vec<Waiter>>;

#[derive(Debug)]
struct Waiter {
    number: i64,
    wake: oneshot::Sender<()>,
}

/// Registration of a waiting query, removed when dropped.
#[derive(Debug)]
pub struct WaitHandle {
    waiting: Arc<Waiters>,
    on: On,
    woken: Option<oneshot::Receiver<()>>,
}

/// Event that a query waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// An account's version.
    Account(Uuid, i64),
    /// A partition's position.
    Partition(Partition, i64),
}

impl Waiters {
    /// Registers a query. Must be called before the database is checked; otherwise the query could
    /// miss a wake-up.
    pub fn wait(self: &Arc<Self>, on: On) -> WaitHandle {
        let (wake, woken) = oneshot::channel();
        match on {
            On::Account(id, number) => add(&self.accounts, id, Waiter { number, wake }),
            On::Partition(partition, number) => {
                add(&self.partitions, partition, Waiter { number, wake })
            }
        }
        WaitHandle { waiting: Arc::clone(self), on, woken: Some(woken) }
    }

    /// Wakes the queries whose position or version was applied.
    pub fn reached(
        &self,
        partitions: impl Iterator<Item = (Partition, i64)>,
        accounts: impl Iterator<Item = (Uuid, i64)>,
    ) {
        wake(&self.partitions, partitions);
        wake(&self.accounts, accounts);
    }
}

fn add<K: Eq + Hash>(waiters: &Mutex<ByKey<K>>, key: K, waiter: Waiter) {
    waiters.lock().entry(key).or_default().push(waiter);
}

fn wake<K: Eq + Hash>(waiters: &Mutex<ByKey<K>>, reached: impl Iterator<Item = (K, i64)>) {
    let mut waiters = waiters.lock();
    // Usually no query waits, and the events of the batch need no look-up.
    if waiters.is_empty() {
        return;
    }
    for (key, number) in reached {
        if let Some(of_key) = waiters.get_mut(&key) {
            for waiter in of_key.extract_if(.., |waiter| waiter.number <= number) {
                // The query may have ended already.
                let _ = waiter.wake.send(());
            }
        }
    }
}

fn give_up<K: Eq + Hash>(waiters: &Mutex<ByKey<K>>, key: &K) {
    let mut waiters = waiters.lock();
    if let Some(of_key) = waiters.get_mut(key) {
        of_key.retain(|waiter| !waiter.wake.is_closed());
        if of_key.is_empty() {
            waiters.remove(key);
        }
    }
}

impl WaitHandle {
    /// Completes once this instance has applied the event. Never completes if another instance
    /// applies it.
    pub async fn woken(&mut self) {
        if let Some(woken) = &mut self.woken {
            let _ = woken.await;
            self.woken = None;
        } else {
            std::future::pending().await
        }
    }
}

impl Drop for WaitHandle {
    fn drop(&mut self) {
        // Closes the channel. `give_up` recognizes the waiter by the closed channel.
        self.woken = None;
        match self.on {
            On::Account(id, _) => give_up(&self.waiting.accounts, &id),
            On::Partition(partition, _) => give_up(&self.waiting.partitions, &partition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_is_woken_by_what_it_waits_for_and_leaves_nothing_behind() {
        let waiting = Arc::new(Waiters::default());
        let account = Uuid::from_u128(1);
        let mut early = waiting.wait(On::Account(account, 2));
        let late = waiting.wait(On::Account(account, 9));
        waiting.reached([(Partition::new(3), 10)].into_iter(), [(account, 3)].into_iter());
        early.woken().await;
        drop((early, late));
        assert!(waiting.accounts.lock().is_empty());

        let mut place = waiting.wait(On::Partition(Partition::new(3), 10));
        waiting.reached([(Partition::new(3), 10)].into_iter(), std::iter::empty());
        place.woken().await;
        drop(place);
        assert!(waiting.partitions.lock().is_empty());
    }
}
