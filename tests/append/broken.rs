//! Sets, holds, transfers and reversals while connections break. The log agrees with every answer
//! and with the rows kept with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use command_service::domain::Command;
use command_service::domain::command::{Release, Reversal};
use command_service::outcome::{CommandError, CommandResult, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::text::Metadata;
use uuid::Uuid;

use crate::faults::cut;
use crate::holds::{capture, hold};
use crate::instance::Instance;
use crate::log::Log;
use crate::requests::{money, request, transfer, with_key};

const WRITERS: usize = 16;
const TURNS: usize = 40;

/// Result of a command, and the set it was in.
struct Answered {
    command_id: Uuid,
    set: Option<Uuid>,
    result: CommandResult,
}

#[tokio::test(flavor = "multi_thread")]
async fn over_broken_connections_the_log_is_consistent_and_agrees_with_the_answers() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts = instance.open_with(6, 5_000).await;
    let before = log.events().await.len();
    let (cut, cutter) = cut(&log, 60);
    let writers = (0..WRITERS).map(|writer| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move { write(&instance, &accounts, writer).await })
    });
    let writers: Vec<_> = writers.collect();
    let answered: Vec<Answered> =
        join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    cutter.abort();
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 3, "only {cut} connections were cut during appends");
    assert_as_answered(&log, &answered, before).await;
    log.assert_dense().await;
    // Postgres publishes a session's statistics, the deadlocks among them, at its end.
    Arc::into_inner(instance).unwrap().end().await;
    for (rule, sql) in RULES {
        let breaches: i64 = sqlx::query_scalar(sql).fetch_one(&log.pool).await.unwrap();
        assert_eq!(breaches, 0, "{rule}");
    }
    log.end().await;
}

/// Sends commands of every kind, and returns their results.
async fn write(instance: &Instance, accounts: &[Uuid], writer: usize) -> Vec<Answered> {
    let mut answered = Vec::new();
    for turn in 0..TURNS {
        let [from, to, third] = [0, 1, 3].map(|n| accounts[(writer + turn + n) % accounts.len()]);
        let key = |request: CommandRequest, n: usize| match (writer + turn) % 2 {
            0 => with_key(request, &format!("{writer}-{turn}-{n}")),
            _ => request,
        };
        match turn % 4 {
            0 => {
                let set = [
                    transfer(from, to, 3),
                    transfer(to, third, 2),
                    request(third, Command::Withdraw(money(1))),
                ];
                let mut set: Vec<CommandRequest> =
                    set.into_iter().zip(0..).map(|(request, n)| key(request, n)).collect();
                // Every other set is refused.
                set.extend(
                    (turn % 8 == 0).then(|| request(from, Command::Withdraw(money(1_000_000)))),
                );
                let (name, commands) =
                    (Uuid::new_v4(), set.iter().map(|r| r.command_id).collect::<Vec<_>>());
                let results = instance.lanes.submit_together(set, true).await;
                let together = commands.into_iter().zip(results);
                answered.extend(together.map(|(command_id, result)| Answered {
                    command_id,
                    set: Some(name),
                    result,
                }));
            }
            1 => {
                let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
                let release =
                    request(from, Command::Release(Release { hold_id: second, reason: None }));
                let [place, place_other] =
                    [hold(from, first, 10, None), hold(from, second, 5, None)];
                for (n, request) in [place, place_other, capture(from, first, Some(4)), release]
                    .into_iter()
                    .enumerate()
                {
                    answered.push(send(instance, key(request, n)).await);
                }
            }
            2 => {
                let sent = send(instance, key(transfer(from, to, 7), 0)).await;
                let legs = sent.result.clone().ok().and_then(|outcome| match outcome {
                    Outcome::Accepted { own, to: received, .. } => {
                        Some([(from, own.version), (to, received.unwrap().version)])
                    }
                    Outcome::Refused { .. } => None,
                });
                answered.push(sent);
                // Reverses from both accounts: one succeeds, the other is refused.
                let undone = legs.into_iter().flatten().zip(1..).map(|((account, version), n)| {
                    let reversal = Reversal {
                        version,
                        effective_at: None,
                        reference: None,
                        metadata: Metadata::default(),
                        allow_backdated_overdraft: false,
                    };
                    send(instance, key(request(account, Command::Reverse(reversal)), n))
                });
                answered.extend(join_all(undone).await);
            }
            _ => answered
                .push(send(instance, key(request(from, Command::Deposit(money(1))), 0)).await),
        }
    }
    answered
}

async fn send(instance: &Instance, request: CommandRequest) -> Answered {
    Answered { command_id: request.command_id, set: None, result: instance.send(request).await }
}

/// Checks that accepted commands are in the log once, others are not, and sets are whole or absent.
async fn assert_as_answered(log: &Log, answered: &[Answered], before: usize) {
    let mut in_log: BTreeMap<Uuid, usize> = BTreeMap::new();
    for (.., command, _) in log.events().await {
        *in_log.entry(command).or_default() += 1;
    }
    let (mut sets, mut events, mut done) = (BTreeMap::<Uuid, (usize, usize)>::new(), 0, 0);
    for Answered { command_id, set, result } in answered {
        let there = in_log.get(command_id).copied().unwrap_or_default();
        events += there;
        match result {
            Ok(Outcome::Accepted { own, to, .. }) => {
                assert!(
                    own.events.iter().all(|event| event.metadata.command_id == *command_id),
                    "an event of another command"
                );
                let two = to.is_some()
                    || own.events.iter().any(|event| event.event_type == "EntryReversed");
                assert_eq!(there, if two { 2 } else { 1 }, "{result:?}");
                done += 1;
            }
            Ok(Outcome::Refused { .. }) | Err(CommandError::SetAborted) => {
                assert_eq!(there, 0, "{result:?}")
            }
            Err(error) => panic!("{error}"),
        }
        if let Some(set) = set {
            let (of, absent) = sets.entry(*set).or_default();
            (*of, *absent) = (*of + 1, *absent + usize::from(there == 0));
        }
    }
    assert!(
        sets.values().all(|(of, absent)| *absent == 0 || absent == of),
        "a set is there in part"
    );
    assert_eq!(in_log.values().sum::<usize>(), before + events, "events in the log");
    assert!(done > WRITERS * TURNS / 2, "only {done} were accepted");
}

/// Queries that count violations of a rule.
const RULES: [(&str, &str); 5] = [
    (
        "legs of transfers or reversals without their counterparts",
        "SELECT count(*) FROM (
            SELECT e.*, coalesce(e.data -> 'transfer', e.data) AS leg FROM passbook.events AS e
             WHERE e.type IN ('MoneySent', 'MoneyReceived')
                OR e.data -> 'transfer' IS NOT NULL) AS a
          WHERE 1 <> (
                SELECT count(*) FROM (
                    SELECT e.*, coalesce(e.data -> 'transfer', e.data) AS leg
                      FROM passbook.events AS e) AS b
                 WHERE b.account_id = (a.leg ->> 'counterparty')::uuid
                   AND b.version = (a.leg ->> 'counterparty_version')::bigint
                   AND (b.leg ->> 'counterparty')::uuid = a.account_id
                   AND (b.leg ->> 'counterparty_version')::bigint = a.version
                   AND b.leg ->> 'transfer_id' = a.leg ->> 'transfer_id'
                   AND b.data ->> 'amount' = a.data ->> 'amount'
                   AND (a.type, b.type) IN (('MoneySent', 'MoneyReceived'),
                                            ('MoneyReceived', 'MoneySent'),
                                            ('EntryReversed', 'EntryReversed'))
                   AND b.command_id = a.command_id AND b.recorded_at = a.recorded_at)",
    ),
    (
        "holds that contradict the events",
        "SELECT count(*) FROM (
            SELECT placed.partition, placed.account_id, placed.data ->> 'hold_id' AS hold_id,
                   (placed.data ->> 'expires_at')::timestamptz AS expires_at,
                   CASE ended.type WHEN 'HoldCaptured' THEN 'captured'
                                   WHEN 'HoldReleased' THEN 'released'
                                   WHEN 'HoldExpired' THEN 'expired' END AS ended
              FROM passbook.events AS placed
              LEFT JOIN passbook.events AS ended ON ended.account_id = placed.account_id
                   AND ended.data ->> 'hold_id' = placed.data ->> 'hold_id'
                   AND ended.type IN ('HoldCaptured', 'HoldReleased', 'HoldExpired')
             WHERE placed.type = 'HoldPlaced') AS e
          FULL JOIN passbook.holds AS h ON h.partition = e.partition AND h.account_id = e.account_id
               AND h.hold_id::text = e.hold_id
         WHERE h.hold_id IS NULL OR e.hold_id IS NULL
            OR (h.expires_at, h.ended) IS DISTINCT FROM (e.expires_at, e.ended)",
    ),
    (
        "transfers that contradict the events",
        "SELECT count(*) FROM (SELECT data ->> 'transfer_id' AS transfer_id, account_id, version
                                 FROM passbook.events WHERE type = 'MoneySent') AS e
           FULL JOIN passbook.transfers AS t ON t.transfer_id::text = e.transfer_id
          WHERE (t.account_id, t.version) IS DISTINCT FROM (e.account_id, e.version)",
    ),
    (
        "reversals that contradict the events",
        "SELECT count(*) FROM (SELECT partition, account_id,
                                      (data ->> 'version')::bigint AS version,
                                      version AS reversed_by
                                 FROM passbook.events WHERE type = 'EntryReversed') AS e
           FULL JOIN passbook.reversals AS r
                ON r.partition = e.partition AND r.account_id = e.account_id
                   AND r.version = e.version
          WHERE r.reversed_by IS DISTINCT FROM e.reversed_by",
    ),
    ("deadlocks", "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"),
];
