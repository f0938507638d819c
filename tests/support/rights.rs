//! Matrix of the rights of a role of a service: statements times all objects of a database. The
//! catalog lists the objects, so that a new table or function is covered without a change here.

#[path = "rights/objects.rs"]
mod objects;
#[path = "rights/tables.rs"]
mod tables;

use anyhow::{Context, ensure};
use passbook_shared::store_error::is_forbidden;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Objects that a role may write, and the reason. Everything else is refused.
pub(crate) struct Permitted {
    /// Names of the objects with their schemas.
    pub(crate) objects: &'static [&'static str],
    /// `INSERT`, `UPDATE`, `DELETE`, or `USAGE` of a sequence.
    pub(crate) rights: &'static [&'static str],
    #[expect(dead_code, reason = "for readers: no exception without a reason")]
    pub(crate) reason: &'static str,
}

/// Connections to one database, and what its service's role may do there.
pub(crate) struct Matrix<'a> {
    /// Connection as the owner of the schema or as a superuser.
    owner: &'a mut PgConnection,
    /// Connection as the role of the service.
    role: &'a mut PgConnection,
    permitted: &'a [Permitted],
    /// Statements with another outcome than the intended one.
    violations: Vec<String>,
}

/// Namespaces of Postgres itself.
const OURS: &str = "n.nspname !~ '^(pg_|information_schema$)'";

/// Every right of everyone, and every definition.
const FINGERPRINT: &str = "SELECT md5(concat(
    (SELECT string_agg(concat_ws(',', oid, relname, relowner, relacl, relkind, relrowsecurity), ';'
                       ORDER BY oid)
       FROM pg_class WHERE relpersistence <> 't'),
    (SELECT string_agg(concat_ws(',', oid, proowner, proacl, prosrc, prosecdef, proconfig), ';'
                       ORDER BY oid)
       FROM pg_proc),
    (SELECT string_agg(concat_ws(',', oid, tgenabled), ';' ORDER BY oid) FROM pg_trigger),
    (SELECT string_agg(concat_ws(',', oid, nspowner, nspacl), ';' ORDER BY oid)
       FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp')))";

impl<'a> Matrix<'a> {
    pub(crate) fn new(
        owner: &'a mut PgConnection,
        role: &'a mut PgConnection,
        permitted: &'a [Permitted],
    ) -> Self {
        Self { owner, role, permitted, violations: Vec::new() }
    }

    /// Tries every statement on every object, and returns the number of statements.
    ///
    /// # Errors
    /// A statement was not refused with 42501 though nothing permits it, or was refused though
    /// something does, or changed the catalog.
    pub(crate) async fn check(mut self) -> anyhow::Result<usize> {
        let before = fingerprint(self.owner).await?;
        let tried = tables::check(&mut self).await? + objects::check(&mut self).await?;
        ensure!(self.violations.is_empty(), "{}", self.violations.join("\n"));
        ensure!(
            fingerprint(self.owner).await? == before,
            "a refused statement changed the catalog"
        );
        Ok(tried)
    }

    fn permits(&self, object: &str, right: &str) -> bool {
        let mut of_object = self.permitted.iter().filter(|entry| entry.objects.contains(&object));
        of_object.any(|entry| entry.rights.contains(&right))
    }

    /// Tries a statement in a transaction that ends without a commit.
    async fn expect(&mut self, sql: &str, is_permitted: bool) -> anyhow::Result<()> {
        let mut transaction = self.role.begin().await?;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction).await;
        transaction.rollback().await?;
        self.compare(sql, done.map(drop), is_permitted);
        Ok(())
    }

    fn compare(&mut self, sql: &str, done: sqlx::Result<()>, is_permitted: bool) {
        match done {
            Ok(()) if is_permitted => {}
            Err(error) if !is_permitted && is_forbidden(&error) => {}
            Ok(()) => self.violations.push(format!("not refused: {sql}")),
            Err(error) => self.violations.push(format!("{error}: {sql}")),
        }
    }

    async fn refuses(&mut self, statements: Vec<String>) -> anyhow::Result<usize> {
        for sql in &statements {
            self.expect(sql, false).await?;
        }
        Ok(statements.len())
    }
}

async fn fingerprint(owner: &mut PgConnection) -> anyhow::Result<String> {
    sqlx::query_scalar(FINGERPRINT).fetch_one(owner).await.context("the catalog cannot be read")
}
