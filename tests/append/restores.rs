//! Forks and accepted restores in the store, and lanes on a restored log.

/// Events that a restore takes away from a running service.
mod lost;

use std::collections::BTreeMap;

use command_service::domain::Command;
use command_service::log::restores;
use command_service::outcome::{CommandError, Outcome};
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::store_description::{Fork, StoreDescription};
use sqlx::Connection;
use uuid::Uuid;

use crate::log::Log;
use crate::log::PARTITIONS;
use crate::requests::{accepted, money, opening, request, transfer, with_key};

impl Log {
    async fn described(&self) -> StoreDescription {
        self.reader().describe().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_commands_on_a_forked_partition_are_refused() {
    let log = Log::start().await;
    let instance = log.instance();
    // Partitions 3 and 5 belong to the same lane.
    let [forked, other, third] = [3, 5, 4].map(account_in);
    for account in [forked, other, third] {
        accepted(instance.send(request(account, opening())).await);
        accepted(instance.send(request(account, Command::Deposit(money(100)))).await);
    }
    let mut connection = sqlx::PgConnection::connect_with(&log.service()).await.unwrap();
    let fork = Fork {
        partition: Partition::new(3),
        log_position: 2,
        topic_position: 7,
        reason: "another event".to_owned(),
    };
    restores::note_fork(&mut connection, 0, &fork).await.unwrap();
    let behind = CommandError::LogIsBehind {
        partition: Partition::new(3),
        log_position: 2,
        topic_position: 7,
    };

    // This instance does not know of the fork. All commands are in one batch.
    let each =
        [forked, other, forked, other].map(|account| request(account, Command::Deposit(money(1))));
    let results = instance.lanes.submit_each(each.to_vec()).await;
    let [Err(first), Ok(second), Err(third_result), Ok(fourth)] = &results[..] else {
        panic!("{results:?}")
    };
    assert!(first == &behind && third_result == &behind);
    assert!([second, fourth].iter().all(|answer| matches!(answer, Outcome::Accepted { .. })));
    let mut trial = request(forked, Command::Withdraw(money(1)));
    trial.dry_run = true;
    let too_much = request(forked, Command::Withdraw(money(1_000)));
    let with_key = with_key(request(forked, Command::Deposit(money(1))), "a key");
    for refused in
        [trial, too_much, with_key, transfer(forked, third, 1), transfer(third, forked, 1)]
    {
        assert_eq!(instance.send(refused.clone()).await.unwrap_err(), behind, "{refused:?}");
    }
    let set = vec![
        request(third, Command::Deposit(money(1))),
        request(forked, Command::Deposit(money(1))),
    ];
    let results = instance.lanes.submit_together(set, true).await;
    assert!(
        results.iter().all(|result| result.as_ref().is_err_and(|error| *error == behind)),
        "{results:?}"
    );
    accepted(instance.send(transfer(third, other, 1)).await);
    instance.end().await;
    log.assert_dense().await;
    log.end().await;
}

/// Returns a new account id of a partition.
fn account_in(partition: u8) -> Uuid {
    let of_partition =
        |account: &Uuid| partition_of(*account, PARTITIONS) == Partition::new(partition);
    std::iter::repeat_with(Uuid::new_v4).find(of_partition).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_kept_until_an_accepted_restore_begins_an_epoch() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let partition = partition_of(account, PARTITIONS);
    for _ in 0..4 {
        accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    }
    let described = log.described().await;
    assert_eq!((described.epoch, described.restores.len(), described.forks.len()), (0, 0, 0));

    let mut connection = sqlx::PgConnection::connect_with(&log.service()).await.unwrap();
    let fork =
        Fork { partition, log_position: 5, topic_position: 7, reason: "another event".to_owned() };
    restores::note_fork(&mut connection, 0, &fork).await.unwrap();
    // The first note of a fork is kept.
    let later = Fork { topic_position: 9, ..fork.clone() };
    restores::note_fork(&mut connection, 0, &later).await.unwrap();
    assert_eq!(log.described().await.forks, std::slice::from_ref(&fork));

    let sql =
        "SELECT position, fork_noticed_at IS NOT NULL FROM passbook.log_head WHERE partition = $1";
    let head = || sqlx::query_as::<_, (i64, bool)>(sql).bind(partition).fetch_one(&log.pool);
    assert_eq!(head().await.unwrap(), (5, true));

    // A restore is not accepted with another list of forks, or in another epoch.
    let none = BTreeMap::new();
    assert!(!restores::accept(&mut connection, 0, 1, &none).await.unwrap());
    let kept = BTreeMap::from([(partition, 3)]);
    assert!(!restores::accept(&mut connection, 1, 2, &kept).await.unwrap());
    assert_eq!(log.described().await.forks.len(), 1);

    assert!(restores::accept(&mut connection, 0, 4, &kept).await.unwrap());
    // A note from before the accepted restore is ignored.
    restores::note_fork(&mut connection, 0, &fork).await.unwrap();
    let described = log.described().await;
    assert_eq!((described.epoch, described.forks.len(), described.restores.len()), (4, 0, 1));
    let restore = &described.restores[0];
    assert_eq!((restore.epoch, restore.kept.len()), (4, PARTITIONS.get().into()));
    assert!(
        restore
            .kept
            .iter()
            .all(|kept| kept.position == if kept.partition == partition { 3 } else { 0 })
    );
    assert!(
        described.restores_of(partition).voided(0, 4)
            && !described.restores_of(partition).voided(4, 4)
    );

    // New events follow on the log.
    assert_eq!(
        accepted(instance.send(request(account, Command::Deposit(money(1)))).await).position.number,
        6
    );
    assert!(restores::accept(&mut connection, 4, 5, &none).await.unwrap());
    let kept = log.described().await.restores[1].kept.iter().map(|kept| kept.position).max();
    assert_eq!(kept, Some(6));
    instance.end().await;
    log.assert_dense().await;
    log.end().await;
}
