//! Readable descriptions of requests and observations.

use std::collections::BTreeSet;

use command_service::domain::{Command, Refusal};
use command_service::request::CommandRequest;
use uuid::Uuid;

use super::observed::Observed;

/// Returns the accounts of a request.
pub(super) fn touched(request: &CommandRequest) -> impl Iterator<Item = Uuid> {
    let to =
        if let Command::Transfer(transfer) = &request.command { Some(transfer.to) } else { None };
    std::iter::once(request.account_id).chain(to)
}

/// Replaces account ids by short names, in the order of their first requests.
pub(super) fn readable(story: String, accounts: &[Uuid]) -> String {
    let mut seen = BTreeSet::new();
    let named = accounts.iter().filter(|account| seen.insert(**account)).enumerate();
    named.fold(story, |story, (n, account)| story.replace(&account.to_string(), &format!("a{n}")))
}

/// Returns the kind of an observation, without ids and numbers.
pub(super) fn gist(observed: &Observed) -> String {
    let again = |replayed: bool| if replayed { " again" } else { "" };
    match observed {
        Observed::Done { replayed, .. } => format!("done{}", again(*replayed)),
        Observed::Refused { replayed, refusal: Refusal::TransferExists } => {
            format!("TransferExists{}", again(*replayed))
        }
        Observed::Refused { replayed, refusal: Refusal::HoldExists } => {
            format!("HoldExists{}", again(*replayed))
        }
        Observed::Refused { replayed, .. } => format!("refused{}", again(*replayed)),
        Observed::Error(error) => format!("{error:?}"),
    }
}

/// Describes a request.
pub(super) fn written(request: &CommandRequest) -> String {
    let CommandRequest { account_id, command, expected_versions, context, .. } = request;
    let key = context.idempotency_key.as_deref().unwrap_or("none");
    format!("{account_id} key {key} expects {expected_versions:?}: {command:?}")
}
