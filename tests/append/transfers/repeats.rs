//! Repeated transfers, by key and by transfer id.

use command_service::domain::{Command, Refusal};
use command_service::outcome::{CommandError, Outcome};
use command_service::request::CommandRequest;
use futures_util::future::join_all;
use passbook_shared::event::AccountFrozen;
use uuid::Uuid;

use super::assert_both_legs;
use crate::log::Log;
use crate::requests::{
    accepted, money, outcome, refused, request, transfer, transferred, with_key,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_has_one_effect_by_its_key_and_by_its_id() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let one = with_key(transfer(accounts[0], accounts[1], 30), "rent");
    let again =
        |request: &CommandRequest| CommandRequest { command_id: Uuid::new_v4(), ..request.clone() };
    let mut unkeyed = again(&one);
    unkeyed.context.idempotency_key = None;

    let answers =
        join_all((0..30).map(|n| instance.send(again(if n % 2 == 0 { &one } else { &unkeyed }))))
            .await;
    let answers: Vec<Outcome> = answers.into_iter().map(Result::unwrap).collect();
    assert!(
        answers.iter().all(|answer| outcome(answer) == outcome(&answers[0])),
        "the answers differ"
    );
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    let [sent, received] = transferred(Ok(answers[0].clone()));
    assert_eq!((sent.account.balance, received.account.balance), (70, 130));

    // Another instance replays it from the log. Other content under the same id is refused.
    let elsewhere = log.instance();
    assert_eq!(outcome(&elsewhere.send(again(&unkeyed)).await.unwrap()), outcome(&answers[0]));
    let mut other = again(&unkeyed);
    if let Command::Transfer(transfer) = &mut other.command {
        transfer.amount = money(31).amount;
    }
    assert_eq!(refused(elsewhere.send(other.clone()).await), Refusal::TransferExists);
    other.account_id = accounts[1];
    if let Command::Transfer(transfer) = &mut other.command {
        transfer.to = accounts[0];
    }
    assert_eq!(refused(elsewhere.send(other).await), Refusal::TransferExists);
    assert_eq!(assert_both_legs(&log).await.into_values().sum::<i64>(), 200);
    join_all([instance.end(), elsewhere.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_replayed_whatever_the_state_of_its_accounts() {
    let log = Log::start().await;
    let instance = log.instance();
    let accounts = instance.open_with(2, 100).await;
    let all = transfer(accounts[0], accounts[1], 100);
    let first = instance.send(all.clone()).await.unwrap();
    let again = |key: Option<&str>| {
        let mut request = CommandRequest { command_id: Uuid::new_v4(), ..all.clone() };
        request.context.idempotency_key = key.map(str::to_owned);
        request
    };
    // First nothing is left to send, then each account is frozen.
    let freeze = AccountFrozen { reason: None, block_credits: true };
    for frozen in [None, Some(accounts[0]), Some(accounts[1])] {
        if let Some(account) = frozen {
            accepted(instance.send(request(account, Command::Freeze(freeze.clone()))).await);
        }
        for key in [None, Some("one"), Some("other"), Some("one")] {
            let answer = instance.send(again(key)).await.unwrap();
            assert_eq!(
                (outcome(&answer), answer.is_replay()),
                (outcome(&first), true),
                "frozen {frozen:?}, key {key:?}"
            );
        }
        let mut trial = again(None);
        trial.dry_run = true;
        assert_eq!(outcome(&instance.send(trial).await.unwrap()), outcome(&first));
    }
    // The keys of the repeats belong to the transfer.
    let reused = with_key(request(accounts[0], Command::Deposit(money(1))), "other");
    assert_eq!(instance.send(reused).await.unwrap_err(), CommandError::KeyReused);
    assert_eq!(log.events().await.len(), 4 + 2 + 2);
    instance.end().await;
    log.end().await;
}
