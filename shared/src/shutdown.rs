//! The tasks of a service: named, so that the log says which one ended and why; the first to end stops the rest.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
pub use tokio_util::sync::CancellationToken;

/// How long tasks have to finish once they are told to.
const GRACE: Duration = Duration::from_secs(20);
/// How long may be taken over what is left to do when all have ended.
const CLOSING: Duration = Duration::from_secs(3);
/// The exit code after a second signal: by convention 128, and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled at SIGINT (Ctrl-C) or SIGTERM. A second one ends the process at once: whoever sends it has
/// waited enough, and everything here bears being killed.
///
/// # Errors
/// The system refuses a signal handler.
pub fn on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => "SIGINT", _ = terminate.recv() => "SIGTERM" };
        let first = next().await;
        tracing::info!(signal = first, "stopping");
        cancel.cancel();
        let second = next().await;
        tracing::warn!(signal = second, "ending at once");
        std::process::exit(INTERRUPTED);
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
    last: Option<Last>,
}

/// What is done when all tasks have ended.
struct Last(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Last")
    }
}

impl Tasks {
    /// No tasks yet; each is to end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { running: JoinSet::new(), shutdown, last: None }
    }

    /// What the tasks are to watch.
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

    /// What to do when all tasks have ended: closing what they shared. It may take a few seconds.
    pub fn at_end(&mut self, last: impl Future<Output = ()> + Send + Sync + 'static) {
        self.last = Some(Last(Box::pin(last)));
    }

    /// Waits until all have ended: after a shutdown, or because one ended by itself, which stops the others.
    ///
    /// # Errors
    /// The first task's that failed, panicked, or ended though nobody asked; or one that did not end in time.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        let ended = self.all_ended().await;
        self.running.abort_all();
        if let Some(Last(last)) = self.last
            && tokio::time::timeout(CLOSING, last).await.is_err()
        {
            tracing::warn!("what the tasks shared could not be closed within {CLOSING:?}");
        }
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
                biased;
                next = self.running.join_next() => next,
                () = &mut late => bail!("{} tasks did not end within {GRACE:?}", self.running.len()),
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
