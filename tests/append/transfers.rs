//! Transfers and their reversals: both legs or none, through any lanes and instances.

mod repeats;

use std::collections::BTreeMap;

use crate::faults::cut;
use crate::log::Log;
use crate::requests::{accepted, money, refused, request, transfer, transferred, with_key};
use command_service::domain::command::Reversal;
use command_service::domain::{Command, Refusal};
use command_service::outcome::{CommandError, CommandResult, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::text::Metadata;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

/// Checks that each leg has its counterpart, and that no transfer is there twice. Returns the
/// balances.
async fn assert_both_legs(log: &Log) -> BTreeMap<Uuid, i64> {
    let alone: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM passbook.events AS a
          WHERE a.type IN ('MoneySent', 'MoneyReceived') AND 1 <> (
                SELECT count(*) FROM passbook.events AS b
                 WHERE b.account_id = (a.data ->> 'counterparty')::uuid AND b.type <> a.type
                   AND b.version = (a.data ->> 'counterparty_version')::bigint
                   AND (b.data ->> 'counterparty_version')::bigint = a.version
                   AND b.data ->> 'transfer_id' = a.data ->> 'transfer_id'
                   AND b.data ->> 'amount' = a.data ->> 'amount'
                   AND b.command_id = a.command_id)",
    )
    .fetch_one(&log.pool)
    .await
    .unwrap();
    assert_eq!(alone, 0, "legs without their counterparts");
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT data ->> 'transfer_id' FROM passbook.events
                                WHERE type = 'MoneySent'
                                GROUP BY 1 HAVING count(*) > 1) AS t",
    )
    .fetch_one(&log.pool)
    .await
    .unwrap();
    assert_eq!(twice, 0, "transfers that are there twice");
    sqlx::query_as::<_, (Uuid, i64)>(
        "SELECT account_id, sum(CASE WHEN type IN ('MoneySent', 'MoneyWithdrawn') THEN -1 ELSE 1 END
                                * coalesce((data ->> 'amount')::bigint, 0))::bigint
           FROM passbook.events GROUP BY account_id",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap()
    .into_iter()
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn opposing_transfers_over_lanes_and_instances_neither_deadlock_nor_lose_money() {
    let log = Log::start().await;
    let instances = [Arc::new(log.instance()), Arc::new(log.instance())];
    let accounts = instances[0].open_with(6, 1_000).await;
    for busy in [1, 2] {
        let writers = (0..32).map(|writer: usize| {
            let (instance, accounts) = (Arc::clone(&instances[writer % busy]), accounts.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                for turn in 0..20 {
                    let (from, to) =
                        (accounts[(writer + turn) % 6], accounts[(writer * 5 + turn * 7 + 1) % 6]);
                    match instance.send(transfer(from, to, 7)).await {
                        Ok(Outcome::Accepted { to: received, .. }) => {
                            assert_eq!(received.unwrap().account_id, to);
                            sent += 1;
                        }
                        Ok(Outcome::Refused { refusal: Refusal::SameAccount, .. }) => {
                            assert_eq!(from, to)
                        }
                        // Two instances compete for the same accounts.
                        Err(CommandError::Conflict) => assert_eq!(busy, 2),
                        other => panic!("{other:?}"),
                    }
                }
                sent
            })
        });
        let sent: usize = join_all(writers).await.into_iter().map(Result::unwrap).sum();
        assert!(sent > 300, "only {sent} transfers were accepted");
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(sqlx::query_scalar::<_, i64>(deadlocks).fetch_one(&log.pool).await.unwrap(), 0);
    let balances = assert_both_legs(&log).await;
    assert_eq!(balances.values().sum::<i64>(), 6_000);
    for (account, balance) in balances {
        let now = accepted(instances[0].send(request(account, Command::Deposit(money(1)))).await)
            .account
            .balance;
        assert_eq!(now, balance + 1, "the cached balance, and that of the log");
    }
    log.assert_dense().await;
    for instance in instances {
        Arc::into_inner(instance).unwrap().end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_over_broken_connections_are_there_once_with_both_legs() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts = instance.open_with(5, 10_000).await;
    let (cut, cutter) = cut(&log, 40);
    let writers = (0..16).map(|writer: usize| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for turn in 0..100 {
                let mut request =
                    transfer(accounts[(writer + turn) % 5], accounts[(writer + turn + 1) % 5], 3);
                if turn % 2 == 0 {
                    request = with_key(request, &format!("{writer}-{turn}"));
                }
                transferred(instance.send(request.clone()).await);
                acknowledged.push(request.command_id);
            }
            acknowledged
        })
    });
    let acknowledged: Vec<Uuid> =
        join_all(writers.collect::<Vec<_>>()).await.into_iter().flat_map(Result::unwrap).collect();
    cutter.abort();
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 3, "only {cut} connections were cut during appends");
    let mut legs: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (.., command, _) in log.events().await {
        *legs.entry(command).or_default() += 1;
    }
    assert!(
        acknowledged.iter().all(|command| legs.get(command) == Some(&2)),
        "an acknowledged transfer without two legs"
    );
    assert_eq!(assert_both_legs(&log).await.into_values().sum::<i64>(), 50_000);
    log.assert_dense().await;
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_reversed_once_on_both_accounts() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let accounts = here.open_with(2, 100).await;
    let reverse = |account, version| {
        request(
            account,
            Command::Reverse(Reversal {
                version,
                effective_at: None,
                reference: None,
                metadata: Metadata::default(),
                allow_backdated_overdraft: false,
            }),
        )
    };
    let legs = transferred(here.send(transfer(accounts[0], accounts[1], 30)).await);
    let [sent, received] = legs.map(|leg| leg.version);

    // From both accounts and both instances at once: one succeeds.
    let attempts = [
        here.send(reverse(accounts[0], sent)),
        there.send(reverse(accounts[1], received)),
        here.send(reverse(accounts[1], received)),
        there.send(reverse(accounts[0], sent)),
    ];
    let answers: Vec<Outcome> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    let refusals: Vec<&Refusal> = answers
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Refused { refusal, .. } => Some(refusal),
            Outcome::Accepted { .. } => None,
        })
        .collect();
    assert_eq!(refusals, [&Refusal::AlreadyReversed { reversed_by: 4 }; 3]);
    for account in accounts {
        let refused = refused(there.send(request(account, Command::Withdraw(money(101)))).await);
        assert_eq!(refused, Refusal::InsufficientFunds { available: 100, overdraft_limit: 0 });
        let reversed = here.send(reverse(account, 9)).await;
        assert_eq!(
            crate::requests::refused(reversed),
            Refusal::EntryNotFound { current_version: 4 }
        );
    }
    log.assert_dense().await;
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_set_that_uses_a_transfer_id_twice_is_refused_and_stops_no_lane() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let once = transfer(accounts[0], accounts[1], 10);
    let set = || {
        let command_id = Uuid::new_v4();
        vec![once.clone(), CommandRequest { command_id, ..once.clone() }]
    };
    let results = instance.lanes.submit_together(set(), true).await;
    assert!(matches!(results[0], Err(CommandError::SetAborted)), "{results:?}");
    let Ok(Outcome::Refused { refusal, .. }) = &results[1] else { panic!("{results:?}") };
    assert_eq!(*refusal, Refusal::TransferExists);
    // Once the transfer is there, both are it.
    accepted(instance.send(once.clone()).await);
    let results = instance.lanes.submit_together(set(), true).await;
    let is_replay = |result: &CommandResult| result.as_ref().is_ok_and(Outcome::is_replay);
    assert!(results.iter().all(is_replay), "{results:?}");
    assert_eq!(assert_both_legs(&log).await[&accounts[1]], 110);
    instance.end().await;
    log.end().await;
}
