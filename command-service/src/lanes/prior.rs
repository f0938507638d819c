//! Outcomes that commands of a pessimistic batch have already, with the rule of atomic sets: a
//! command that was not accepted aborts the others.

#[cfg(test)]
mod tests;

use sqlx::Error;

use crate::decision::command_set::{CommandSet, Place};
use crate::decision::context::DecisionContext;
use crate::log::access::LogAccess;
use crate::log::prior_outcomes::{PriorOutcome, PriorOutcomes, SentVersions};
use crate::outcome::{CommandError, Outcome};
use crate::request::FirstUses;

/// Prior outcomes of a batch.
#[derive(Debug)]
pub(super) struct Prior<'s> {
    sets: &'s [&'s CommandSet],
    pub(super) outcomes: PriorOutcomes<Place>,
}

impl<'s> Prior<'s> {
    pub(super) async fn find(
        log: &mut LogAccess<'_>,
        sets: &'s [&'s CommandSet],
        sent: &SentVersions,
        context: &DecisionContext,
    ) -> Result<Self, Error> {
        let commands: Vec<_> = sets
            .iter()
            .enumerate()
            .flat_map(|(index, set)| set.places(index).zip(&set.commands))
            // The outcomes of a foreign account are not for this sender.
            .filter(|(_, command)| !context.is_out_of_reach(command))
            .collect();
        Ok(Self::new(sets, PriorOutcomes::find(log, &commands, sent).await?))
    }

    /// Applies the rule of atomic sets to the outcomes that were found.
    fn new(sets: &'s [&'s CommandSet], outcomes: PriorOutcomes<Place>) -> Self {
        let mut prior = Self { sets, outcomes };
        for (index, set) in sets.iter().enumerate() {
            let cause = set.places(index).find(|place| prior.is_not_accepted(*place));
            if let Some(cause) = cause.filter(|_| set.is_atomic) {
                prior.abort(set.places(index).filter(|place| *place != cause));
            }
        }
        prior
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.outcomes.get(place).is_some()
    }

    /// Returns the sets to decide. Of those that share an identity, only the first: the outcome of
    /// the others is in the log afterwards.
    pub(super) fn open(&self) -> Vec<(usize, &'s CommandSet)> {
        let mut uses = FirstUses::default();
        let mut open = Vec::new();
        for (index, set) in self.sets.iter().enumerate() {
            let is_open = set.places(index).any(|place| !self.has(place));
            if is_open && uses.claim(set.identities()) {
                open.push((index, *set));
            }
        }
        open
    }

    /// Aborts the commands of a set that have an outcome, because another command of the set was
    /// not accepted.
    pub(super) fn abort_known(&mut self, index: usize) {
        let places = self.sets[index].places(index);
        let known: Vec<Place> = places.filter(|place| self.has(*place)).collect();
        self.abort(known.into_iter());
    }

    fn abort(&mut self, places: impl Iterator<Item = Place>) {
        places.for_each(|place| {
            self.outcomes.set(place, PriorOutcome::Known(Err(CommandError::SetAborted)))
        });
    }

    fn is_not_accepted(&self, place: Place) -> bool {
        match self.outcomes.get(place) {
            Some(PriorOutcome::Known(Ok(Outcome::Refused { .. }) | Err(_))) => true,
            Some(PriorOutcome::Known(Ok(Outcome::Accepted { .. })))
            | Some(PriorOutcome::Accepted { .. })
            | None => false,
        }
    }
}
