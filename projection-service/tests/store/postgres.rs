//! Postgres for tests: the server at `TEST_DATABASE_URL`, else a temporary one from the machine's
//! own binaries.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use projection_service::store::generations::Generation;
use projection_service::store::schema;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

/// Empty database with the views' schema, and its server if that was started for it.
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    /// Connection settings.
    pub(crate) options: PgConnectOptions,
    _server: Option<Server>,
}

struct Server {
    process: Child,
    directory: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL, because nothing of the server is kept. Its children end when they notice.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Database {
    pub(crate) async fn new() -> Self {
        let (server, options) = match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => (None, PgConnectOptions::from_str(&url).unwrap()),
            Err(_) => start().await,
        };
        let name = format!("views_{}", Uuid::new_v4().simple());
        let admin = PgPoolOptions::new().connect_with(options.clone()).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&admin)
            .await
            .unwrap();
        // The service's role owns no object.
        let role = format!("role_{name}");
        let sql = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT TEMPORARY ON DATABASE {name} TO {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&admin).await.unwrap();
        let owner = options.database(&name);
        schema::prepare(&owner, &role).await.unwrap();
        let options = owner.username(&role).password(&role);
        let pool = PgPool::connect_with(Generation(1).options(&options)).await.unwrap();
        Self { pool, options, _server: server }
    }
}

async fn start() -> (Option<Server>, PgConnectOptions) {
    let binaries = binaries();
    let directory = std::env::temp_dir().join(format!("passbook-test-{}", Uuid::new_v4().simple()));
    fs::create_dir(&directory).unwrap();
    let user = unprivileged();
    if let Some(user) = user {
        chown(&directory, Some(user), Some(user)).unwrap();
    }
    let run = |program: &str| {
        let mut command = Command::new(binaries.join(program));
        command.arg("-D").arg(directory.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir(&directory);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command
    };
    let made = run("initdb").args(["-U", "postgres", "-A", "trust", "--no-sync"]).status().unwrap();
    assert!(made.success(), "initdb failed");
    // Only a Unix socket: a port could be in use.
    let settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k"];
    let process = run("postgres").args(settings).arg(&directory).spawn().unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(&directory)
        .username("postgres")
        .database("postgres");
    let server = Server { process, directory };
    for _ in 0..200 {
        if let Ok(pool) = PgPool::connect_with(options.clone()).await {
            pool.close().await;
            return (Some(server), options);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Postgres did not start");
}

fn binaries() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .expect("Postgres binaries in /usr/lib/postgresql, or a server at TEST_DATABASE_URL")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("postgres").exists() && bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("Postgres binaries in /usr/lib/postgresql")
}

/// Returns the user to run Postgres as, because it refuses root.
fn unprivileged() -> Option<u32> {
    let root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let uid = |name: &str| {
        users.lines().find(|l| l.starts_with(&format!("{name}:")))?.split(':').nth(2)?.parse().ok()
    };
    root.then(|| uid("postgres").or_else(|| uid("nobody")).expect("a user `postgres` or `nobody`"))
}
