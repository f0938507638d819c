//! Background maintenance: hold expiry and idempotency-key retention.

use std::time::Duration;

use command_service::domain::{Command, Refusal};
use command_service::upkeep::Upkeep;
use futures_util::future::join_all;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::holds::{capture, hold};
use crate::instance::Instance;
use crate::log::Log;
use crate::requests::{accepted, money, refused, request, with_key};

/// Class of the advisory lock that the working upkeep holds, as in `command_service::upkeep`.
const LOCK_CLASS: i32 = 0x7061_7373 + 1;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn keep_up(
    log: &Log,
    instance: &Instance,
    shutdown: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let upkeep = Upkeep { connect: log.service(), lanes: instance.lanes.clone(), keep_keys: WEEK };
    let shutdown = shutdown.clone();
    tokio::spawn(async move { upkeep.run(shutdown).await.unwrap() })
}

/// Waits until a query returns `wanted`.
async fn until(sql: &'static str, log: &Log, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&log.pool).await.unwrap();
        if count == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{count}, not {wanted}: {sql}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_expire_once_at_their_time_with_two_instances() {
    let log = Log::start().await;
    let instances = [log.instance(), log.instance()];
    let accounts = instances[0].open_with(20, 300).await;
    let soon = |millis: i64| {
        Timestamp::from_micros(Timestamp::now().as_micros() + millis * 1_000).unwrap()
    };
    let mut held = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        // The first hold expires before the upkeep starts, the second later, the third never.
        for expires_at in [Some(soon(500)), Some(soon(4_000)), None] {
            held.push((*account, Uuid::new_v4()));
            accepted(
                instances[n % 2]
                    .send(hold(*account, held.last().unwrap().1, 100, expires_at))
                    .await,
            );
        }
    }
    let shutdown = CancellationToken::new();
    let upkeep = [keep_up(&log, &instances[0], &shutdown), keep_up(&log, &instances[1], &shutdown)];
    let expired = "SELECT count(*) FROM passbook.events WHERE type = 'HoldExpired'";
    until(expired, &log, 40).await;
    let early: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM passbook.events
          WHERE type = 'HoldExpired'
            AND recorded_at NOT BETWEEN (data ->> 'expires_at')::timestamptz
                                    AND (data ->> 'expires_at')::timestamptz + interval '10 s'",
    )
    .fetch_one(&log.pool)
    .await
    .unwrap();
    assert_eq!(early, 0, "holds that expired early, or over 10 s late");
    // The other instance takes over the work, and finds nothing more to do.
    let end_the_worker = "SELECT pg_terminate_backend(pid) FROM pg_locks
                           WHERE locktype = 'advisory' AND classid = $1
                             AND database = (SELECT oid FROM pg_database
                                              WHERE datname = current_database())";
    sqlx::query(end_the_worker).bind(LOCK_CLASS).execute(&log.service_pool()).await.unwrap();
    let late = hold(accounts[0], Uuid::new_v4(), 200, Some(soon(500)));
    accepted(instances[0].send(late).await);
    until(expired, &log, 41).await;
    for (account, third) in held.iter().skip(2).step_by(3) {
        let captured = accepted(instances[1].send(capture(*account, *third, None)).await);
        assert_eq!((captured.account.balance, captured.account.held), (200, 0));
    }
    log.assert_dense().await;
    shutdown.cancel();
    join_all(upkeep).await;
    join_all(instances.map(Instance::end)).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_deleted_after_a_week() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposits = (0..1_000)
        .map(|n| with_key(request(account, Command::Deposit(money(1))), &format!("key-{n}")));
    instance
        .lanes
        .submit_each(deposits.collect())
        .await
        .into_iter()
        .for_each(|answer| drop(accepted(answer)));
    let too_much = || with_key(request(account, Command::Withdraw(money(5_000))), "too much");
    refused(instance.send(too_much()).await);
    sqlx::query(
        "UPDATE passbook.commands SET recorded_at = clock_timestamp() - interval '7 days'
                + CASE WHEN idempotency_key < 'key-5' THEN interval '-1 s'
                       ELSE interval '1 hour' END",
    )
    .execute(&log.pool)
    .await
    .unwrap();
    let shutdown = CancellationToken::new();
    let upkeep = keep_up(&log, &instance, &shutdown);
    let kept: usize = (0..1_000).filter(|n| format!("key-{n}").as_str() >= "key-5").count() + 1;
    until("SELECT count(*) FROM passbook.commands", &log, i64::try_from(kept).unwrap()).await;
    // A kept key replays, refusals included. A deleted key is a new request.
    accepted(instance.send(request(account, Command::Deposit(money(9_000)))).await);
    assert!(matches!(
        refused(instance.send(too_much()).await),
        Refusal::InsufficientFunds { available: 1_000, .. }
    ));
    let repeat =
        |key: &str| instance.send(with_key(request(account, Command::Deposit(money(1))), key));
    assert!(repeat("key-777").await.unwrap().is_replay());
    assert!(!repeat("key-111").await.unwrap().is_replay());
    shutdown.cancel();
    upkeep.await.unwrap();
    instance.end().await;
    log.end().await;
}
