//! One element of a bulk request: the single-command body plus the fields that are otherwise in the
//! path and the headers.

use passbook_shared::access::Reach;
use passbook_shared::http::bounded::{BodyInt, LARGEST};
use passbook_shared::http::extract::Fields;
use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::Command;
use crate::http::capture::CaptureRequest;
use crate::http::command_headers::IdempotencyKey;
use crate::http::freeze::FreezeRequest;
use crate::http::hold::HoldRequest;
use crate::http::movement::{MovementRequest, WithdrawalRequest};
use crate::http::open_account::OpenAccountRequest;
use crate::http::overdraft_limit::OverdraftLimitRequest;
use crate::http::owner::OwnerRequest;
use crate::http::reason::ReasonRequest;
use crate::http::reverse::ReversalRequest;
use crate::http::transfer::TransferRequest;

/// Discriminator of a command, in its field `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CommandType {
    Open,
    Deposit,
    Withdraw,
    Transfer,
    Hold,
    Capture,
    Release,
    Reverse,
    SetOverdraftLimit,
    ChangeOwner,
    Freeze,
    Unfreeze,
    Close,
}

/// Parsed element.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) account_id: Uuid,
    pub(super) command: Command,
    pub(super) idempotency_key: Option<String>,
    pub(super) expected_version: Option<i64>,
}

/// Parses the fields of an element.
///
/// # Errors
/// 400 `malformed_request` that names the field.
pub(super) fn read(mut fields: Fields<'_>, now: Timestamp, reach: &Reach) -> Result<Read, Problem> {
    let command_type = fields.need("type")?;
    // Null counts as absent, as in the other optional fields.
    let key: Option<IdempotencyKey> = fields.take("idempotency_key")?.flatten();
    let expected: Option<BodyInt<0, LARGEST>> = fields.take("expected_version")?.flatten();
    let idempotency_key = key.map(|IdempotencyKey(key)| key);
    let (account_id, command) =
        command(command_type, fields, idempotency_key.as_deref(), (now, reach))?;
    Ok(Read { account_id, command, idempotency_key, expected_version: expected.map(BodyInt::get) })
}

fn command(
    command_type: CommandType,
    fields: Fields<'_>,
    key: Option<&str>,
    (now, reach): (Timestamp, &Reach),
) -> Result<(Uuid, Command), Problem> {
    match command_type {
        CommandType::Open => fields.rest::<OpenAccountRequest>()?.into_command(key, now, reach),
        CommandType::Transfer => fields.rest::<TransferRequest>()?.into_command(key, now),
        CommandType::Deposit => on_account(fields, |_, fields| {
            Ok(Command::Deposit(fields.rest::<MovementRequest>()?.into_movement(now)?))
        }),
        CommandType::Withdraw => on_account(fields, |_, fields| {
            Ok(Command::Withdraw(fields.rest::<WithdrawalRequest>()?.into_movement(now)?))
        }),
        CommandType::Hold => on_account(fields, |account_id, fields| {
            Ok(fields.rest::<HoldRequest>()?.into_command(account_id, key))
        }),
        CommandType::Capture => on_account(fields, |_, mut fields| {
            let hold_id = fields.need("hold_id")?;
            Ok(fields.rest::<CaptureRequest>()?.into_command(hold_id))
        }),
        CommandType::Release => on_account(fields, |_, mut fields| {
            let hold_id = fields.need("hold_id")?;
            Ok(fields.rest::<ReasonRequest>()?.into_release(hold_id))
        }),
        CommandType::Reverse => {
            on_account(fields, |_, fields| fields.rest::<ReversalRequest>()?.into_command(now))
        }
        CommandType::SetOverdraftLimit => on_account(fields, |_, fields| {
            Ok(fields.rest::<OverdraftLimitRequest>()?.into_command())
        }),
        CommandType::ChangeOwner => {
            on_account(fields, |_, fields| Ok(fields.rest::<OwnerRequest>()?.into_command()))
        }
        CommandType::Freeze => {
            on_account(fields, |_, fields| Ok(fields.rest::<FreezeRequest>()?.into_command()))
        }
        CommandType::Unfreeze => on_account(fields, |_, fields| {
            Ok(Command::Unfreeze(fields.rest::<ReasonRequest>()?.into()))
        }),
        CommandType::Close => on_account(fields, |_, fields| {
            Ok(Command::Close(fields.rest::<ReasonRequest>()?.into()))
        }),
    }
}

/// Parses a command whose single request has its account in the path.
fn on_account<'a>(
    mut fields: Fields<'a>,
    read: impl FnOnce(Uuid, Fields<'a>) -> Result<Command, Problem>,
) -> Result<(Uuid, Command), Problem> {
    let account_id = fields.need("account_id")?;
    Ok((account_id, read(account_id, fields)?))
}

/// Returns the operation that sends a command alone, and whose scopes it needs.
pub(super) fn operation_id(command: &Command) -> &'static str {
    match command {
        Command::Open(_) => "open_account",
        Command::Deposit(_) => "create_deposit",
        Command::Withdraw(_) => "create_withdrawal",
        Command::Transfer(_) => "create_transfer",
        Command::Hold(_) => "place_hold",
        Command::Capture(_) => "capture_hold",
        // Only the upkeep expires holds; no request does.
        Command::Release(_) | Command::Expire(_) => "release_hold",
        Command::Reverse(_) => "create_reversal",
        Command::SetOverdraftLimit(_) => "set_overdraft_limit",
        Command::ChangeOwner(_) => "change_owner",
        Command::Freeze(_) => "freeze_account",
        Command::Unfreeze(_) => "unfreeze_account",
        Command::Close(_) => "close_account",
    }
}
