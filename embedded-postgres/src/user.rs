//! User of the server process: Postgres refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::process::Command;

/// Candidates, most preferred first.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user.
#[derive(Debug, Clone)]
pub(super) struct User {
    uid: u32,
    gid: u32,
    name: &'static str,
}

impl User {
    /// Returns the user to switch to, or `None` if this process does not run as root.
    pub(super) fn unprivileged() -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in NAMES {
            let found = nix::unistd::User::from_name(name).context("cannot look up users")?;
            if let Some(user) = found.filter(|user| !user.uid.is_root()) {
                return Ok(Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name }));
            }
        }
        bail!(
            "Postgres refuses to run as root, and neither the user `postgres` nor `nobody` exists: \
             run passbook as another user, or set DATABASE_URL and PROJECTION_DATABASE_URL"
        )
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Checks that this user may enter `path` and every directory above it.
    pub(super) fn can_reach(&self, path: &Path) -> std::io::Result<bool> {
        for directory in path.canonicalize()?.ancestors() {
            let metadata = directory.metadata()?;
            let mode = metadata.mode();
            let bit = match (metadata.uid() == self.uid, metadata.gid() == self.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if mode & bit == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes this user the owner of a file or directory.
    pub(super) fn own(&self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot make {} the owner of {}", self.name, path.display()))
    }

    /// Makes `command` run as this user.
    pub(super) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests;
