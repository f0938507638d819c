//! The data directory: locked while in use, and where in it (or, for root, beside it) the cluster's files are.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::binaries::Binaries;
use crate::secrets::{self, Secrets};
use crate::user::User;

/// Where root's clusters go if the unprivileged user can't reach the data directory.
const REACHABLE: &str = "/var/lib/passbook";

/// A data directory that nobody else uses.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    home: PathBuf,
    user: Option<User>,
    _lock: File,
}

impl Directory {
    /// Opens `path` as data directory, making it if it is not there.
    pub(super) fn open(path: &Path, user: Option<User>) -> anyhow::Result<Self> {
        // Where Postgres runs as another user, that one has to pass through it.
        let mode = if user.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(path).with_context(|| {
            format!("the data directory {} can't be made; choose another", path.display())
        })?;
        let path =
            path.canonicalize().with_context(|| format!("{} can't be found", path.display()))?;
        let lock = lock(&path)?;
        let home = home(&path, user.as_ref())?;
        Ok(Self { path, home, user, _lock: lock })
    }

    /// The directory itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What Postgres calls its data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Where the server's output goes.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("postgres.log")
    }

    /// The major version of Postgres that made the cluster; `None` if there is no cluster yet.
    pub(super) fn major(&self) -> anyhow::Result<Option<u32>> {
        let file = self.data().join("PG_VERSION");
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let major = text.trim().parse().ok();
                Ok(Some(
                    major.with_context(|| format!("{} says `{}`", file.display(), text.trim()))?,
                ))
            }
            Err(_) if !self.data().exists() => Ok(None),
            Err(error) => Err(error)
                .with_context(|| format!("{} is not a Postgres cluster", self.data().display())),
        }
    }

    /// Makes the cluster if there is none, whole or not at all.
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
        secrets::write_private(&password, secrets.admin.as_bytes())?;
        if let Some(user) = &self.user {
            user.own(&password)?;
        }
        let mut initdb = binaries.command("initdb", self.user.as_ref());
        initdb.arg("--pgdata").arg(&unfinished).arg("--pwfile").arg(&password);
        initdb.args(["--username", secrets::ADMIN, "--auth", "scram-sha-256", "--data-checksums"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C"]);
        let output =
            initdb.stdin(Stdio::null()).output().await.context("initdb could not be run")?;
        std::fs::remove_file(&password)?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        std::fs::rename(&unfinished, self.data())?;
        Ok(())
    }

    /// Ends the server that a killed launcher left running.
    pub(super) async fn end_leftover(&self, binaries: &Binaries) -> anyhow::Result<()> {
        let file = self.data().join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
        let pid = text.lines().next().unwrap_or_default();
        if !self.is_server(pid) {
            // The machine went down, and another process may have the number now: Postgres would not dare to start.
            return std::fs::remove_file(&file)
                .with_context(|| format!("{} can't be removed", file.display()));
        }
        tracing::warn!(process.id = pid, "ending the Postgres that an earlier run left behind");
        let mut stop = binaries.command("pg_ctl", self.user.as_ref());
        stop.args(["stop", "--mode", "fast", "--wait", "--timeout", "60", "--pgdata"])
            .arg(self.data());
        let output = stop.stdin(Stdio::null()).output().await.context("pg_ctl could not be run")?;
        ensure!(
            output.status.success() || !file.exists(),
            "the Postgres that an earlier run left behind (pid {pid}) does not end; end it by hand: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Whether the process works in our data directory; where the system does not tell, it is believed to.
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
        .truncate(false)
        .open(&file)
        .with_context(|| {
            format!("{} can't be written; choose another data directory", file.display())
        })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            bail!(
                "{} is in use by another passbook (pid {}): stop that one, or choose another directory with --data-dir",
                path.display(),
                pid.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} can't be locked", file.display()));
        }
    }
    lock.set_len(0)?;
    write!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// Where the cluster's files go: into the data directory, unless the server's user can't reach it (a checkout in
/// root's home, say); then elsewhere, with a link to it.
fn home(data_dir: &Path, user: Option<&User>) -> anyhow::Result<PathBuf> {
    let usual = data_dir.join("postgres");
    if usual.is_symlink() {
        return usual
            .canonicalize()
            .with_context(|| format!("what {} points to is gone", usual.display()));
    }
    let Some(user) = user else {
        return make_private(&usual).map(|()| usual);
    };
    if usual.exists() || user.can_reach(data_dir)? {
        make_private(&usual)?;
        ensure!(
            user.can_reach(data_dir)?,
            "the user `{}`, who runs Postgres, may not enter {}: allow it, or choose another directory with --data-dir",
            user.name(),
            data_dir.display()
        );
        return user.own(&usual).map(|()| usual);
    }
    let home = Path::new(REACHABLE).join(Uuid::new_v4().to_string());
    tracing::warn!(
        directory = %home.display(),
        "Postgres runs as `{}`, who may not enter the data directory: its files go elsewhere", user.name()
    );
    std::fs::create_dir_all(REACHABLE).with_context(|| format!("{REACHABLE} can't be made"))?;
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
        .with_context(|| format!("{} can't be made", path.display()))
}

/// How long what a killed launcher had begun may still be at work.
const LEFTOVER: Duration = Duration::from_secs(15);

/// Removes what an `initdb` left that was cut off; one whose launcher was killed may still be at work for a moment.
async fn remove_unfinished(unfinished: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + LEFTOVER;
    while unfinished.exists() {
        match std::fs::remove_dir_all(unfinished) {
            Err(error) if Instant::now() > deadline => {
                return Err(error)
                    .with_context(|| format!("{} can't be removed", unfinished.display()));
            }
            Ok(()) | Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    Ok(())
}
