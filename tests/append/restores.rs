//! Forks and accepted restores, as the store keeps them.

use std::collections::BTreeMap;

use command_service::domain::Command;
use command_service::log::restores;
use command_service::log::store::{self, Store};
use passbook_shared::partition::partition_of;
use passbook_shared::store_description::{Fork, StoreDescription};
use sqlx::Connection;

use crate::ground::{Log, accepted, money, request};

impl Log {
    async fn described(&self) -> StoreDescription {
        let store_id = sqlx::query_scalar("SELECT store_id FROM passbook.store").fetch_one(&self.pool).await.unwrap();
        let store = Store { store_id, partitions: store::DEFAULT_PARTITIONS, opened_by_key_alone: false };
        self.reader(store).describe().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_kept_until_a_restore_is_accepted_which_begins_an_epoch() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let partition = partition_of(account, store::DEFAULT_PARTITIONS);
    for _ in 0..4 {
        accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    }
    let described = log.described().await;
    assert_eq!((described.epoch, described.restores.len(), described.forks.len()), (0, 0, 0));

    let mut connection = sqlx::PgConnection::connect_with(&log.runtime()).await.unwrap();
    let fork = Fork { partition, log_position: 5, topic_position: 7, reason: "another event".to_owned() };
    restores::note_fork(&mut connection, 0, &fork).await.unwrap();
    // The first to notice it has told what it is.
    let later = Fork { topic_position: 9, ..fork.clone() };
    restores::note_fork(&mut connection, 0, &later).await.unwrap();
    assert_eq!(log.described().await.forks, std::slice::from_ref(&fork));

    let sql = "SELECT position, fork_noticed_at IS NOT NULL FROM passbook.log_head WHERE partition = $1";
    let head = || sqlx::query_as::<_, (i64, bool)>(sql).bind(partition).fetch_one(&log.pool);
    assert_eq!(head().await.unwrap(), (5, true));

    // Not with a fork that nobody was shown, nor in another epoch.
    let none = BTreeMap::new();
    assert!(!restores::accept(&mut connection, 0, 1, &none).await.unwrap());
    let kept = BTreeMap::from([(partition, 3)]);
    assert!(!restores::accept(&mut connection, 1, 2, &kept).await.unwrap());
    assert_eq!(log.described().await.forks.len(), 1);

    assert!(restores::accept(&mut connection, 0, 4, &kept).await.unwrap());
    // Found before, and told too late.
    restores::note_fork(&mut connection, 0, &fork).await.unwrap();
    let described = log.described().await;
    assert_eq!((described.epoch, described.forks.len(), described.restores.len()), (4, 0, 1));
    let restore = &described.restores[0];
    assert_eq!((restore.epoch, restore.kept.len()), (4, usize::from(store::DEFAULT_PARTITIONS.unsigned_abs())));
    assert!(restore.kept.iter().all(|kept| kept.position == if kept.partition == partition { 3 } else { 0 }));
    assert!(described.restores_of(partition).gave_up(0, 4) && !described.restores_of(partition).gave_up(4, 4));

    // It goes on where the log is.
    assert_eq!(accepted(instance.send(request(account, Command::Deposit(money(1)))).await).position.number, 6);
    assert!(restores::accept(&mut connection, 4, 5, &none).await.unwrap());
    let kept = log.described().await.restores[1].kept.iter().map(|kept| kept.position).max();
    assert_eq!(kept, Some(6));
    instance.end().await;
    log.assert_dense().await;
    log.end().await;
}
