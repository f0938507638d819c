//! Many commands in one request, each with an outcome of its own.

use command_service::domain::{Command, Refusal};
use command_service::outcome::Outcome;
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use uuid::Uuid;

use super::{again, assert_same_outcomes};
use crate::log::Log;
use crate::requests::{accepted, money, opening, refused, request, transfer, with_key};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_several_sees_earlier_effects_and_appends_nothing() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = Uuid::new_v4();
    let mut set = vec![
        request(account, opening()),
        request(account, Command::Deposit(money(7))),
        request(account, Command::Withdraw(money(8))),
        request(account, Command::Withdraw(money(7))),
    ];
    set.iter_mut().for_each(|request| request.dry_run = true);
    let results = instance.lanes.submit_together(set, false).await;
    assert_eq!(
        refused(results[2].clone()),
        Refusal::InsufficientFunds { available: 7, overdraft_limit: 0 }
    );
    let last = accepted(results[3].clone());
    assert_eq!((last.version, last.account.balance, last.events.len()), (3, 0, 1));
    assert_eq!(log.events().await.len(), 0);
    assert_eq!(accepted(instance.send(request(account, opening())).await).version, 1);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_accepted_or_refused_one_by_one_in_their_order() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(4, 3).await;
    let many = (0..400)
        .map(|n| with_key(request(accounts[n % 4], Command::Withdraw(money(1))), &n.to_string()));
    let many: Vec<CommandRequest> = many.collect();
    let first = instance.lanes.submit_each(again(&many)).await;
    let taken = first
        .iter()
        .filter(|result| matches!(result.as_ref().unwrap(), Outcome::Accepted { .. }))
        .count();
    assert_eq!(taken, 12, "withdrawals of 1 from 12");
    assert!(
        first[..12]
            .iter()
            .all(|result| matches!(result.as_ref().unwrap(), Outcome::Accepted { .. }))
    );
    assert_same_outcomes(&first, &instance.lanes.submit_each(again(&many)).await);
    assert_eq!(log.events().await.len(), 8 + 12);
    instance.end().await;
    log.end().await;
}

/// Repeats an import in other orders. A repeat is answered from the state after the previous
/// repeat, if that is earlier.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_has_the_same_outcomes_in_every_order_of_repeats() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts: Vec<Uuid> = (0..6).map(|_| Uuid::new_v4()).collect();
    let mut import: Vec<CommandRequest> =
        accounts.iter().map(|account| request(*account, opening())).collect();
    for n in 0..210 {
        let (account, other) = (accounts[n % 6], accounts[(n + 1) % 6]);
        import.push(match n % 5 {
            // No account has this much.
            3 => request(account, Command::Withdraw(money(1_000_000))),
            4 => transfer(account, other, 1),
            _ => request(account, Command::Deposit(money(i64::try_from(n).unwrap() + 10))),
        });
    }
    let import: Vec<CommandRequest> = import
        .into_iter()
        .enumerate()
        .map(|(n, request)| with_key(request, &format!("{n}")))
        .collect();
    let first = instance.lanes.submit_each(again(&import)).await;
    assert!(first.iter().all(|result| !result.as_ref().unwrap().is_replay()));
    let events = log.events().await;

    let elsewhere = log.instance();
    let count = import.len();
    let orders: [fn(usize, usize) -> usize; 4] =
        [|n, _| n, |n, count| count - 1 - n, |n, count| n * 17 % count, |n, _| n];
    for (instance, order) in [&instance, &elsewhere, &elsewhere, &instance].into_iter().zip(orders)
    {
        let order: Vec<usize> = (0..count).map(|n| order(n, count)).collect();
        for chunk in order.chunks(50) {
            let requests: Vec<CommandRequest> = chunk.iter().map(|n| import[*n].clone()).collect();
            let second = instance.lanes.submit_each(again(&requests)).await;
            assert!(second.iter().all(|result| result.as_ref().unwrap().is_replay()));
            assert_same_outcomes(
                &chunk.iter().map(|n| first[*n].clone()).collect::<Vec<_>>(),
                &second,
            );
        }
    }
    assert_eq!(log.events().await, events);
    // A new command is decided on the newest state, not on that of the last repeat.
    let newest = accepted(first[count - 1].clone());
    assert_eq!(newest.account_id, accounts[209 % 6]);
    let next =
        accepted(instance.send(request(newest.account_id, Command::Deposit(money(1)))).await);
    assert_eq!(
        (next.version, next.account.balance),
        (newest.version + 1, newest.account.balance + 1)
    );
    join_all([instance.end(), elsewhere.end()]).await;
    log.end().await;
}
