use proptest::prelude::*;

use super::*;
use crate::domain::tests::specification::{hold_of, opened_with};
use crate::domain::{Account, evolve};

const EVENT: Uuid = Uuid::from_u128(5);

impl ToWrite {
    /// Returns the next queued snapshot.
    pub(crate) fn next(&mut self) -> Option<Snapshot> {
        self.queue.try_recv().ok()
    }
}

/// Returns an account with a number of open holds at a version.
fn loaded(version: i64, holds: u128) -> Loaded {
    let place = |account, number| {
        let hold = hold_of(Uuid::from_u128(number), 1, None);
        evolve(account, &passbook_shared::event::AccountEvent::HoldPlaced(hold))
    };
    let account = (0..holds).fold(evolve(Account::Unopened, &opened_with(1)), place);
    Loaded { account, version, position: 9 }
}

/// Returns whether a batch from one version to another is due for a snapshot.
fn is_due(before: i64, after: i64, holds: u128, every: i64) -> bool {
    let (snapshots, mut queued) = queue(SnapshotKey::random());
    let account = (Partition::new(3), Uuid::from_u128(1));
    snapshots.keep_if_due(account, (&loaded(after, holds), EVENT), before, every);
    let Some(kept) = queued.next() else { return false };
    assert_eq!(((kept.partition, kept.account_id), kept.event_id), (account, EVENT));
    assert_eq!(kept.loaded, loaded(after, holds));
    assert!(queued.next().is_none());
    true
}

#[test]
fn a_snapshot_is_due_at_each_multiple() {
    for (before, after, expected) in [
        (0, 9, false),
        (0, 10, true),
        (9, 10, true),
        (10, 10, false),
        (10, 19, false),
        (5, 35, true),
        (19, 20, true),
    ] {
        assert_eq!(is_due(before, after, 0, 10), expected, "{before} to {after}");
    }
}

#[test]
fn an_account_with_many_holds_has_fewer_snapshots() {
    assert!(is_due(9, 10, 10, 10));
    assert!(!is_due(9, 10, 11, 10) && is_due(10, 11, 11, 10));
}

#[test]
fn a_handle_that_only_reads_keeps_nothing_and_a_full_queue_drops() {
    let only_read = Snapshots::only_read(SnapshotKey::random());
    only_read.keep_if_due((Partition::new(0), Uuid::nil()), (&loaded(10, 0), EVENT), 0, 10);
    let (snapshots, mut queued) = queue(SnapshotKey::random());
    for _ in 0..QUEUE + 5 {
        snapshots.keep_if_due((Partition::new(0), Uuid::nil()), (&loaded(10, 0), EVENT), 0, 10);
    }
    assert_eq!(std::iter::from_fn(|| queued.next()).count(), QUEUE);
}

proptest! {
    #[test]
    fn one_event_at_a_time_is_due_once_per_multiple(every in 10_i64..50, last in 0_i64..300) {
        let due = (0..last).filter(|version| is_due(*version, version + 1, 0, every)).count();
        prop_assert_eq!(i64::try_from(due).unwrap(), last / every);
    }
}
