//! Fetch of the keys for a token with an unknown key: the request waits for it.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Longest time for which a request waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fetch of the keys that is under way, or may begin at once.
#[derive(Debug)]
pub(super) struct Refresh {
    unknown: Notify,
    may_come: watch::Sender<bool>,
}

impl Refresh {
    pub(super) fn new() -> Self {
        Self { unknown: Notify::new(), may_come: watch::Sender::new(false) }
    }

    /// Asks for a fetch, because a token has an unknown key.
    pub(super) fn ask(&self) {
        self.unknown.notify_one();
    }

    /// Waits until a token has an unknown key.
    pub(super) async fn wanted(&self) {
        self.unknown.notified().await;
    }

    /// Says that a fetch has begun, or begins as soon as a token needs it.
    pub(super) fn may_come(&self) {
        self.may_come.send_replace(true);
    }

    /// Says that a fetch has ended, and that another one does not begin soon.
    pub(super) fn has_ended(&self) {
        self.may_come.send_replace(false);
    }

    /// Waits for the end of a fetch, if one is under way or may begin at once.
    pub(super) async fn ended(&self) {
        let mut may_come = self.may_come.subscribe();
        // After the patience, the token is refused as one without a key.
        let _ = timeout(PATIENCE, may_come.wait_for(|may_come| !may_come)).await;
    }
}
