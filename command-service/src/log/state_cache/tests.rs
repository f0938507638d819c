use std::time::Duration;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::domain::tests::specification::{hold_of, opened_with};
use crate::domain::{Account, evolve};

const BYTES: u64 = 1 << 20;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn at_version(version: i64) -> Loaded {
    Loaded { account: evolve(Account::Unopened, &opened_with(version)), version, position: version }
}

async fn lock<const N: usize>(caches: &StateCaches, partitions: [u8; N]) -> CacheGuard {
    caches.lock(partitions.map(Partition::new).into_iter()).await
}

/// Returns the version that is kept of an account.
fn kept(guard: &mut CacheGuard, kind: Kind, number: u128, partition: u8) -> Option<i64> {
    guard.get(kind, id(number), Partition::new(partition)).map(|loaded| loaded.version)
}

#[tokio::test]
async fn a_state_is_kept_by_account_and_kind() {
    let caches = StateCaches::new(2, BYTES);
    let mut guard = lock(&caches, [0]).await;
    guard.keep(Kind::Newest, id(1), Partition::new(0), at_version(5));
    guard.keep(Kind::Replayed, id(1), Partition::new(0), at_version(3));
    guard.keep(Kind::Newest, id(2), Partition::new(0), Loaded::default());
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 0), Some(5));
    assert_eq!(kept(&mut guard, Kind::Replayed, 1, 0), Some(3));
    assert_eq!(kept(&mut guard, Kind::Newest, 2, 0), None, "an account without events");
    guard.discard(id(1), Partition::new(0));
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 0), None);
    assert_eq!(kept(&mut guard, Kind::Replayed, 1, 0), Some(3), "the past does not change");
    guard.clear();
    assert_eq!(kept(&mut guard, Kind::Replayed, 1, 0), None);
}

#[tokio::test]
async fn a_guard_reaches_only_the_caches_that_it_has_locked() {
    let caches = StateCaches::new(2, BYTES);
    let mut odd = lock(&caches, [1, 3]).await;
    odd.keep(Kind::Newest, id(1), Partition::new(3), at_version(1));
    odd.keep(Kind::Newest, id(2), Partition::new(2), at_version(1));
    assert_eq!(kept(&mut odd, Kind::Newest, 1, 5), Some(1), "one cache for all odd partitions");
    assert_eq!(kept(&mut odd, Kind::Newest, 2, 2), None);
    let mut even = lock(&caches, [2]).await;
    assert_eq!(kept(&mut even, Kind::Newest, 2, 2), None);
    let other = timeout(Duration::from_millis(1), lock(&caches, [7])).await;
    assert!(other.is_err(), "the odd cache is locked");
    drop(odd);
    let mut both = lock(&caches, [7, 9]).await;
    assert_eq!(kept(&mut both, Kind::Newest, 1, 1), Some(1));
}

#[tokio::test]
async fn a_new_era_discards_what_was_not_locked_when_it_began() {
    let caches = StateCaches::new(2, BYTES);
    for partition in [0, 1] {
        let mut guard = lock(&caches, [partition]).await;
        let partition = Partition::new(partition);
        guard.keep(Kind::Newest, id(1), partition, at_version(4));
        guard.keep(Kind::Replayed, id(1), partition, at_version(4));
    }
    let mut guard = lock(&caches, [0]).await;
    guard.begin_era();
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 0), Some(4), "its holder decides");
    drop(guard);
    let mut guard = lock(&caches, [0, 1]).await;
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 0), Some(4));
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 1), None);
    assert_eq!(kept(&mut guard, Kind::Replayed, 1, 1), None);
    guard.keep(Kind::Newest, id(1), Partition::new(1), at_version(5));
    drop(guard);
    let mut guard = lock(&caches, [1]).await;
    assert_eq!(kept(&mut guard, Kind::Newest, 1, 1), Some(5), "once in an era");
}

#[test]
fn an_open_hold_weighs_more() {
    let mut account = evolve(Account::Unopened, &opened_with(10_000));
    let weight = |account: &Account| {
        let loaded = Loaded { account: account.clone(), version: 1, position: 1 };
        Bytes.weight(&(Kind::Newest, id(1)), &loaded)
    };
    let without = weight(&account);
    for number in 1..=3 {
        let hold = hold_of(id(number), 1, None);
        account = evolve(account, &passbook_shared::event::AccountEvent::HoldPlaced(hold));
        assert_eq!(weight(&account), without + HOLD * u64::try_from(number).unwrap());
    }
}

#[tokio::test]
async fn a_cache_stays_within_its_size() {
    let caches = StateCaches::new(1, 100 * (size_of::<Loaded>() as u64 + OVERHEAD));
    let mut guard = lock(&caches, [0]).await;
    for number in 0..1_000 {
        guard.keep(Kind::Newest, id(number), Partition::new(0), at_version(1));
    }
    let there = (0..1_000).filter(|number| kept(&mut guard, Kind::Newest, *number, 0).is_some());
    assert!((50..=100).contains(&there.count()));
}

proptest! {
    #[test]
    fn a_partition_has_one_cache(count in 1_usize..20, partition in 0..200_u8) {
        let caches = StateCaches::new(count, BYTES);
        let index = |partition| caches.index_of(Partition::new(partition));
        prop_assert!(index(partition) < count);
        let period = u8::try_from(count).unwrap();
        prop_assert_eq!(index(partition + period), index(partition));
        prop_assert_eq!(index(partition + 1) == index(partition), count == 1);
    }
}
