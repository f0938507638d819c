//! The decision on one command. Pure: the times and the ids come with the context.

use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use super::Defect;
use super::change::{Change, ChangeEvents};
use super::reach::{debitable, in_tenant, out_of_reach};
use super::working::Working;
use crate::domain::backdated_debit;
use crate::domain::{self, Command, Decided, Given, Refusal, Subject, decide};
use crate::log::prepared_command::PreparedCommand;
use crate::outcome::CommandError;

/// The decision on a command.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all commands are accepted")]
pub(crate) enum Decision {
    Accepted { own: Change, to: Option<Change> },
    Refused(Refusal),
    Error(CommandError),
}

impl Decision {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }
}

impl Working<'_> {
    /// Decides a command. Fails on a defect.
    pub(crate) fn decide(&mut self, command: &PreparedCommand) -> Result<Decision, Defect> {
        let now = self.now(command);
        let decision = match self.evaluate(command, now) {
            Ok(Ok((decided, other))) => self.accept(command, &decided, other)?,
            Ok(Err(refusal)) => Decision::Refused(refusal),
            Err(error) => Decision::Error(error),
        };
        let caused = match &decision {
            Decision::Accepted {
                own: Change { events: ChangeEvents::InBatch(range), .. }, ..
            } => range.len(),
            Decision::Accepted { .. } | Decision::Refused(_) | Decision::Error(_) => 0,
        };
        // Only an event's version checks the state that its command was decided on.
        if caused == 0 {
            self.assert_versions(command);
        }
        match &decision {
            Decision::Accepted { .. } => self.keep_key(command, caused, None),
            Decision::Refused(refusal) => self.keep_refusal(command, refusal),
            Decision::Error(_) => {}
        }
        Ok(decision)
    }

    /// Returns the decision of the domain, and the second account that it touches.
    pub(crate) fn evaluate(
        &self,
        command: &PreparedCommand,
        now: Timestamp,
    ) -> Result<Result<(Decided, Option<Uuid>), Refusal>, CommandError> {
        let (account_id, request) = (command.request.account_id, &command.request);
        let own = self.subject(account_id)?;
        let is_out_of_reach = request.cannot_reach(own.account);
        let seen = if is_out_of_reach { out_of_reach(&request.command, own) } else { Ok(own) };
        let own = match seen {
            Ok(own) => own,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if command.is_unreadable {
            return Err(CommandError::Internal);
        }
        if let Some(refusal) = self.precondition(command, own, now) {
            return Ok(Err(refusal));
        }
        let mut past = self.past(command);
        let mut other = command.counterparty.map(|(account_id, _)| account_id);
        if let Some((_, _, version)) = command.entry()
            && past.entry.is_none()
            && version <= own.version
        {
            // The entry was made since the command was prepared: by this batch, or by another one.
            let entry = self.entry(account_id, version).ok_or(CommandError::Conflict)?;
            past.entry = Some(Box::new(entry));
            other = domain::counterparty(&request.command, &past);
        }
        let counterparty = other.map(|account_id| self.subject(account_id)).transpose()?;
        let counterparty =
            counterparty.map(|other| debitable(request, &past, in_tenant(&own, other)));
        if !is_out_of_reach
            && let Some((debited, at)) = backdated_debit(account_id, &request.command, &past)
        {
            let timeline = self.timeline(debited).filter(|timeline| timeline.from() <= at);
            // The preparation has read no timeline that reaches back to the debit's time.
            past.timeline = Some(Box::new(timeline.ok_or(CommandError::Conflict)?.clone()));
        }
        let decided = decide(own, &request.command, Given { counterparty, past: &past, now });
        Ok(decided.map(|decided| (decided, other)))
    }

    /// Returns about the time at which the command's events would be recorded, or an earlier one.
    pub(crate) fn now(&self, command: &PreparedCommand) -> Timestamp {
        let times =
            command.accounts().filter_map(|(_, partition)| self.context.times.get(&partition));
        // All events of an append are recorded at the latest time of its partitions.
        times.copied().max().unwrap_or(Timestamp::LAST)
    }

    /// Keeps a refusal as the outcome of its key, if it is a refusal that is kept.
    pub(crate) fn keep_refusal(&mut self, command: &PreparedCommand, refusal: &Refusal) {
        if refusal.is_kept()
            && !self.hides(command, refusal)
            && let Ok(refusal) = serde_json::to_string(refusal)
        {
            self.keep_key(command, 0, Some(refusal));
        }
    }

    /// Returns the refusal of a command that the account's state alone refuses, before the domain
    /// decides.
    fn precondition(
        &self,
        command: &PreparedCommand,
        own: Subject<'_>,
        now: Timestamp,
    ) -> Option<Refusal> {
        let request = &command.request;
        // A missing account is refused as such, unless the command opens it: it is at version 0
        // then.
        let has_version = own.version > 0 || matches!(request.command, Command::Open(_));
        let expected = request.expected_versions.as_ref();
        if expected.is_some_and(|expected| has_version && !expected.contains(&own.version)) {
            return Some(Refusal::VersionMismatch { current_version: own.version });
        }
        let most = self.context.most_holds;
        // Expired holds make room, recorded as expired or not.
        let is_full = matches!(request.command, Command::Hold(_))
            && own.account.open_holds() >= most
            && own.account.holds_not_over(now) >= most;
        is_full.then_some(Refusal::TooManyHolds { most })
    }

    fn accept(
        &mut self,
        command: &PreparedCommand,
        decided: &Decided,
        other: Option<Uuid>,
    ) -> Result<Decision, Defect> {
        let own = self.change(command.request.account_id, command, &decided.events)?;
        let mut to = None;
        if let Some(account_id) = other.filter(|_| !decided.counterparty.is_empty()) {
            let change = self.change(account_id, command, &decided.counterparty)?;
            // The answer to a reversal has its own account only.
            to = Some(change).filter(|_| matches!(command.request.command, Command::Transfer(_)));
        }
        Ok(Decision::Accepted { own, to })
    }
}
