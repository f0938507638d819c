//! Tasks of a service. Their names tell the log which one ended and why; the first to end stops the
//! others.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Time that tasks have to end after a shutdown.
const GRACE: Duration = Duration::from_secs(20);
/// Time limit of the cleanup after all tasks.
const CLEANUP: Duration = Duration::from_secs(3);
/// Exit code after a second signal: by convention 128 plus the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Steps of the stop of a process. Clones share their state.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Cancelled first. The process is not ready any more, but still accepts requests.
    pub draining: CancellationToken,
    /// Cancelled after the drain. The process accepts nothing more, and its tasks must end.
    pub shutdown: CancellationToken,
}

impl From<CancellationToken> for Stop {
    /// Returns a stop without a drain.
    fn from(shutdown: CancellationToken) -> Self {
        Self { draining: shutdown.child_token(), shutdown }
    }
}

/// Returns a stop that a signal begins. SIGTERM drains first, for `drain`; SIGINT (Ctrl-C) does
/// not. A second signal exits at once, which is safe: every task tolerates being killed.
///
/// # Errors
/// Fails if a signal handler cannot be installed.
pub fn on_signal(drain: Duration) -> anyhow::Result<Stop> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let stop = Stop::from(CancellationToken::new());
    let begun = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => ("SIGINT", Duration::ZERO),
                _ = terminate.recv() => ("SIGTERM", drain),
            }
        };
        let (first, drain) = next().await;
        tracing::info!(signal = first, drain_seconds = drain.as_secs(), "stopping");
        begun.draining.cancel();
        let second = match timeout(drain, next()).await {
            Ok((second, _)) => second,
            Err(_) => {
                begun.shutdown.cancel();
                next().await.0
            }
        };
        tracing::warn!(signal = second, "exiting at once");
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

/// Running service.
#[derive(Debug)]
pub struct Service {
    /// Address of the HTTP server.
    pub local_addr: SocketAddr,
    /// Address of the listener for operators.
    pub ops_addr: SocketAddr,
    /// Tasks of the service.
    pub tasks: Tasks,
}

/// Named tasks that live and end together.
#[derive(Debug)]
pub struct Tasks {
    running: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
    cleanup: Option<Cleanup>,
    last: Option<AbortOnDropHandle<anyhow::Result<()>>>,
}

/// Future that runs after all tasks.
struct Cleanup(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl fmt::Debug for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cleanup")
    }
}

impl Tasks {
    /// Creates an empty set of tasks, which must end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { running: JoinSet::new(), shutdown, cleanup: None, last: None }
    }

    /// Returns the token that the tasks watch.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.running.spawn(async move { (name, task.await) });
    }

    /// Keeps a task running until all others have ended.
    #[must_use]
    pub fn keeping(self, last: AbortOnDropHandle<anyhow::Result<()>>) -> Self {
        Self { last: Some(last), ..self }
    }

    /// Sets a future that runs after all tasks, for at most 3 seconds, to close what they shared.
    pub fn at_end(&mut self, cleanup: impl Future<Output = ()> + Send + Sync + 'static) {
        self.cleanup = Some(Cleanup(Box::pin(cleanup)));
    }

    /// Waits until all tasks have ended, after a shutdown or because one of them ended.
    ///
    /// # Errors
    /// Returns the error of the first task that failed, panicked or ended before the shutdown.
    /// Fails if a task does not end in time.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let ended = self.all_ended().await;
        self.running.abort_all();
        if let Some(Cleanup(cleanup)) = self.cleanup
            && timeout(CLEANUP, cleanup).await.is_err()
        {
            tracing::warn!("the cleanup after the tasks did not end within {CLEANUP:?}");
        }
        drop(self.last);
        ended
    }

    async fn all_ended(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        let shutdown = self.shutdown.clone();
        let mut late = pin!(async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        });
        loop {
            let next = tokio::select! {
                // An ended task first, so that the error counts only tasks that still run.
                biased;
                next = self.running.join_next() => next,
                () = &mut late => {
                    bail!("{} tasks did not end within {GRACE:?}", self.running.len())
                }
            };
            let Some(ended) = next else { return first };
            let asked = self.shutdown.is_cancelled();
            let result = match ended {
                Ok((name, Ok(()))) if !asked => Err(anyhow!("{name} ended before the shutdown")),
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

#[cfg(test)]
mod tests;
