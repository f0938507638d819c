//! What can be said of the legs of a transfer, which come one by one.

use passbook_shared::timestamp::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::AppState;
use crate::http::behind::look_again;
use crate::store::history::transfers::{self, Leg};
use crate::store::{discarded, quarantine};
use crate::waiters::On;

/// A leg that was not there.
pub(super) enum Other {
    /// Its account has got past it by now: it is there, or was thrown away.
    Passed,
    /// Its account has not got there: it is at this version.
    Behind(i64),
    /// It waits, or will wait, behind an event that could not be applied, since this time. Nobody can say how long.
    SetAside(Timestamp),
    /// Somebody threw it away, with all of its account.
    ThrownAway,
}

impl AppState {
    pub(super) async fn legs(&self, transfer_id: Uuid) -> sqlx::Result<Vec<Leg>> {
        self.views.read(transfers::legs(self.views.pool()?, transfer_id)).await
    }

    /// The legs that are there when the first of them is, or when the time is up.
    pub(super) async fn first_leg(
        &self,
        transfer_id: Uuid,
        deadline: Instant,
    ) -> sqlx::Result<Vec<Leg>> {
        look_again(deadline, None, || self.legs(transfer_id), |legs| !legs.is_empty()).await
    }

    /// What has become of the leg that an account is to have at a version, when that is there, or when the time is up.
    pub(super) async fn other_leg(
        &self,
        account_id: Uuid,
        version: i64,
        deadline: Instant,
    ) -> sqlx::Result<Other> {
        let since =
            || async { self.views.read(quarantine::since(self.views.pool()?, account_id)).await };
        // What is set aside already is not waited for.
        let deadline = if since().await?.is_some() { Instant::now() } else { deadline };
        let found = self.wait(deadline, On::Account(account_id, version), version).await?;
        if found >= version {
            return Ok(Other::Passed);
        }
        if let Some(since) = since().await? {
            return Ok(Other::SetAside(since));
        }
        let thrown_away = discarded::contains(self.views.pool()?, account_id, version);
        Ok(if self.views.read(thrown_away).await? {
            Other::ThrownAway
        } else {
            Other::Behind(found)
        })
    }
}
