//! Fold of one account.

use passbook_shared::event::AccountEvent;
use passbook_shared::money::Currency;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::text::Metadata;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::upcast::DecodeError;

use crate::projection::{AccountState, project};
use crate::store::history::Row;

/// Fold of an account.
#[derive(Debug, Default)]
pub(in crate::verify) struct Folded {
    /// Version of the newest event, applied or not.
    pub(in crate::verify) version: i64,
    pub(in crate::verify) standing: Standing,
    /// State that the views should have; absent if the opening could not be applied.
    pub(in crate::verify) applied: Option<Applied>,
}

/// Part of an account that can be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::verify) enum Standing {
    /// The views should have all events.
    #[default]
    Whole,
    /// The views should have the events before the first quarantined one.
    Aside,
    /// The events of the account break the rules of the log, which was already reported. The
    /// expected state is unknown.
    Lost,
}

/// Expected state of an account.
#[derive(Debug)]
pub(in crate::verify) struct Applied {
    pub(in crate::verify) state: AccountState,
    pub(in crate::verify) position: i64,
    pub(in crate::verify) opened_at: Timestamp,
    pub(in crate::verify) last_activity: Timestamp,
    pub(in crate::verify) currency: Currency,
    pub(in crate::verify) owner: Box<str>,
    /// Owner at the opening, if the owner has changed.
    pub(in crate::verify) opening_owner: Option<Box<str>>,
    pub(in crate::verify) metadata: Option<Box<Metadata>>,
    pub(in crate::verify) tenant: Option<Box<str>>,
}

impl Folded {
    /// Projects an event and applies it. Returns the expected row.
    ///
    /// # Errors
    /// The reason why the event can't be applied.
    pub(super) fn project<'e>(
        &mut self,
        event: &'e RecordedEvent,
        decoded: &'e Result<AccountEvent, DecodeError>,
    ) -> Result<Row<'e>, String> {
        let decoded = decoded.as_ref().map_err(ToString::to_string)?;
        let state = self.applied.as_ref().map(|applied| &applied.state);
        let entry =
            project(state, event.version, decoded).map_err(|refused| refused.to_string())?;
        self.apply(event, decoded, entry.after);
        Ok(Row {
            account_id: event.account_id,
            position: event.position.number,
            recorded_at: event.recorded_at,
            event_type: decoded.event_type(),
            entry,
            // The log does not know how the event reached the views.
            kafka_offset: None,
            published_at: None,
        })
    }

    fn apply(&mut self, event: &RecordedEvent, decoded: &AccountEvent, state: AccountState) {
        let (position, last_activity) = (event.position.number, event.recorded_at);
        match (&mut self.applied, decoded) {
            (Some(applied), _) => {
                (applied.state, applied.position, applied.last_activity) =
                    (state, position, last_activity);
                if let AccountEvent::OwnerChanged(changed) = decoded {
                    let before = std::mem::replace(&mut applied.owner, (*changed.owner).into());
                    applied.opening_owner.get_or_insert(before);
                }
            }
            (none, AccountEvent::AccountOpened(opened)) => {
                *none = Some(Applied {
                    state,
                    position,
                    opened_at: event.recorded_at,
                    last_activity,
                    currency: opened.currency,
                    owner: (*opened.owner).into(),
                    opening_owner: None,
                    // All accounts are in memory, so empty metadata takes no allocation.
                    metadata: (!opened.metadata.is_empty())
                        .then(|| Box::new(opened.metadata.clone())),
                    tenant: opened.tenant.as_deref().map(Into::into),
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
                | AccountEvent::OwnerChanged(_)
                | AccountEvent::AccountFrozen(_)
                | AccountEvent::AccountUnfrozen(_)
                | AccountEvent::AccountClosed(_),
            ) => {}
        }
    }

    /// Skips a discarded event. If the event has the next version, the account moves to that
    /// version.
    pub(super) fn pass_over(&mut self, event: &RecordedEvent) {
        if let Some(applied) =
            self.applied.as_mut().filter(|applied| applied.state.version + 1 == event.version)
        {
            applied.state.version = event.version;
            (applied.position, applied.last_activity) = (event.position.number, event.recorded_at);
        }
    }

    /// Returns the last version that the history should have.
    pub(in crate::verify) fn history(&self) -> i64 {
        match self.standing {
            Standing::Whole | Standing::Aside => {
                self.applied.as_ref().map_or(0, |applied| applied.state.version)
            }
            // The expected end is unknown, so only rows beyond the newest event are surplus.
            Standing::Lost => self.version,
        }
    }
}
