//! One partition of the log, folded to what the views should hold of it. Pure; it remembers the accounts, and of the
//! events only the last ones.

use std::collections::{HashMap, HashSet};

use passbook_shared::event::AccountEvent;
use passbook_shared::money::Currency;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;
use serde_json::json;
use uuid::Uuid;

use super::recent::Recent;
use crate::projection::{AccountState, project};
use crate::store::history::Row;
use passbook_shared::difference::{Difference, Findings, What};

/// How a partition's log goes on.
#[derive(Debug)]
pub(super) struct Fold {
    partition: Partition,
    pub(super) accounts: HashMap<Uuid, Folded>,
    /// Accounts with events in quarantine, each with the position of the first.
    aside: HashMap<Uuid, i64>,
    /// Positions of events that were discarded: their accounts go on without them, if they can't be applied.
    discarded: HashSet<i64>,
    pub(super) last: Option<Last>,
    recent: Recent,
}

/// The last event there was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) recorded_at: Timestamp,
}

/// An account as the log has it.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Of its newest event, applied or not.
    pub(super) version: i64,
    pub(super) standing: Standing,
    /// What the views should have; nothing if its opening could not be applied.
    pub(super) applied: Option<Applied>,
}

/// What can be said of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// The views should have all of it.
    #[default]
    Whole,
    /// They should have it up to an event that is in quarantine.
    Aside,
    /// Its log is broken, which is a difference already: what the views should have can't be said.
    Lost,
}

/// What the views should have of an account.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) state: AccountState,
    pub(super) position: i64,
    pub(super) opened_at: Timestamp,
    pub(super) last_activity: Timestamp,
    pub(super) currency: Currency,
    pub(super) owner: Box<str>,
    pub(super) metadata: Option<Box<Metadata>>,
}

/// What the views should have of an event.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are rows, which a box each would only slow down"
)]
pub(super) enum Step<'e> {
    /// A row of history.
    Row(Row<'e>),
    /// A place in quarantine.
    Aside,
    /// Nothing: it was discarded.
    Discarded,
    /// That can't be said.
    Lost,
}

impl Fold {
    pub(super) fn new(
        partition: Partition,
        aside: HashMap<Uuid, i64>,
        discarded: HashSet<i64>,
    ) -> Self {
        Self {
            partition,
            accounts: HashMap::new(),
            aside,
            discarded,
            last: None,
            recent: Recent::default(),
        }
    }

    /// The log goes on with this event.
    pub(super) fn take<'e>(
        &mut self,
        event: &'e RecordedEvent,
        decoded: &'e Result<AccountEvent, DecodeError>,
        findings: &mut Findings,
    ) -> Step<'e> {
        self.check_place(event, findings);
        let RecordedEvent { account_id, version, .. } = *event;
        let Position { number: position, .. } = event.position;
        let difference =
            |what| Difference::new(what, self.partition, Some(account_id), Some(version));
        let account = self.accounts.entry(account_id).or_default();
        let expected = account.version + 1;
        if version != expected {
            findings.add(|| Difference {
                expected: expected.into(),
                found: json!({ "version": version, "position": event.position }),
                ..difference(What::LogVersions)
            });
        }
        account.version = account.version.max(version);
        if account.standing == Standing::Whole
            && self.aside.get(&account_id).is_some_and(|first| *first <= position)
        {
            account.standing = Standing::Aside;
        }
        match account.standing {
            Standing::Aside => return Step::Aside,
            Standing::Lost => return Step::Lost,
            // A second time: what follows may still follow.
            Standing::Whole if version < expected => return Step::Lost,
            Standing::Whole => {}
        }
        let projected = match decoded {
            Ok(decoded) => {
                project(account.applied.as_ref().map(|applied| &applied.state), version, decoded)
                    .map(|entry| (decoded, entry))
                    .map_err(|unapplicable| unapplicable.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match projected {
            Ok((decoded, entry)) => {
                account.apply(event, decoded, entry.after);
                let (recorded_at, event_type) = (event.recorded_at, decoded.event_type());
                // How it came into the views, the log does not know.
                let (kafka_offset, published_at) = (None, None);
                Step::Row(Row {
                    account_id,
                    position,
                    recorded_at,
                    event_type,
                    entry,
                    kafka_offset,
                    published_at,
                })
            }
            Err(_) if self.discarded.contains(&position) => {
                account.pass_over(event);
                Step::Discarded
            }
            Err(reason) => {
                account.standing = Standing::Lost;
                if version == expected {
                    findings.add(|| Difference {
                        expected: reason.into(),
                        ..difference(What::NotSetAside)
                    });
                }
                Step::Lost
            }
        }
    }

    /// What must hold between neighbours, whoever's they are.
    fn check_place(&mut self, event: &RecordedEvent, findings: &mut Findings) {
        let RecordedEvent { event_id, recorded_at, account_id, version, position, .. } = *event;
        let difference =
            |what| Difference::new(what, self.partition, Some(account_id), Some(version));
        let expected = self.last.map_or(1, |last| last.position + 1);
        if position.number != expected {
            findings.add(|| Difference {
                expected: json!(Position { number: expected, ..position }),
                found: json!(position),
                ..Difference::new(What::LogPositions, self.partition, None, None)
            });
        }
        if !self.recent.insert(event_id) {
            let found = json!({ "event_id": event_id, "position": position });
            findings.add(|| Difference { found, ..difference(What::LogEventTwice) });
        }
        if let Some(last) = self.last.filter(|last| last.recorded_at > recorded_at) {
            findings.add(|| Difference {
                expected: json!({ "not_before": last.recorded_at }),
                found: json!({ "recorded_at": recorded_at, "position": position }),
                ..difference(What::LogTime)
            });
        }
        self.last = Some(Last { position: position.number, event_id, recorded_at });
    }
}

impl Folded {
    fn apply(&mut self, event: &RecordedEvent, decoded: &AccountEvent, state: AccountState) {
        let (position, last_activity) = (event.position.number, event.recorded_at);
        match (&mut self.applied, decoded) {
            (Some(applied), _) => {
                (applied.state, applied.position, applied.last_activity) =
                    (state, position, last_activity)
            }
            (none, AccountEvent::AccountOpened(opened)) => {
                *none = Some(Applied {
                    state,
                    position,
                    opened_at: event.recorded_at,
                    last_activity,
                    currency: opened.currency,
                    owner: (*opened.owner).into(),
                    metadata: (!opened.metadata.is_empty())
                        .then(|| Box::new(opened.metadata.clone())),
                });
            }
            // The projection has refused them.
            (
                None,
                AccountEvent::MoneyDeposited(_)
                | AccountEvent::MoneyWithdrawn(_)
                | AccountEvent::MoneySent(_)
                | AccountEvent::MoneyReceived(_)
                | AccountEvent::HoldPlaced(_)
                | AccountEvent::HoldCaptured(_)
                | AccountEvent::HoldReleased(_)
                | AccountEvent::HoldExpired(_)
                | AccountEvent::EntryReversed(_)
                | AccountEvent::OverdraftLimitSet(_)
                | AccountEvent::AccountFrozen(_)
                | AccountEvent::AccountUnfrozen(_)
                | AccountEvent::AccountClosed(_),
            ) => {}
        }
    }

    /// The views have no history of an event that was discarded; if it was next, the account has moved past it.
    fn pass_over(&mut self, event: &RecordedEvent) {
        if let Some(applied) =
            self.applied.as_mut().filter(|applied| applied.state.version + 1 == event.version)
        {
            applied.state.version = event.version;
            (applied.position, applied.last_activity) = (event.position.number, event.recorded_at);
        }
    }

    /// The version up to which there should be a history.
    pub(super) fn history(&self) -> i64 {
        match self.standing {
            Standing::Whole | Standing::Aside => {
                self.applied.as_ref().map_or(0, |applied| applied.state.version)
            }
            Standing::Lost => self.version,
        }
    }
}

#[cfg(test)]
mod tests;
