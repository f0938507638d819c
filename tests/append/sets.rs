//! Commands that are done together or not at all, and many at once.

use command_service::domain::command::Reversal;
use command_service::domain::{Command, Refusal};
use command_service::outcome::{CommandError, CommandResult, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::event::AccountFrozen;
use passbook_shared::text::Metadata;
use uuid::Uuid;

use crate::ground::{
    Log, accepted, done, money, opening, refused, request, said, transfer, with_key,
};

fn again(requests: &[CommandRequest]) -> Vec<CommandRequest> {
    requests
        .iter()
        .map(|request| CommandRequest { command_id: Uuid::new_v4(), ..request.clone() })
        .collect()
}

#[track_caller]
fn same(first: &[CommandResult], second: &[CommandResult]) {
    let text = |results: &[CommandResult]| -> Vec<String> {
        results
            .iter()
            .map(|result| result.as_ref().map_or_else(|error| format!("{error:?}"), said))
            .collect()
    };
    assert_eq!(text(first), text(second));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_done_on_what_the_ones_before_left_and_a_repeat_changes_nothing() {
    let log = Log::start().await;
    let instance = log.instance();
    let rich = instance.open_with(1, 100).await[0];
    let new: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
    let mut set: Vec<CommandRequest> = Vec::new();
    for (n, account) in new.iter().enumerate() {
        set.push(with_key(request(*account, opening()), &format!("open-{n}")));
        set.push(with_key(transfer(rich, *account, 20), &format!("fund-{n}")));
    }
    set.push(request(rich, Command::Withdraw(money(1))));
    let too_much = instance.lanes.submit_together(set.clone(), true).await;
    assert_eq!(
        refused(too_much[10].clone()),
        Refusal::InsufficientFunds { available: 0, overdraft_limit: 0 }
    );
    assert!(
        too_much[..10]
            .iter()
            .all(|result| result.as_ref().unwrap_err() == &CommandError::SetAborted)
    );
    assert_eq!(log.events().await.len(), 2, "nothing of it was done");

    set.pop();
    let first = instance.lanes.submit_together(again(&set), true).await;
    assert!(first.iter().all(|result| !result.as_ref().unwrap().replayed));
    assert_eq!(done(first[9].clone()).own.account.balance, 0);
    assert_eq!(done(first[9].clone()).to.unwrap().account.balance, 20);
    let elsewhere = log.instance();
    for instance in [&instance, &elsewhere] {
        let second = instance.lanes.submit_together(again(&set), true).await;
        assert!(second.iter().all(|result| result.as_ref().unwrap().replayed));
        same(&first, &second);
    }
    assert_eq!(log.events().await.len(), 2 + 15);
    log.assert_dense().await;
    join_all([instance.end(), elsewhere.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_that_held_a_set_back_is_kept_under_its_key() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(3, 10).await;
    let set = [
        with_key(request(accounts[0], Command::Deposit(money(5))), "a"),
        with_key(request(accounts[1], Command::Withdraw(money(11))), "b"),
        with_key(request(accounts[2], Command::Deposit(money(5))), "c"),
    ];
    let first = instance.lanes.submit_together(again(&set), true).await;
    // Now it would be accepted; but it has its answer.
    accepted(instance.send(request(accounts[1], Command::Deposit(money(1)))).await);
    let second = instance.lanes.submit_together(again(&set), true).await;
    same(&first, &second);
    assert!(matches!(second[1].as_ref().unwrap().outcome, Outcome::Refused(_)));
    // The others of the set have none: alone, they are done.
    assert!(!instance.send(again(&set)[0].clone()).await.unwrap().replayed);
    assert_eq!(log.events().await.len(), 8);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_that_race_are_each_whole() {
    let log = Log::start().await;
    let instances = [log.instance(), log.instance()];
    let accounts = instances[0].open_with(8, 50).await;
    let sets = (0..40_usize).map(|n| {
        // Money goes round: every account gives 5 to the next, in an order of its own.
        let set =
            (0..8).map(|k| transfer(accounts[(n + k) % 8], accounts[(n + k + 1) % 8], 5)).collect();
        instances[n % 2].lanes.submit_together(set, true)
    });
    let mut whole = 0;
    for results in join_all(sets).await {
        let accepted = results.iter().filter(|result| result.is_ok()).count();
        assert!(accepted == 0 || accepted == 8, "{results:?}");
        whole += accepted / 8;
    }
    assert!(whole >= 20, "only {whole} were done");
    assert_eq!(log.events().await.len(), 16 + whole * 16);
    log.assert_dense().await;
    join_all(instances.map(crate::ground::Instance::end)).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_many_is_decided_on_each_others_effects_and_leaves_nothing() {
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
async fn many_at_once_are_each_done_or_refused_in_their_order() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(4, 3).await;
    let many = (0..400)
        .map(|n| with_key(request(accounts[n % 4], Command::Withdraw(money(1))), &n.to_string()));
    let many: Vec<CommandRequest> = many.collect();
    let first = instance.lanes.submit_each(again(&many)).await;
    let taken = first
        .iter()
        .filter(|result| matches!(result.as_ref().unwrap().outcome, Outcome::Accepted(_)))
        .count();
    assert_eq!(taken, 12, "as much as there was");
    assert!(
        first[..12]
            .iter()
            .all(|result| matches!(result.as_ref().unwrap().outcome, Outcome::Accepted(_)))
    );
    same(&first, &instance.lanes.submit_each(again(&many)).await);
    assert_eq!(log.events().await.len(), 8 + 12);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_with_the_id_of_another_transfer_in_it_is_not_done_at_all() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let done = transfer(accounts[0], accounts[1], 10);
    accepted(instance.send(done.clone()).await);
    let mut taken = again(std::slice::from_ref(&done)).remove(0);
    if let Command::Transfer(transfer) = &mut taken.command {
        transfer.amount = money(11).amount;
    }
    let deposit = request(accounts[0], Command::Deposit(money(50)));
    for set in [vec![taken.clone(), deposit.clone()], vec![deposit.clone(), taken]] {
        for dry_run in [false, true] {
            let mut set = again(&set);
            set.iter_mut().for_each(|request| request.dry_run = dry_run);
            let results = instance.lanes.submit_together(set, true).await;
            let held_back = results
                .iter()
                .filter(|result| matches!(result, Err(CommandError::SetAborted)))
                .count();
            assert_eq!(held_back, 1, "{results:?}");
            let refusals =
                results.into_iter().filter_map(|result| result.ok()).map(|answer| answer.outcome);
            assert!(
                refusals
                    .into_iter()
                    .all(|outcome| matches!(outcome, Outcome::Refused(Refusal::TransferExists)))
            );
        }
    }
    // With the same content it is that transfer, and the rest is done.
    let results = instance.lanes.submit_together(again(&[deposit, done]), true).await;
    assert_eq!(
        results.iter().map(|result| result.as_ref().unwrap().replayed).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(log.events().await.len(), 4 + 2 + 1);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_set_has_done_it_can_undo() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let reverse = |version| {
        let metadata = Metadata::default();
        request(
            accounts[0],
            Command::Reverse(Reversal {
                version,
                effective_at: None,
                reference: None,
                metadata,
                allow_backdated_overdraft: false,
            }),
        )
    };
    let mut set = vec![
        request(accounts[0], Command::Deposit(money(50))),
        reverse(3),
        transfer(accounts[0], accounts[1], 40),
        reverse(5),
    ];
    for dry_run in [true, false] {
        set.iter_mut().for_each(|request| request.dry_run = dry_run);
        let results = instance.lanes.submit_together(again(&set), true).await;
        let balances: Vec<i64> =
            results.into_iter().map(|result| accepted(result).account.balance).collect();
        assert_eq!(balances, [150, 100, 60, 100]);
    }
    assert_eq!(log.events().await.len(), 4 + 2 + 4);
    // And what came of it is undone with it.
    set.push(request(accounts[0], Command::Withdraw(money(101))));
    set[1] = reverse(7);
    set[2] = transfer(accounts[0], accounts[1], 40);
    set[3] = reverse(9);
    let results = instance.lanes.submit_together(again(&set), true).await;
    assert_eq!(
        refused(results[4].clone()),
        Refusal::InsufficientFunds { available: 100, overdraft_limit: 0 }
    );
    assert_eq!(
        accepted(instance.send(request(accounts[1], Command::Deposit(money(1)))).await)
            .account
            .balance,
        101
    );
    assert_eq!(log.events().await.len(), 4 + 2 + 4 + 1);
    log.assert_dense().await;
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_what_its_own_set_did_is_not_kept_under_its_key() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let accounts = here.open_with(2, 100).await;
    let freeze = || {
        request(accounts[0], Command::Freeze(AccountFrozen { reason: None, block_credits: false }))
    };
    let withdraw =
        |amount, key| with_key(request(accounts[0], Command::Withdraw(money(amount))), key);
    // Frozen by the set, spent by the set, and told of more money than there is without the set.
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
        // Also where the partitions are locked first: this instance does not know the accounts' versions.
        for instance in [&here, &there] {
            let results = instance.lanes.submit_together(again(set), true).await;
            assert_eq!(refused(results[1].clone()), *refusal);
            assert!(!results[1].as_ref().unwrap().replayed);
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
async fn a_failed_precondition_is_not_kept_and_is_no_part_of_the_request() {
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
    assert!(!first.replayed);
    // It is done: whatever version a repeat expects, it gets that answer.
    for expected in [None, Some(2), Some(3), Some(9)] {
        let repeat = there.send(withdraw(expected)).await.unwrap();
        assert_eq!((said(&repeat), repeat.replayed), (said(&first), true), "{expected:?}");
    }
    assert_eq!(log.events().await.len(), 3);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_kept_with_its_precondition_still_answers() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open_with(1, 100).await[0];
    let withdraw = CommandRequest {
        expected_versions: Some(vec![2]),
        ..with_key(request(account, Command::Withdraw(money(10))), "w")
    };
    let first = instance.send(withdraw.clone()).await.unwrap();
    // As the versions before this one kept it: the hash of `[{"withdraw":{"amount":10}},2]`.
    let kept =
        Uuid::new_v5(&Uuid::NAMESPACE_OID, br#"[{"withdraw":{"amount":10}},2]"#).as_u64_pair().0;
    sqlx::query("UPDATE passbook.commands SET fingerprint = $1 WHERE idempotency_key = 'w'")
        .bind(kept.cast_signed())
        .execute(&log.pool)
        .await
        .unwrap();
    let repeat = instance.send(again(&[withdraw]).remove(0)).await.unwrap();
    assert_eq!((said(&repeat), repeat.replayed), (said(&first), true));
    instance.end().await;
    log.end().await;
}

/// A repeated command is answered from the state after the command that was repeated before it, if that was an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_answered_as_it_was_whatever_the_order_it_is_repeated_in() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts: Vec<Uuid> = (0..6).map(|_| Uuid::new_v4()).collect();
    let mut import: Vec<CommandRequest> =
        accounts.iter().map(|account| request(*account, opening())).collect();
    for n in 0..210 {
        let (account, other) = (accounts[n % 6], accounts[(n + 1) % 6]);
        import.push(match n % 5 {
            // Nobody has so much.
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
    assert!(first.iter().all(|result| !result.as_ref().unwrap().replayed));
    let events = log.events().await;

    let elsewhere = log.instance();
    let count = import.len();
    let orders: [fn(usize, usize) -> usize; 4] =
        [|n, _| n, |n, count| count - 1 - n, |n, count| n * 17 % count, |n, _| n];
    for (instance, order) in [&instance, &elsewhere, &elsewhere, &instance].into_iter().zip(orders)
    {
        let order: Vec<usize> = (0..count).map(|n| order(n, count)).collect();
        for some in order.chunks(50) {
            let requests: Vec<CommandRequest> = some.iter().map(|n| import[*n].clone()).collect();
            let second = instance.lanes.submit_each(again(&requests)).await;
            assert!(second.iter().all(|result| result.as_ref().unwrap().replayed));
            same(&some.iter().map(|n| first[*n].clone()).collect::<Vec<_>>(), &second);
        }
    }
    assert_eq!(log.events().await, events);
    // New commands are decided on the newest state, not on the one that was repeated last.
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
