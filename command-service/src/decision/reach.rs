//! Accounts out of a sender's reach: a command on one is decided as if it were missing, so that its
//! sender learns nothing of it.

use passbook_shared::event::AccountEvent;

use super::context::DecisionContext;
use super::working::Working;
use crate::domain::{Account, Command, Past, Refusal, Subject};
use crate::log::prepared_command::PreparedCommand;
use crate::request::CommandRequest;

static UNOPENED: Account = Account::Unopened;

impl CommandRequest {
    /// Returns true if an account is open or closed, and out of the sender's reach.
    pub(crate) fn cannot_reach(&self, account: &Account) -> bool {
        account.holder().is_some_and(|(tenant, owner)| !self.reach.includes(tenant, owner))
    }
}

impl DecisionContext {
    /// Returns true if a command's own account is known to be out of its sender's reach.
    pub(crate) fn is_out_of_reach(&self, command: &PreparedCommand) -> bool {
        let request = &command.request;
        self.state(request.account_id).is_some_and(|loaded| request.cannot_reach(&loaded.account))
    }
}

impl Working<'_> {
    /// Returns true if a refusal depends on nothing that the sender may know. It is not kept: a
    /// sender must not use up a key of an account that is not, or not yet, in its reach. A foreign
    /// account takes the time of a missing one, too.
    pub(super) fn hides(&self, command: &PreparedCommand, refusal: &Refusal) -> bool {
        let request = &command.request;
        let is_foreign = || {
            let own = self.subject(request.account_id);
            own.is_ok_and(|own| request.cannot_reach(own.account))
        };
        !request.reach.is_everything() && (*refusal == Refusal::AccountNotFound || is_foreign())
    }
}

/// Returns an account out of reach as the sender of a command on it may know it.
///
/// # Errors
/// The command opens the account, which exists.
pub(super) fn out_of_reach<'a>(
    command: &Command,
    own: Subject<'a>,
) -> Result<Subject<'a>, Refusal> {
    match command {
        Command::Open(_) => Err(Refusal::AccountExists),
        _ => Ok(missing(own)),
    }
}

/// Returns the counterparty as an account of `own`'s tenant may know it.
pub(super) fn in_tenant<'a>(own: &Subject<'_>, counterparty: Subject<'a>) -> Subject<'a> {
    if counterparty.account.tenant() == own.account.tenant() {
        counterparty
    } else {
        missing(counterparty)
    }
}

/// Returns the counterparty as the sender of a command may debit it: the reversal of money that was
/// sent takes it back from the receiver.
pub(super) fn debitable<'a>(
    request: &CommandRequest,
    past: &Past,
    counterparty: Subject<'a>,
) -> Subject<'a> {
    let takes_back = matches!(request.command, Command::Reverse(_))
        && matches!(past.entry.as_deref(), Some(AccountEvent::MoneySent(_)));
    if takes_back && request.cannot_reach(counterparty.account) {
        missing(counterparty)
    } else {
        counterparty
    }
}

fn missing(subject: Subject<'_>) -> Subject<'_> {
    Subject { account_id: subject.account_id, version: 0, account: &UNOPENED }
}
