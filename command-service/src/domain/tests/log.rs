//! Accounts' events, as the log has them, and what a decision on them rests on, found as the lanes find it.

use std::collections::BTreeMap;

use passbook_shared::event::{AccountEvent, HoldStatus};
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

use crate::domain::command::Reversal;
use crate::domain::effective::{Timeline, backdated_debit};
use crate::domain::{
    Account, Command, Decided, Forbidden, Given, OtherLeg, Past, Refusal, Subject, counterparty,
    decide, evolve, permits,
};

static UNOPENED: Account = Account::Unopened;

/// What has happened to some accounts.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(BTreeMap<Uuid, Happened>);

/// What has happened to one, and how it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Happened {
    pub(super) events: Vec<AccountEvent>,
    /// When they were recorded; nothing for those that are still to be, all at once.
    recorded: Vec<Option<Timestamp>>,
    pub(super) account: Account,
}

impl Log {
    /// An event of the same append as what is asked next.
    pub(super) fn append(&mut self, account_id: Uuid, event: AccountEvent) {
        self.append_at(account_id, event, None);
    }

    pub(super) fn append_at(
        &mut self,
        account_id: Uuid,
        event: AccountEvent,
        at: Option<Timestamp>,
    ) {
        let happened = self.0.entry(account_id).or_default();
        happened.recorded.push(at);
        happened.account = evolve(std::mem::take(&mut happened.account), &event);
        happened.events.push(event);
    }

    pub(super) fn account(&self, account_id: Uuid) -> &Account {
        self.0.get(&account_id).map_or(&UNOPENED, |happened| &happened.account)
    }

    pub(super) fn events(&self, account_id: Uuid) -> &[AccountEvent] {
        self.0.get(&account_id).map_or(&[], |happened| &happened.events)
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = (Uuid, &Happened)> {
        self.0.iter().map(|(account_id, happened)| (*account_id, happened))
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

    /// Whether the rules allow the event as the account's next one.
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

    /// How an account stood from a moment on, found as the lanes find it.
    fn timeline(&self, account_id: Uuid, from: Timestamp) -> Timeline {
        let Some(happened) = self.0.get(&account_id) else {
            return Timeline::new(from, 0, &UNOPENED);
        };
        let before =
            happened.recorded.iter().take_while(|at| at.is_some_and(|at| at < from)).count();
        let account = happened.events[..before].iter().fold(Account::default(), evolve);
        let mut timeline = Timeline::new(from, i64::try_from(before).unwrap(), &account);
        for (event, at) in happened.events.iter().zip(&happened.recorded).skip(before) {
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
                transfer_exists: self.0.values().flat_map(|happened| &happened.events).any(
                    |event| matches!(event, AccountEvent::MoneySent(leg) if leg.transfer_id == transfer.transfer_id),
                ),
                ..Past::default()
            },
            Command::Hold(hold) => ended_hold(hold.hold_id),
            Command::Capture(capture) => ended_hold(capture.hold_id),
            Command::Release(release) => ended_hold(release.hold_id),
            Command::Expire(expire) => ended_hold(expire.hold_id),
            Command::Reverse(reversal) => Past {
                entry: place(reversal.version).and_then(|place| own.get(place)).cloned().map(Box::new),
                entry_recorded_at: place(reversal.version)
                    .and_then(|place| *self.0.get(&account_id)?.recorded.get(place)?),
                reversed_by: (1..).zip(own).find_map(|(version, event)| match event {
                    AccountEvent::EntryReversed(reversed) if reversed.version == reversal.version => Some(version),
                    _ => None,
                }),
                ..Past::default()
            },
            Command::Open(_)
            | Command::Deposit(_)
            | Command::Withdraw(_)
            | Command::SetOverdraftLimit(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => Past::default(),
        }
    }
}

/// Where the event of a version is among an account's.
pub(super) fn place(version: i64) -> Option<usize> {
    usize::try_from(version).ok()?.checked_sub(1)
}

/// How the event has ended the hold, if it has.
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
        | AccountEvent::AccountFrozen(_)
        | AccountEvent::AccountUnfrozen(_)
        | AccountEvent::AccountClosed(_) => None,
    }
}
