//! Holds: each ends once.

use std::time::Duration;

use command_service::domain::command::{Capture, Expire, Release};
use command_service::domain::{Command, Refusal};
use command_service::log::clock::LogClock;
use command_service::outcome::Outcome;
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::event::{HoldPlaced, HoldStatus};
use passbook_shared::money::Amount;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::log::Log;
use crate::log::PARTITIONS;
use crate::requests::{accepted, refused, request};

/// One hour in microseconds.
const HOUR: i64 = 3_600_000_000;

pub(crate) fn hold(
    account: Uuid,
    hold_id: Uuid,
    amount: i64,
    expires_at: Option<Timestamp>,
) -> CommandRequest {
    let (amount, metadata) = (Amount::new(amount).unwrap(), Metadata::default());
    request(
        account,
        Command::Hold(HoldPlaced { hold_id, amount, expires_at, reference: None, metadata }),
    )
}

pub(crate) fn capture(account: Uuid, hold_id: Uuid, amount: Option<i64>) -> CommandRequest {
    let amount = amount.map(|amount| Amount::new(amount).unwrap());
    request(
        account,
        Command::Capture(Capture {
            hold_id,
            amount,
            reference: None,
            metadata: Metadata::default(),
        }),
    )
}

fn release(account: Uuid, hold_id: Uuid) -> CommandRequest {
    request(account, Command::Release(Release { hold_id, reason: None }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_once_and_its_status_is_kept() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open_with(1, 100).await[0];
    let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
    let placed = accepted(here.send(hold(account, first, 60, None)).await);
    assert_eq!(
        (placed.account.balance, placed.account.held, placed.account.available),
        (100, 60, 40)
    );
    assert_eq!(
        refused(there.send(hold(account, second, 41, None)).await),
        Refusal::InsufficientFunds { available: 40, overdraft_limit: 0 }
    );
    accepted(there.send(hold(account, second, 40, None)).await);
    assert_eq!(
        refused(here.send(capture(account, first, Some(61))).await),
        Refusal::HoldExceeded { amount: 60 }
    );

    // Capture and release from two instances at once.
    let ends = join_all([
        here.send(capture(account, first, Some(50))),
        there.send(release(account, first)),
        there.send(capture(account, first, None)),
        here.send(release(account, first)),
    ]);
    let ends: Vec<Outcome> = ends.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ends.iter().filter(|end| matches!(end, Outcome::Accepted { .. })).count(), 1);
    let not_open = |end: &Outcome| {
        matches!(end, Outcome::Refused { refusal: Refusal::HoldNotOpen { .. }, .. })
    };
    assert_eq!(ends.iter().filter(|end| not_open(end)).count(), 3);

    let released = accepted(here.send(release(account, second)).await);
    assert_eq!(released.account.held, 0);
    for instance in [&here, &there] {
        let status = HoldStatus::Released;
        assert_eq!(
            refused(instance.send(capture(account, second, None)).await),
            Refusal::HoldNotOpen { status }
        );
        assert_eq!(
            refused(instance.send(hold(account, second, 1, None)).await),
            Refusal::HoldExists
        );
        assert_eq!(
            refused(instance.send(release(account, Uuid::new_v4())).await),
            Refusal::HoldNotFound
        );
    }
    log.assert_dense().await;
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_past_its_expiry_can_only_expire_once() {
    let log = Log::start().await;
    let now = log.instance();
    let account = now.open_with(1, 100).await[0];
    let hold_id = Uuid::new_v4();
    let expires_at = Timestamp::from_micros(Timestamp::now().as_micros() + HOUR).unwrap();
    accepted(now.send(hold(account, hold_id, 60, Some(expires_at))).await);
    let expire = || request(account, Command::Expire(Expire { hold_id }));
    assert!(accepted(now.send(expire()).await).events.is_empty(), "the hold expired early");
    now.end().await;

    // Instances for which the expiry has passed.
    let later = || {
        let clock = LogClock::new(PARTITIONS, expires_at);
        log.instance_at(clock, Duration::from_secs(10))
    };
    let (here, there) = (later(), later());
    let status = HoldStatus::Expired;
    for end in [capture(account, hold_id, None), release(account, hold_id)] {
        assert_eq!(refused(there.send(end).await), Refusal::HoldNotOpen { status });
    }
    let all = join_all([
        here.send(expire()),
        there.send(expire()),
        here.send(expire()),
        there.send(expire()),
    ])
    .await;
    let events: usize = all.into_iter().map(|answer| accepted(answer).events.len()).sum();
    assert_eq!(events, 1);
    assert_eq!(
        refused(there.send(release(account, hold_id)).await),
        Refusal::HoldNotOpen { status }
    );
    let next = accepted(here.send(hold(account, Uuid::new_v4(), 100, None)).await);
    assert_eq!(next.account.held, 100);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}
