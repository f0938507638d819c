//! Sets of which all commands take effect or none.

use command_service::domain::command::Reversal;
use command_service::domain::{Command, Refusal};
use command_service::outcome::{CommandError, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::text::Metadata;
use uuid::Uuid;

use super::{again, assert_same_outcomes};
use crate::log::Log;
use crate::requests::{
    accepted, money, opening, refused, request, transfer, transferred, with_key,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_command_sees_the_ones_before_it_and_a_repeat_changes_nothing() {
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
    assert_eq!(log.events().await.len(), 2, "the aborted set has left events");

    set.pop();
    let first = instance.lanes.submit_together(again(&set), true).await;
    assert!(first.iter().all(|result| !result.as_ref().unwrap().is_replay()));
    assert_eq!(transferred(first[9].clone()).map(|leg| leg.account.balance), [0, 20]);
    let elsewhere = log.instance();
    for instance in [&instance, &elsewhere] {
        let second = instance.lanes.submit_together(again(&set), true).await;
        assert!(second.iter().all(|result| result.as_ref().unwrap().is_replay()));
        assert_same_outcomes(&first, &second);
    }
    assert_eq!(log.events().await.len(), 2 + 15);
    log.assert_dense().await;
    join_all([instance.end(), elsewhere.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sets_are_each_whole_or_absent() {
    let log = Log::start().await;
    let instances = [log.instance(), log.instance()];
    let accounts = instances[0].open_with(8, 50).await;
    let sets = (0..40_usize).map(|n| {
        // Every account sends 5 to the next. Each set begins with another account.
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
    assert!(whole >= 20, "only {whole} sets were executed");
    assert_eq!(log.events().await.len(), 16 + whole * 16);
    log.assert_dense().await;
    join_all(instances.map(crate::instance::Instance::end)).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_reuses_the_id_of_another_transfer_is_aborted() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let done = transfer(accounts[0], accounts[1], 10);
    accepted(instance.send(done.clone()).await);
    let mut reused = again(std::slice::from_ref(&done)).remove(0);
    if let Command::Transfer(transfer) = &mut reused.command {
        transfer.amount = money(11).amount;
    }
    let deposit = request(accounts[0], Command::Deposit(money(50)));
    for set in [vec![reused.clone(), deposit.clone()], vec![deposit.clone(), reused]] {
        for dry_run in [false, true] {
            let mut set = again(&set);
            set.iter_mut().for_each(|request| request.dry_run = dry_run);
            let results = instance.lanes.submit_together(set, true).await;
            let aborted = results
                .iter()
                .filter(|result| matches!(result, Err(CommandError::SetAborted)))
                .count();
            assert_eq!(aborted, 1, "{results:?}");
            let is_refusal = |outcome| {
                matches!(outcome, Outcome::Refused { refusal: Refusal::TransferExists, .. })
            };
            assert!(results.into_iter().flatten().all(is_refusal));
        }
    }
    // With the same content it is a repeat of that transfer, and the rest is executed.
    let results = instance.lanes.submit_together(again(&[deposit, done]), true).await;
    assert_eq!(
        results.iter().map(|result| result.as_ref().unwrap().is_replay()).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(log.events().await.len(), 4 + 2 + 1);
    instance.end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_can_reverse_its_own_entries() {
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
    // A refused last command aborts the reversals, too.
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
