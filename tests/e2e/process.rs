//! Child processes with their output in a file, addresses that stay free, and waiting with a
//! deadline.

use std::ffi::OsStr;
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

use crate::infrastructure::keys;

/// Longest time that a test waits for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Path of the program under test.
pub(crate) const PASSBOOK: &str = env!("CARGO_BIN_EXE_passbook");

const ANY_PORT: &str = "127.0.0.1:0";

/// Child process, killed when dropped. Its standard input is an open pipe, its output goes to a
/// file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    // Taken from the child, because waiting for the child would close it.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `passbook` with the given arguments.
    pub(crate) fn start(arguments: &[String], log: &Path) -> anyhow::Result<Self> {
        Self::start_with(arguments, &[], &[], log)
    }

    /// Starts `passbook` with some environment variables set and others removed.
    pub(crate) fn start_with(
        arguments: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_program(OsStr::new(PASSBOOK), arguments, set, removed, log)
    }

    /// Starts another build of `passbook` in the same way.
    pub(crate) fn start_program(
        program: &OsStr,
        arguments: &[String],
        set: &[(&str, &str)],
        removed: &[&str],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::options().append(true).create(true).open(log)?;
        let mut command = Command::new(program);
        for name in removed {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments)
            .env("PASSBOOK_KEY_FILE", keys()?.operator)
            // Any port, so that launchers do not compete for the defaults.
            .env("COMMAND_OPS_ADDR", ANY_PORT)
            .env("PROJECTION_OPS_ADDR", ANY_PORT)
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

    /// Returns the output so far.
    pub(crate) fn output(&self) -> String {
        read(&self.log)
    }

    /// Waits as [`eventually`] does, and passes the output so far to `ask`.
    ///
    /// # Errors
    /// The deadline has passed, or the process has ended.
    pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<T>>>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(String) -> F,
    ) -> anyhow::Result<T> {
        let Self { child, log, .. } = self;
        tokio::select! {
            answer = eventually(what, || ask(read(log))) => answer,
            status = child.wait() => {
                bail!("ended ({}) before {what}; its output is in {}", status?, log.display())
            }
        }
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended already")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.id()?.try_into()?), signal)?)
    }

    /// Kills the process with SIGKILL and waits for its end.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(DEADLINE, self.child.wait()).await;
        Ok(ended
            .with_context(|| format!("did not end; its output is in {}", self.log.display()))??)
    }

    /// Stops the process with SIGTERM.
    ///
    /// # Errors
    /// It does not end in time, or with an error.
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

/// Number of addresses of services. Their listeners for operators have as many higher ports.
const COUNT: u16 = 4_500;

/// Returns the address of the listener for operators of a service at a [`free_address`].
pub(crate) fn ops_of(service: SocketAddr) -> SocketAddr {
    SocketAddr::new(service.ip(), service.port() + COUNT)
}

/// Returns a local address on which nobody listens, nor on its [`ops_of`]. Its port is below the
/// range of outgoing connections, so that it is still free when a killed process starts again.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    const FIRST: u16 = 21_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let port = FIRST + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && TcpListener::bind(ops_of(address)).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port")
}

/// Repeats `ask` every 25 ms until its answer is `Ok`, and fails with the last error at the
/// deadline.
pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    eventually_every(Duration::from_millis(25), what, ask).await
}

/// Repeats `ask` as [`eventually`] does, with another pause.
pub(crate) async fn eventually_every<T, F: Future<Output = anyhow::Result<T>>>(
    pause: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("not within {DEADLINE:?}: {what}")));
            }
            Err(_) => sleep(pause).await,
        }
    }
}
