//! Legs of a transfer, which are applied one by one.

use passbook_shared::timestamp::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::AppState;
use crate::http::read_your_writes::look_again;
use crate::store::history::transfers::{self, Leg};
use crate::store::scope::Scope;
use crate::store::{discarded, quarantine};

/// State of a missing leg.
pub(super) enum OtherLeg {
    /// The account has reached the version of the leg. The leg was applied or discarded.
    Passed,
    /// The account is at this earlier version.
    Behind(i64),
    /// The leg, or an earlier event of its account, is quarantined since this time. Only an
    /// operator can resolve that.
    Quarantined(Timestamp),
    /// The leg was discarded, and its account has no view.
    Discarded,
}

impl AppState {
    pub(super) async fn legs(&self, scope: &Scope, transfer_id: Uuid) -> sqlx::Result<Vec<Leg>> {
        self.views.read(|pool| transfers::legs(pool, scope, transfer_id)).await
    }

    /// Returns the legs once the first one is applied, or at the deadline.
    pub(super) async fn first_leg(
        &self,
        scope: &Scope,
        transfer_id: Uuid,
        deadline: Instant,
    ) -> sqlx::Result<Vec<Leg>> {
        look_again(deadline, None, || self.legs(scope, transfer_id), |legs| !legs.is_empty()).await
    }

    /// Returns the state of the leg with this version once the account reaches the version, or at
    /// the deadline.
    pub(super) async fn other_leg(
        &self,
        scope: &Scope,
        (account_id, version): (Uuid, i64),
        deadline: Instant,
    ) -> sqlx::Result<OtherLeg> {
        let since = || async { self.views.read(|pool| quarantine::since(pool, account_id)).await };
        // There is no point in waiting for a quarantined leg.
        let deadline = if since().await?.is_some() { Instant::now() } else { deadline };
        // The other account may have another owner.
        let found =
            self.wait_for_version(deadline, &scope.of_tenant(), (account_id, version)).await?;
        if found >= version {
            return Ok(OtherLeg::Passed);
        }
        // The event may have been quarantined during the wait.
        if let Some(since) = since().await? {
            return Ok(OtherLeg::Quarantined(since));
        }
        Ok(if self.views.read(|pool| discarded::contains(pool, account_id, version)).await? {
            OtherLeg::Discarded
        } else {
            OtherLeg::Behind(found)
        })
    }
}
