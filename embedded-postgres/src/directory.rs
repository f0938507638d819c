//! The data directory: its lock, and the place of the cluster's files.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use passbook_shared::private_file;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::binaries::Binaries;
use crate::secrets::{self, Secrets};
use crate::user::User;

/// Directory of root's clusters where the server's user cannot enter the data directory.
const REACHABLE: &str = "/var/lib/passbook";

/// A data directory that this process has locked.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    home: PathBuf,
    user: Option<User>,
    _lock: File,
}

impl Directory {
    /// Locks `path` as data directory, creating it if missing.
    pub(super) fn open(path: &Path, user: Option<User>) -> anyhow::Result<Self> {
        // Postgres as another user must be able to pass through.
        let mode = if user.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(path).with_context(|| {
            format!("cannot create the data directory {}; choose another", path.display())
        })?;
        let path =
            path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        let lock = lock(&path)?;
        let home = home(&path, user.as_ref())?;
        Ok(Self { path, home, user, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns Postgres's own data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Returns the file of the server's output.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// Returns the major version of the cluster, or `None` before the first start.
    pub(super) fn major(&self) -> anyhow::Result<Option<u32>> {
        let file = self.data().join("PG_VERSION");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let major = text.trim().parse().ok();
                Ok(Some(major.with_context(|| {
                    format!("{} contains `{}`, which is no version", file.display(), text.trim())
                })?))
            }
            Err(_) if !self.data().exists() => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("{} is not a Postgres cluster", self.data().display())),
        }
    }

    /// Creates the cluster atomically, if missing.
    pub(super) async fn make_cluster(
        &self,
        binaries: &Binaries,
        secrets: &Secrets,
    ) -> anyhow::Result<()> {
        if self.data().exists() {
            return Ok(());
        }
        let unfinished = self.home.join("data.new");
        remove_unfinished(&unfinished).await?;
        let password = self.home.join("password");
        private_file::write(&password, secrets.admin.as_bytes())?;
        if let Some(user) = &self.user {
            user.own(&password)?;
        }
        let mut initdb = binaries.command("initdb", self.user.as_ref());
        initdb.arg("--pgdata").arg(&unfinished).arg("--pwfile").arg(&password);
        initdb.args(["--username", secrets::ADMIN, "--auth", "scram-sha-256", "--data-checksums"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C"]);
        let output = initdb.stdin(Stdio::null()).output().await.context("cannot run initdb")?;
        // Before the check, so that a failed `initdb` leaves no password either.
        std::fs::remove_file(&password)?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        std::fs::rename(&unfinished, self.data())?;
        Ok(())
    }

    /// Stops the server that a killed launcher left running.
    pub(super) async fn stop_leftover(&self, binaries: &Binaries) -> anyhow::Result<()> {
        let file = self.data().join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
        let pid = text.lines().next().unwrap_or_default();
        if !self.is_server(pid) {
            // After a crash of the machine another process may have this id, and Postgres would
            // refuse to start.
            return std::fs::remove_file(&file)
                .with_context(|| format!("cannot remove {}", file.display()));
        }
        tracing::warn!(process.id = pid, "stopping the Postgres of an earlier run");
        let mut stop = binaries.command("pg_ctl", self.user.as_ref());
        stop.args(["stop", "--mode", "fast", "--wait", "--timeout", "60", "--pgdata"])
            .arg(self.data());
        let output = stop.stdin(Stdio::null()).output().await.context("cannot run pg_ctl")?;
        ensure!(
            // The server may have ended by itself, which `pg_ctl` reports as a failure.
            output.status.success() || !file.exists(),
            "the Postgres of an earlier run (pid {pid}) does not stop; stop it manually: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Checks that the process works in this data directory; assumes so on systems without `/proc`.
    fn is_server(&self, pid: &str) -> bool {
        if !Path::new("/proc/self/cwd").exists() {
            return true;
        }
        std::fs::read_link(Path::new("/proc").join(pid).join("cwd"))
            .is_ok_and(|directory| directory == self.data())
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = path.join("lock");
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // The file names the process that holds the lock.
        .truncate(false)
        .open(&file)
        .with_context(|| {
            format!("cannot write {}; choose another data directory", file.display())
        })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message.
            let _ = lock.read_to_string(&mut pid);
            bail!(
                "{} is in use by another passbook (pid {}): stop it, or choose another directory \
                 with --data-dir",
                path.display(),
                pid.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", file.display()));
        }
    }
    lock.set_len(0)?;
    write!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// Returns the directory of the cluster's files, inside the data directory.
///
/// If the server's user cannot enter the data directory (in root's home, for example), the files go
/// to [`REACHABLE`], and the data directory links to them.
fn home(data_dir: &Path, user: Option<&User>) -> anyhow::Result<PathBuf> {
    let usual = data_dir.join("postgres");
    if usual.is_symlink() {
        return usual
            .canonicalize()
            .with_context(|| format!("the target of {} is missing", usual.display()));
    }
    let Some(user) = user else {
        return make_private(&usual).map(|()| usual);
    };
    if usual.exists() || user.can_reach(data_dir)? {
        make_private(&usual)?;
        ensure!(
            user.can_reach(data_dir)?,
            "the user `{}`, who runs Postgres, may not enter {}: grant access, or choose another \
             directory with --data-dir",
            user.name(),
            data_dir.display()
        );
        return user.own(&usual).map(|()| usual);
    }
    let home = Path::new(REACHABLE).join(Uuid::new_v4().to_string());
    tracing::warn!(
        directory = %home.display(),
        "the user `{}`, who runs Postgres, may not enter the data directory: using another one",
        user.name()
    );
    std::fs::create_dir_all(REACHABLE).with_context(|| format!("cannot create {REACHABLE}"))?;
    make_private(&home)?;
    user.own(&home)?;
    symlink(&home, &usual)?;
    Ok(home)
}

fn make_private(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Timeout for an `initdb` whose launcher was killed.
const LEFTOVER: Duration = Duration::from_secs(15);

/// Removes the files of an interrupted `initdb`, which may still be running for a moment.
async fn remove_unfinished(unfinished: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + LEFTOVER;
    while unfinished.exists() {
        match std::fs::remove_dir_all(unfinished) {
            Err(error) if Instant::now() > deadline => {
                return Err(error)
                    .with_context(|| format!("cannot remove {}", unfinished.display()));
            }
            Ok(()) | Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
