//! Backups of the log as further schemas of its database.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::environment::Environment;

/// Tables of the log.
const TABLES: [&str; 8] =
    ["log_head", "events", "commands", "holds", "transfers", "reversals", "snapshots", "epochs"];

pub(super) struct Backups {
    connection: PgConnection,
    pub(super) count: usize,
}

impl Backups {
    pub(super) async fn of(environment: &Environment) -> anyhow::Result<Self> {
        Ok(Self { connection: PgConnection::connect(&environment.database_url).await?, count: 0 })
    }

    /// Takes a backup of one moment and returns its number.
    pub(super) async fn take(&mut self) -> anyhow::Result<usize> {
        let number = self.count;
        let copies = TABLES.map(|table| {
            format!("CREATE TABLE backup_{number}.{table} AS TABLE passbook.{table};")
        });
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE SCHEMA backup_{number}; {} COMMIT;",
            copies.concat()
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await?;
        self.count += 1;
        Ok(number)
    }

    /// Restores a backup, and terminates all other connections.
    pub(super) async fn restore(&mut self, number: usize) -> anyhow::Result<()> {
        let locked = TABLES.map(|table| format!("passbook.{table}")).join(", ");
        let copied = TABLES.map(|table| {
            format!(
                "TRUNCATE passbook.{table};
                 INSERT INTO passbook.{table} SELECT * FROM backup_{number}.{table};"
            )
        });
        let sql = format!(
            "BEGIN;
             SET LOCAL session_replication_role = replica;
             LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND usename <> current_user;
             {} COMMIT;",
            copied.concat()
        );
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection).await.map(drop)?)
    }
}
