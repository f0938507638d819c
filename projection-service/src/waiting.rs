//! Queries that wait for what they ask for: an account's version, or a position. Woken by what this instance applies;
//! what another applies, they see in the database.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use passbook_shared::partition::Partition;
use tokio::sync::oneshot;
use uuid::Uuid;

/// All queries that wait. All that is in it is of a query that runs.
#[derive(Debug, Default)]
pub struct Waiting {
    accounts: Mutex<Waiters<Uuid>>,
    partitions: Mutex<Waiters<Partition>>,
}

type Waiters<K> = HashMap<K, Vec<Waiter>>;

#[derive(Debug)]
struct Waiter {
    number: i64,
    wake: oneshot::Sender<()>,
}

/// A query's place among those that wait; given up when dropped.
#[derive(Debug)]
pub struct Place {
    waiting: Arc<Waiting>,
    on: On,
    woken: Option<oneshot::Receiver<()>>,
}

/// What a query waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// An account's version.
    Account(Uuid, i64),
    /// A partition's position.
    Partition(Partition, i64),
}

impl Waiting {
    /// Begins to wait. To be called before looking whether it is there already.
    pub fn wait(self: &Arc<Self>, on: On) -> Place {
        let (wake, woken) = oneshot::channel();
        match on {
            On::Account(id, number) => add(&self.accounts, id, Waiter { number, wake }),
            On::Partition(partition, number) => {
                add(&self.partitions, partition, Waiter { number, wake })
            }
        }
        Place { waiting: Arc::clone(self), on, woken: Some(woken) }
    }

    /// Wakes those whose position or version was applied.
    pub fn reached(
        &self,
        partitions: impl Iterator<Item = (Partition, i64)>,
        accounts: impl Iterator<Item = (Uuid, i64)>,
    ) {
        wake(&self.partitions, partitions);
        wake(&self.accounts, accounts);
    }
}

fn add<K: Eq + Hash>(waiters: &Mutex<Waiters<K>>, key: K, waiter: Waiter) {
    waiters.lock().entry(key).or_default().push(waiter);
}

fn wake<K: Eq + Hash>(waiters: &Mutex<Waiters<K>>, reached: impl Iterator<Item = (K, i64)>) {
    let mut waiters = waiters.lock();
    if waiters.is_empty() {
        return;
    }
    for (key, number) in reached {
        if let Some(of_key) = waiters.get_mut(&key) {
            for waiter in of_key.extract_if(.., |waiter| waiter.number <= number) {
                let _ = waiter.wake.send(());
            }
        }
    }
}

fn give_up<K: Eq + Hash>(waiters: &Mutex<Waiters<K>>, key: &K) {
    let mut waiters = waiters.lock();
    if let Some(of_key) = waiters.get_mut(key) {
        of_key.retain(|waiter| !waiter.wake.is_closed());
        if of_key.is_empty() {
            waiters.remove(key);
        }
    }
}

impl Place {
    /// Ends when this instance has applied it, once; never, if another does.
    pub async fn woken(&mut self) {
        if let Some(woken) = &mut self.woken {
            let _ = woken.await;
            self.woken = None;
        } else {
            std::future::pending().await
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Closes the waiter's channel, by which it is known.
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
        let waiting = Arc::new(Waiting::default());
        let account = Uuid::from_u128(1);
        let mut early = waiting.wait(On::Account(account, 2));
        let late = waiting.wait(On::Account(account, 9));
        waiting.reached([(3, 10)].into_iter(), [(account, 3)].into_iter());
        early.woken().await;
        drop((early, late));
        assert!(waiting.accounts.lock().is_empty());

        let mut place = waiting.wait(On::Partition(3, 10));
        waiting.reached([(3, 10)].into_iter(), std::iter::empty());
        place.woken().await;
        drop(place);
        assert!(waiting.partitions.lock().is_empty());
    }
}
