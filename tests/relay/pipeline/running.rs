//! A relay that runs, or has just ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_service::log::append::Appended;
use command_service::restore::standing::Standing;
use passbook_shared::health::{Check, Health};
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::shutdown::CancellationToken;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Relay as a task.
pub(crate) struct Running {
    pub(crate) health: Health,
    pub(crate) standing: Standing,
    pub(super) handed: mpsc::Sender<Appended>,
    pub(super) started: tokio::time::Instant,
    pub(super) task: JoinHandle<anyhow::Result<()>>,
    pub(super) shutdown: CancellationToken,
}

impl Running {
    /// Ends the relay as the service does, after its lanes.
    pub(crate) async fn end(self) {
        self.shutdown.cancel();
        drop(self.handed);
        self.task.await.unwrap().unwrap();
    }

    /// Ends the relay as a kill does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Hands over events as lanes do, appended on a connection as old as the relay.
    pub(crate) async fn hand_over(&self, events: Vec<RecordedEvent>) {
        let events = events.into_iter().map(Arc::new).collect();
        let appended = Appended { events, connected: self.started };
        self.handed.send(appended).await.unwrap();
    }

    /// Waits until the check `name` fulfils a condition, and returns its reason.
    pub(crate) async fn reports(&self, name: &str, condition: impl Fn(&Check) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(check) = self.health.checks().get(name).filter(|check| condition(check)) {
                return check.reason.clone().unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "{:?}", self.health.checks());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
