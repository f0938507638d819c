//! Requests, and what their results contain.

use command_service::domain::command::Transfer;
use command_service::domain::{Command, Refusal};
use command_service::outcome::{AccountChange, CommandResult, Outcome};
use command_service::request::CommandRequest;
use passbook_shared::access::Reach;
use passbook_shared::event::{AccountOpened, MoneyMoved};
use passbook_shared::money::Amount;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::text::{Metadata, Owner};
use uuid::Uuid;

pub(crate) fn opening() -> Command {
    Command::Open(AccountOpened {
        owner: Owner::new("somebody").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit: 0,
        overdraft_limit: 0,
        effective_at: None,
        metadata: Metadata::default(),
        tenant: None,
    })
}

pub(crate) fn money(amount: i64) -> MoneyMoved {
    let amount = Amount::new(amount).unwrap();
    let metadata = Metadata::default();
    MoneyMoved {
        amount,
        reference: None,
        effective_at: None,
        metadata,
        allow_backdated_overdraft: false,
    }
}

/// Returns a transfer from the first account to the second.
pub(crate) fn transfer(from: Uuid, to: Uuid, amount: i64) -> CommandRequest {
    let MoneyMoved { amount, reference, effective_at, metadata, allow_backdated_overdraft } =
        money(amount);
    let transfer_id = Uuid::new_v4();
    let transfer = Transfer {
        transfer_id,
        to,
        amount,
        reference,
        effective_at,
        metadata,
        allow_backdated_overdraft,
    };
    request(from, Command::Transfer(transfer))
}

pub(crate) fn request(account_id: Uuid, command: Command) -> CommandRequest {
    let context = CommandContext::default();
    CommandRequest {
        account_id,
        command,
        reach: Reach::default(),
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::new_v4(),
        context,
    }
}

pub(crate) fn with_key(mut request: CommandRequest, key: &str) -> CommandRequest {
    request.context.idempotency_key = Some(key.to_owned());
    request
}

/// Returns the change of the command's own account.
#[track_caller]
pub(crate) fn accepted(answer: CommandResult) -> AccountChange {
    match answer.unwrap() {
        Outcome::Accepted { own, .. } => own,
        Outcome::Refused { refusal, .. } => panic!("refused: {refusal:?}"),
    }
}

/// Returns the changes of both accounts of a transfer.
#[track_caller]
pub(crate) fn transferred(answer: CommandResult) -> [AccountChange; 2] {
    match answer.unwrap() {
        Outcome::Accepted { own, to, .. } => [own, to.unwrap()],
        Outcome::Refused { refusal, .. } => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(answer: CommandResult) -> Refusal {
    match answer.unwrap() {
        Outcome::Refused { refusal, .. } => refusal,
        accepted @ Outcome::Accepted { .. } => panic!("{accepted:?}"),
    }
}

/// Returns an outcome as text, the same for a replay.
pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { own, to, .. } => format!("{own:?} {to:?}"),
        Outcome::Refused { refusal, .. } => format!("{refusal:?}"),
    }
}
