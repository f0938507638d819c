//! Idempotency keys of commands in sets, and of commands with preconditions.

use command_service::domain::{Command, Refusal};
use command_service::outcome::Outcome;
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::event::AccountFrozen;
use uuid::Uuid;

use super::{again, assert_same_outcomes};
use crate::log::Log;
use crate::requests::{accepted, money, outcome, refused, request, transfer, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_that_aborted_a_set_is_kept_under_its_key() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(3, 10).await;
    let set = [
        with_key(request(accounts[0], Command::Deposit(money(5))), "a"),
        with_key(request(accounts[1], Command::Withdraw(money(11))), "b"),
        with_key(request(accounts[2], Command::Deposit(money(5))), "c"),
    ];
    let first = instance.lanes.submit_together(again(&set), true).await;
    // With this deposit it would be accepted, but its key has the refusal.
    accepted(instance.send(request(accounts[1], Command::Deposit(money(1)))).await);
    let second = instance.lanes.submit_together(again(&set), true).await;
    assert_same_outcomes(&first, &second);
    assert!(matches!(second[1].as_ref().unwrap(), Outcome::Refused { .. }));
    // The keys of the aborted commands are free.
    assert!(!instance.send(again(&set)[0].clone()).await.unwrap().is_replay());
    assert_eq!(log.events().await.len(), 8);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_due_to_its_own_set_is_not_kept_under_its_key() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let accounts = here.open_with(2, 100).await;
    let freeze = || {
        request(accounts[0], Command::Freeze(AccountFrozen { reason: None, block_credits: false }))
    };
    let withdraw =
        |amount, key| with_key(request(accounts[0], Command::Withdraw(money(amount))), key);
    // The set has frozen the account, spent the money, and increased the balance that the refusal
    // reports.
    let sets = [
        (vec![freeze(), withdraw(10, "w1")], Refusal::AccountFrozen),
        (
            vec![transfer(accounts[0], accounts[1], 100), withdraw(10, "w2")],
            Refusal::InsufficientFunds { available: 0, overdraft_limit: 0 },
        ),
        (
            vec![request(accounts[0], Command::Deposit(money(1))), withdraw(102, "w3")],
            Refusal::InsufficientFunds { available: 101, overdraft_limit: 0 },
        ),
    ];
    for (set, refusal) in &sets {
        // The second instance has no cached versions, so it decides pessimistically.
        for instance in [&here, &there] {
            let results = instance.lanes.submit_together(again(set), true).await;
            assert_eq!(refused(results[1].clone()), *refusal);
            assert!(!results[1].as_ref().unwrap().is_replay());
            accepted(here.send(request(accounts[1], Command::Deposit(money(1)))).await);
        }
    }
    for (amount, key, left) in [(10, "w1", 90), (10, "w2", 80)] {
        assert_eq!(accepted(there.send(withdraw(amount, key)).await).account.balance, left);
    }
    assert!(matches!(
        refused(there.send(withdraw(102, "w3")).await),
        Refusal::InsufficientFunds { available: 80, .. }
    ));
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_precondition_is_not_kept_and_not_compared_with_repeats() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open_with(1, 100).await[0];
    let withdraw = |expected: Option<i64>| CommandRequest {
        expected_versions: expected.map(|version| vec![version]),
        ..with_key(request(account, Command::Withdraw(money(10))), "w")
    };
    for (instance, expected) in [(&here, 1), (&there, 7)] {
        let refusal = refused(instance.send(withdraw(Some(expected))).await);
        assert_eq!(refusal, Refusal::VersionMismatch { current_version: 2 });
    }
    let in_a_set = here.lanes.submit_together(vec![withdraw(Some(1))], true).await;
    assert_eq!(refused(in_a_set[0].clone()), Refusal::VersionMismatch { current_version: 2 });
    let first = here.send(withdraw(Some(2))).await.unwrap();
    assert!(!first.is_replay());
    // Every repeat gets the first answer, whatever version it expects.
    for expected in [None, Some(2), Some(3), Some(9)] {
        let repeat = there.send(withdraw(expected)).await.unwrap();
        assert_eq!((outcome(&repeat), repeat.is_replay()), (outcome(&first), true), "{expected:?}");
    }
    assert_eq!(log.events().await.len(), 3);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_kept_with_its_precondition_still_replays() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open_with(1, 100).await[0];
    let withdraw = CommandRequest {
        expected_versions: Some(vec![2]),
        ..with_key(request(account, Command::Withdraw(money(10))), "w")
    };
    let first = instance.send(withdraw.clone()).await.unwrap();
    // Earlier versions kept the hash of `[{"withdraw":{"amount":10}},2]`.
    let fingerprint =
        Uuid::new_v5(&Uuid::NAMESPACE_OID, br#"[{"withdraw":{"amount":10}},2]"#).as_u64_pair().0;
    sqlx::query("UPDATE passbook.commands SET fingerprint = $1 WHERE idempotency_key = 'w'")
        .bind(fingerprint.cast_signed())
        .execute(&log.pool)
        .await
        .unwrap();
    let repeat = instance.send(again(&[withdraw]).remove(0)).await.unwrap();
    assert_eq!((outcome(&repeat), repeat.is_replay()), (outcome(&first), true));
    instance.end().await;
    log.end().await;
}
