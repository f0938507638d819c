//! Schema of a service's database. A job that owns the schema runs the migrations; the service only
//! checks the result.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::store_error::{is_connection_lost, is_forbidden, is_misconfigured, is_missing, within};

/// Time that the job waits for an unreachable Postgres.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit of one attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

/// Schema as this build knows it.
#[derive(Debug)]
pub struct Schema {
    /// Name of the Postgres schema.
    pub name: &'static str,
    /// Function that returns the migrations of this build.
    pub migrations: fn() -> Migrator,
    /// Table that lists the migrations applied so far.
    pub applied: &'static str,
    /// Command line of the job that applies them.
    pub job: &'static str,
    /// Names of functions that only other functions of the schema call.
    pub internal: &'static [&'static str],
}

/// Result of a check of the schema.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// This build can use the schema.
    Usable,
    /// The job must run first; the text has the reason and the job.
    Waiting(String),
    /// A newer build made the schema incompatible with this build; the text has the reason.
    TooNew(String),
}

impl Schema {
    /// Returns the schema version of this build.
    pub fn version(&self) -> i64 {
        (self.migrations)().iter().map(|migration| migration.version).max().unwrap_or_default()
    }

    /// Checks that this build can use the schema with the connection's role.
    pub async fn standing(&self, connection: &mut PgConnection) -> sqlx::Result<Standing> {
        let (needed, job) = (self.version(), self.job);
        let applied = match self.applied(connection).await {
            Ok(applied) => applied,
            Err(error) if is_forbidden(&error) => {
                return Ok(Standing::Waiting(format!(
                    "the role has no rights on schema `{}`: run `{job}`",
                    self.name
                )));
            }
            Err(error) => return Err(error),
        };
        if applied < needed {
            return Ok(Standing::Waiting(match applied {
                0 => format!("the database has no schema `{}` yet: run `{job}`", self.name),
                _ => format!(
                    "schema `{}` is at version {applied}, and this build needs version {needed}: \
                     run `{job}`",
                    self.name
                ),
            }));
        }
        if applied > needed {
            // The job of this build has granted what it needs. It does not know which other objects
            // are for the owner only.
            let too_new = self.too_new(connection, applied).await?;
            return Ok(too_new.map_or(Standing::Usable, Standing::TooNew));
        }
        Ok(match self.forbidden(connection).await? {
            Some(object) => {
                Standing::Waiting(format!("the role has no rights on {object}: run `{job}`"))
            }
            None => Standing::Usable,
        })
    }

    /// Returns the applied version; 0 if there is no schema.
    async fn applied(&self, connection: &mut PgConnection) -> sqlx::Result<i64> {
        let sql = format!("SELECT coalesce(max(version), 0) FROM {} WHERE success", self.applied);
        match sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await {
            Err(error) if is_missing(&error) => Ok(0),
            found => found,
        }
    }

    /// Returns the reason why this build cannot use the schema of a newer build, if there is one.
    async fn too_new(
        &self,
        connection: &mut PgConnection,
        applied: i64,
    ) -> sqlx::Result<Option<String>> {
        let sql = format!("SELECT oldest_build FROM {}.compatibility", self.name);
        let oldest: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?;
        let known = self.version();
        if oldest <= known {
            tracing::info!(
                schema = self.name,
                applied,
                known,
                "the schema is newer than this build, and compatible"
            );
            return Ok(None);
        }
        Ok(Some(format!(
            "schema `{}` is at version {applied}: it needs a build that knows version {oldest}, \
             and this one knows {known}",
            self.name
        )))
    }

    /// Returns a table that the role cannot read, or a function that it cannot execute.
    async fn forbidden(&self, connection: &mut PgConnection) -> sqlx::Result<Option<String>> {
        // Not trigger functions, which nobody calls directly.
        let sql = "SELECT 'table ' || c.oid::regclass FROM pg_class AS c
                    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
                      AND NOT has_table_privilege(c.oid, 'SELECT')
                   UNION ALL
                   SELECT 'function ' || p.oid::regproc FROM pg_proc AS p
                    WHERE p.pronamespace = to_regnamespace($1)
                      AND p.prorettype <> 'trigger'::regtype
                      AND p.proname <> ALL ($2) AND NOT has_function_privilege(p.oid, 'EXECUTE')
                    LIMIT 1";
        sqlx::query_scalar(sql).bind(self.name).bind(self.internal).fetch_optional(connection).await
    }

    /// Connects as the owner of the schema, and blocks other jobs until the connection ends. Waits
    /// up to a minute for an unreachable Postgres.
    ///
    /// # Errors
    /// Fails if Postgres stays unreachable or refuses the connection.
    pub async fn own(&self, owner: &PgConnectOptions) -> anyhow::Result<PgConnection> {
        let deadline = Instant::now() + PATIENCE;
        // By default, a role named like the schema would look for the applied migrations in it.
        let owner =
            owner.clone().application_name("passbook-migrate").options([("search_path", "public")]);
        let mut connection = loop {
            match within(CONNECT, owner.connect()).await {
                Ok(connection) => break connection,
                Err(error)
                    if is_misconfigured(&error)
                        || !is_connection_lost(&error)
                        || Instant::now() > deadline =>
                {
                    return Err(error).context("the owner of the schema can't connect to Postgres");
                }
                Err(error) => tracing::warn!(%error, "waiting for Postgres"),
            }
            sleep(RETRY).await;
        };
        let lock = sqlx::query("SELECT pg_advisory_lock(hashtextextended('migrate ' || $1, 0))");
        lock.bind(self.name).execute(&mut connection).await?;
        Ok(connection)
    }

    /// Migrates the schema to this build's version. A newer, compatible schema stays unchanged.
    ///
    /// # Errors
    /// Fails if a migration fails, or the schema is newer and not compatible.
    pub async fn migrate(&self, owner: &mut PgConnection) -> anyhow::Result<()> {
        let applied = self.applied(owner).await?;
        if applied > self.version() {
            return match self.too_new(owner, applied).await? {
                Some(too_new) => bail!(too_new),
                None => Ok(()),
            };
        }
        let migrator = (self.migrations)();
        migrator.run_direct(None, owner, false).await.context("the schema can't be migrated")?;
        tracing::info!(schema = self.name, version = self.version(), "the schema is up to date");
        Ok(())
    }

    /// Grants a role the right to read every table and to call every function that is not internal,
    /// and revokes all other rights. `further` returns further statements for the quoted role. The
    /// owner of the schema keeps its rights. On a newer schema, the rights stay as the job of the
    /// newer build has granted them.
    pub async fn grant(
        &self,
        owner: &mut PgConnection,
        role: &str,
        further: impl FnOnce(&str) -> String,
    ) -> anyhow::Result<()> {
        let is_owner: bool = sqlx::query_scalar("SELECT current_user = $1")
            .bind(role)
            .fetch_one(&mut *owner)
            .await?;
        if self.applied(owner).await? > self.version() {
            return Ok(());
        }
        let (schema, applied) = (self.name, self.applied);
        let mut sql = format!("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC;");
        if !is_owner {
            let role = format!("\"{}\"", role.replace('"', "\"\""));
            let functions = self.functions(owner).await?;
            sql += &format!(
                // Revoked first: an earlier build may have granted more.
                "REVOKE ALL ON SCHEMA {schema} FROM {role};
                 REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};
                 REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {role};
                 REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM {role};
                 GRANT USAGE ON SCHEMA {schema} TO {role};
                 GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role};
                 GRANT SELECT ON {applied} TO {role};
                 GRANT EXECUTE ON FUNCTION {functions} TO {role};
                 {further}",
                functions = functions.join(", "),
                further = further(&role)
            );
        }
        // One transaction: a running service never sees its rights revoked and not granted again.
        let mut transaction = owner.begin().await?;
        // The quoted role is the only part of the statements that comes from outside.
        let granted = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await;
        granted.with_context(|| format!("the role `{role}` can't be granted its rights"))?;
        transaction.commit().await.map_err(Into::into)
    }

    async fn functions(&self, owner: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        let sql = "SELECT p.oid::regprocedure::text FROM pg_proc AS p
                    WHERE p.pronamespace = to_regnamespace($1)
                      AND p.prorettype <> 'trigger'::regtype
                      AND p.proname <> ALL ($2)
                    ORDER BY p.oid";
        sqlx::query_scalar(sql).bind(self.name).bind(self.internal).fetch_all(owner).await
    }
}
