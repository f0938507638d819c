//! Effective time of entries.

use command_service::domain::effective::MOST_LATER_EVENTS;
use command_service::domain::{Command, Refusal};
use passbook_shared::event::MoneyMoved;
use passbook_shared::timestamp::Timestamp;

use crate::log::Log;
use crate::requests::{accepted, money, refused, request, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn a_state_by_effective_time_has_the_backdated_entries_known_by_then() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open_with(1, 50).await[0];
    let at = |time: &str| -> Timestamp { time.parse().unwrap() };
    let from = |time, amount| MoneyMoved { effective_at: Some(at(time)), ..money(amount) };
    accepted(
        instance.send(request(account, Command::Deposit(from("2026-01-10T00:00:00Z", 100)))).await,
    );
    accepted(
        instance.send(request(account, Command::Withdraw(from("2026-02-01T00:00:00Z", 30)))).await,
    );

    let reader = log.reader();
    for (moment, up_to, balance, version) in [
        // Before the first effective time there is no account.
        ("2026-01-09T23:59:59Z", i64::MAX, None, 0),
        ("2026-01-10T00:00:00Z", i64::MAX, Some(100), 3),
        ("2026-01-31T00:00:00Z", i64::MAX, Some(100), 3),
        ("2026-02-01T00:00:00Z", i64::MAX, Some(70), 4),
        ("2026-02-01T00:00:00Z", 3, Some(100), 3),
        ("2026-02-01T00:00:00Z", 2, None, 0),
        ("9999-01-01T00:00:00Z", i64::MAX, Some(120), 4),
        ("9999-01-01T00:00:00Z", 2, Some(50), 2),
    ] {
        let state = reader.effective_at(account, up_to, at(moment)).await.unwrap();
        let found = state.account.summary().map(|account| account.balance);
        assert_eq!((found, state.version), (balance, version), "{moment} up to {up_to}");
    }
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debit_refused_due_to_its_set_is_accepted_alone() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open_with(1, 50).await[0];
    let early = Timestamp::now();
    for page in 0..=MOST_LATER_EVENTS / 1_000 {
        let deposits = (0..1_000).map(|_| request(account, Command::Deposit(money(1)))).collect();
        let done = instance.lanes.submit_together(deposits, false).await;
        assert!(done.iter().all(Result::is_ok), "page {page}");
    }
    let late = Timestamp::now();
    accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    let withdraw = |from: Timestamp, key: &str| {
        let withdrawal = MoneyMoved { effective_at: Some(from), ..money(1) };
        with_key(request(account, Command::Withdraw(withdrawal)), key)
    };
    let both = vec![withdraw(early, "early"), withdraw(late, "late")];
    let too_far_back = Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS };
    for result in instance.lanes.submit_together(both, false).await {
        assert_eq!(refused(result), too_far_back);
    }
    let again = instance.send(withdraw(early, "early")).await;
    assert!(!again.as_ref().unwrap().is_replay());
    assert_eq!(refused(again), too_far_back);
    let alone = instance.send(withdraw(late, "late")).await;
    assert!(!alone.as_ref().unwrap().is_replay());
    accepted(alone);
    instance.end().await;
    log.end().await;
}
