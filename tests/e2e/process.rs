//! Child processes with their output in a file, ports that nobody else takes, and waiting with a deadline.

use std::fs::File;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The program under test: any of its parts.
pub(crate) const PASSBOOK: &str = env!("CARGO_BIN_EXE_passbook");

/// A child process, killed when dropped. Its standard input is an open pipe, its output goes to a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    // Taken from the child, which would close it when waited for.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `passbook` with these arguments.
    pub(crate) fn start(arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        Self::start_with(arguments, &[], &[], log)
    }

    /// The same, with variables set and others removed.
    pub(crate) fn start_with(
        arguments: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().append(true).create(true).open(log)?;
        let mut command = Command::new(PASSBOOK);
        for name in removed {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .envs(set.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("passbook can't be started")?;
        let stdin = child.stdin.take();
        Ok(Self { child, log: log.to_owned(), _stdin: stdin })
    }

    /// Its output so far.
    pub(crate) fn output(&self) -> String {
        read(&self.log)
    }

    /// As [`eventually`], given the output so far; fails at once if the process ends.
    pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<T>>>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(String) -> F,
    ) -> anyhow::Result<T> {
        let Self { child, log, .. } = self;
        tokio::select! {
            answer = eventually(what, || ask(read(log))) => answer,
            status = child.wait() => bail!("ended ({}) before {what}; its output is in {}", status?, log.display()),
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended already")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.id()?.try_into()?), signal)?)
    }

    /// SIGKILL, and its end.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        Ok(ended
            .with_context(|| format!("did not end; its output is in {}", self.log.display()))??)
    }

    /// SIGTERM, and an end without error.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.ended().await?;
        anyhow::ensure!(
            status.success(),
            "ended with {status}; its output is in {}",
            self.log.display()
        );
        Ok(())
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// An address of this machine with a port nobody listens on, from below the range that outgoing connections use: it is
/// still free when a killed process starts again.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    const FIRST: u16 = 21_000;
    const COUNT: u16 = 9_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let port = FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port")
}

/// Asks until the answer is `Ok`; fails with the last one at the deadline.
pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("after {DEADLINE:?}, still not: {what}")));
            }
            Err(_) => sleep(Duration::from_millis(25)).await,
        }
    }
}
