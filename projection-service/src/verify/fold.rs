//! Fold of one partition of the log to the rows that the views should hold. Pure. It keeps all
//! accounts, but only the latest events.

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

/// State of the fold of a partition.
#[derive(Debug)]
pub(super) struct Fold {
    partition: Partition,
    pub(super) accounts: HashMap<Uuid, Folded>,
    /// Position of the first quarantined event, by account.
    aside: HashMap<Uuid, i64>,
    /// Positions of discarded events, which accounts skip if they cannot be applied.
    discarded: HashSet<i64>,
    pub(super) last: Option<Last>,
    recent: Recent,
}

/// Last event folded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) recorded_at: Timestamp,
}

/// Fold of an account.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Version of the newest event, applied or not.
    pub(super) version: i64,
    pub(super) standing: Standing,
    /// State that the views should have; absent if the opening could not be applied.
    pub(super) applied: Option<Applied>,
}

/// Part of an account that can be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// The views should have all events.
    #[default]
    Whole,
    /// The views should have the events before the first quarantined one.
    Aside,
    /// The account's log is broken, which is a difference already; the expected state is unknown.
    Lost,
}

/// State that the views should have of an account.
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

/// Row that the views should have of an event.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all steps are rows, and boxing each would be slower"
)]
pub(super) enum Step<'e> {
    /// A row of history.
    Row(Row<'e>),
    /// A row of the quarantine.
    Aside,
    /// No row: the event was discarded.
    Discarded,
    /// Unknown.
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

    /// Folds the next event.
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
            // A repeated event: the next one may still be valid.
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
                // The log does not know how the event reached the views.
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

    /// Checks position, event id and time against the previous event of the partition.
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
            // The projection refuses all other events on an account that is not open.
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

    /// Skips a discarded event. If it was the next one, the account's version moves past it.
    fn pass_over(&mut self, event: &RecordedEvent) {
        if let Some(applied) =
            self.applied.as_mut().filter(|applied| applied.state.version + 1 == event.version)
        {
            applied.state.version = event.version;
            (applied.position, applied.last_activity) = (event.position.number, event.recorded_at);
        }
    }

    /// Returns the version up to which there should be a history.
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
