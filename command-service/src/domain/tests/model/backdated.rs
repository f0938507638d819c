//! Effective time: the level of an account at every moment, recomputed from all entries.

use passbook_shared::timestamp::Timestamp;

use super::ModelAccount;
use crate::domain::Refusal;

impl ModelAccount {
    /// Checks the level of the account at every moment from `as_of` on.
    pub(super) fn out_as_of(&self, amount: i128, as_of: Option<Timestamp>) -> Result<(), Refusal> {
        let Some(from) = as_of else { return Ok(()) };
        let effects = || self.entries.iter().filter_map(|entry| entry.effect);
        let mut moments: Vec<Timestamp> =
            effects().map(|effect| effect.0).filter(|at| *at > from).collect();
        moments.push(from);
        moments.sort_unstable();
        let first_limit = self
            .entries
            .first()
            .and_then(|opening| opening.effect)
            .map_or(0, |(_, _, limit)| limit);
        let level = |moment: Timestamp| {
            let until = || effects().skip(1).filter(|effect| effect.0 <= moment);
            let opening =
                effects().next().filter(|effect| effect.0 <= moment).map_or(0, |effect| effect.1);
            let available = opening + until().map(|effect| effect.1).sum::<i128>();
            (available, first_limit + until().map(|effect| effect.2).sum::<i128>(), moment)
        };
        let tightest =
            moments.into_iter().map(level).min_by_key(|(available, limit, _)| available + limit);
        match tightest {
            Some((available, limit, at)) if available - amount < -limit => {
                Err(Refusal::InsufficientFundsAt {
                    available: available.try_into().unwrap(),
                    overdraft_limit: limit.try_into().unwrap(),
                    at,
                })
            }
            _ => Ok(()),
        }
    }

    /// Records the effect of the newest entry.
    pub(super) fn effect(&mut self) {
        let after = (self.available(), self.limit);
        let (recorded, effective) = self.times;
        let entry = self.entries.last_mut().unwrap();
        entry.effect = Some((effective, after.0 - self.before.0, after.1 - self.before.1));
        (self.before, self.times.1) = (after, recorded);
    }
}
