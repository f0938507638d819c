//! In-memory log of accounts' events that supplies decisions with their inputs as the lanes do.

use std::collections::BTreeMap;

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::domain::backdated_debit;
use crate::domain::command::Reversal;
use crate::domain::effective::Timeline;
use crate::domain::{
    Account, Command, Decided, Forbidden, Given, OtherLeg, Past, Refusal, Subject, counterparty,
    decide, evolve, permits,
};

static UNOPENED: Account = Account::Unopened;

/// Events of several accounts.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(BTreeMap<Uuid, History>);

/// Events of one account, and its state.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) events: Vec<AccountEvent>,
    /// Times of recording; `None` for events of the pending append.
    recorded: Vec<Option<Timestamp>>,
    pub(super) account: Account,
}

impl Log {
    /// Adds an event of the same append as the next decision.
    pub(super) fn append(&mut self, account_id: Uuid, event: AccountEvent) {
        self.append_at(account_id, event, None);
    }

    pub(super) fn append_at(
        &mut self,
        account_id: Uuid,
        event: AccountEvent,
        at: Option<Timestamp>,
    ) {
        let history = self.0.entry(account_id).or_default();
        history.recorded.push(at);
        history.account = evolve(std::mem::take(&mut history.account), &event);
        history.events.push(event);
    }

    pub(super) fn account(&self, account_id: Uuid) -> &Account {
        self.0.get(&account_id).map_or(&UNOPENED, |history| &history.account)
    }

    pub(super) fn events(&self, account_id: Uuid) -> &[AccountEvent] {
        self.0.get(&account_id).map_or(&[], |history| &history.events)
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = (Uuid, &History)> {
        self.0.iter().map(|(account_id, history)| (*account_id, history))
    }

    pub(super) fn decide(
        &self,
        account_id: Uuid,
        command: &Command,
        now: Timestamp,
    ) -> Result<Decided, Refusal> {
        let mut past = self.past(account_id, command);
        past.timeline = backdated_debit(account_id, command, &past)
            .map(|(id, at)| Box::new(self.timeline(id, at)));
        let counterparty = counterparty(command, &past).map(|account_id| self.subject(account_id));
        decide(self.subject(account_id), command, Given { counterparty, past: &past, now })
    }

    /// Checks the event as the account's next one.
    pub(super) fn permits(
        &self,
        account_id: Uuid,
        event: &AccountEvent,
    ) -> Result<Option<OtherLeg>, Forbidden> {
        let past = match event {
            AccountEvent::HoldPlaced(placed) => {
                self.past(account_id, &Command::Hold(placed.clone()))
            }
            AccountEvent::EntryReversed(reversed) => self.past(
                account_id,
                &Command::Reverse(Reversal {
                    version: reversed.version,
                    effective_at: reversed.effective_at,
                    reference: reversed.reference.clone(),
                    metadata: reversed.metadata.clone(),
                    allow_backdated_overdraft: reversed.allow_backdated_overdraft,
                }),
            ),
            _ => Past::default(),
        };
        permits(self.subject(account_id), event, &past)
    }

    /// Returns the timeline of an account, built as the lanes do.
    fn timeline(&self, account_id: Uuid, from: Timestamp) -> Timeline {
        let Some(history) = self.0.get(&account_id) else {
            return Timeline::new(from, 0, &UNOPENED);
        };
        let before =
            history.recorded.iter().take_while(|at| at.is_some_and(|at| at < from)).count();
        let account = history.events[..before].iter().fold(Account::default(), evolve);
        let mut timeline = Timeline::new(from, i64::try_from(before).unwrap(), &account);
        for (event, at) in history.events.iter().zip(&history.recorded).skip(before) {
            timeline.take(event, at.unwrap_or(Timestamp::LAST));
        }
        timeline
    }

    fn subject(&self, account_id: Uuid) -> Subject<'_> {
        let version = i64::try_from(self.events(account_id).len()).unwrap();
        Subject { account_id, version, account: self.account(account_id) }
    }

    fn past(&self, account_id: Uuid, command: &Command) -> Past {
        let own = self.events(account_id);
        let ended_hold = |hold_id| Past {
            ended_hold: own.iter().find_map(|e| ended(e, hold_id)),
            ..Past::default()
        };
        match command {
            Command::Transfer(transfer) => Past {
                transfer_exists: self.0.values().flat_map(|history| &history.events).any(|event| {
                    matches!(event, AccountEvent::MoneySent(leg)
                        if leg.transfer_id == transfer.transfer_id)
                }),
                ..Past::default()
            },
            Command::Hold(hold) => ended_hold(hold.hold_id),
            Command::Capture(capture) => ended_hold(capture.hold_id),
            Command::Release(release) => ended_hold(release.hold_id),
            Command::Expire(expire) => ended_hold(expire.hold_id),
            Command::Reverse(reversal) => Past {
                entry: place(reversal.version)
                    .and_then(|place| own.get(place))
                    .map(|entry| Box::new(entry.clone())),
                entry_recorded_at: place(reversal.version)
                    .and_then(|place| *self.0.get(&account_id)?.recorded.get(place)?),
                reversed_by: (1..).zip(own).find_map(|(version, event)| match event {
                    AccountEvent::EntryReversed(reversed)
                        if reversed.version == reversal.version =>
                    {
                        Some(version)
                    }
                    _ => None,
                }),
                ..Past::default()
            },
            Command::Open(_)
            | Command::Deposit(_)
            | Command::Withdraw(_)
            | Command::SetOverdraftLimit(_)
            | Command::ChangeOwner(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => Past::default(),
        }
    }
}

/// Returns the index of the event with a version.
pub(super) fn place(version: i64) -> Option<usize> {
    usize::try_from(version).ok()?.checked_sub(1)
}

/// Returns how the event has ended the hold, if it has.
fn ended(event: &AccountEvent, of: Uuid) -> Option<HoldStatus> {
    match event {
        AccountEvent::HoldCaptured(captured) => {
            (captured.hold_id == of).then_some(HoldStatus::Captured)
        }
        AccountEvent::HoldReleased(released) => {
            (released.hold_id == of).then_some(HoldStatus::Released)
        }
        AccountEvent::HoldExpired(expired) => {
            (expired.hold_id == of).then_some(HoldStatus::Expired)
        }
        AccountEvent::AccountOpened(_)
        | AccountEvent::MoneyDeposited(_)
        | AccountEvent::MoneyWithdrawn(_)
        | AccountEvent::MoneySent(_)
        | AccountEvent::MoneyReceived(_)
        | AccountEvent::HoldPlaced(_)
        | AccountEvent::EntryReversed(_)
        | AccountEvent::OverdraftLimitSet(_)
        | AccountEvent::OwnerChanged(_)
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => None,
    }
}
