//! The tasks of a service: named, so that the log says which one ended and why; the first to end stops the rest.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
pub use tokio_util::sync::CancellationToken;

/// How long tasks have to finish once they are told to.
const GRACE: Duration = Duration::from_secs(20);

/// A token that is cancelled at SIGINT (Ctrl-C) or SIGTERM.
///
/// # Errors
/// The system refuses a signal handler.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! { _ = interrupt.recv() => "SIGINT", _ = terminate.recv() => "SIGTERM" };
        tracing::info!(signal = name, "stopping");
        cancel.cancel();
    });
    Ok(token)
}

/// A service that runs: where it answers, and its tasks.
#[derive(Debug)]
pub struct Service {
    /// Where it answers HTTP.
    pub local_addr: SocketAddr,
    /// What it does.
    pub tasks: Tasks,
}

/// Named tasks that live and end together.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// No tasks yet; each is to end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { running: JoinSet::new(), shutdown }
    }

    /// What the tasks are to watch.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.running.spawn(async move { (name, task.await) });
    }

    /// Waits until all have ended: after a shutdown, or because one ended by itself, which stops the others.
    ///
    /// # Errors
    /// The first task's that failed, panicked, or ended though nobody asked; or one that did not end in time.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        loop {
            let next = if self.shutdown.is_cancelled() {
                tokio::time::timeout(GRACE, self.running.join_next())
                    .await
                    .map_err(|_| anyhow!("{} tasks did not end within {GRACE:?}", self.running.len()))?
            } else {
                self.running.join_next().await
            };
            let Some(ended) = next else { return first };
            let asked = self.shutdown.is_cancelled();
            let result = match ended {
                Ok((name, Ok(()))) if !asked => Err(anyhow!("{name} ended by itself")),
                Ok((_, Ok(()))) => Ok(()),
                Ok((name, Err(error))) => Err(error.context(format!("{name} failed"))),
                Err(panic) => Err(anyhow!(panic).context("a task panicked")),
            };
            if first.is_ok() {
                first = result;
            }
            self.shutdown.cancel();
        }
    }
}
