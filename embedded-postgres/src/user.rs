//! Who the server runs as: Postgres refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::process::Command;

/// Tried in this order.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user.
#[derive(Debug, Clone)]
pub(super) struct User {
    uid: u32,
    gid: u32,
    name: &'static str,
}

impl User {
    /// The user to drop to; `None` where this process is not root's.
    pub(super) fn unprivileged() -> anyhow::Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in NAMES {
            let found = nix::unistd::User::from_name(name).context("users can't be looked up")?;
            if let Some(user) = found.filter(|user| !user.uid.is_root()) {
                return Ok(Some(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name }));
            }
        }
        bail!(
            "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it as: \
             run passbook as another user, or set DATABASE_URL and PROJECTION_DATABASE_URL"
        )
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether this user can reach what is in `path`: may pass through it and every directory above it.
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

    /// Gives a file or directory to this user.
    pub(super) fn own(&self, path: &Path) -> anyhow::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).with_context(|| {
            format!("{} could not be given to the user {}", path.display(), self.name)
        })
    }

    /// Has `command` run as this user.
    pub(super) fn run(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}
