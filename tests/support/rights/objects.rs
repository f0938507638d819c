//! Statements on functions, triggers, types, schemas, roles and the server.

use sqlx::{AssertSqlSafe, Executor, Row};

use super::{Matrix, OURS};

pub(super) async fn check(matrix: &mut Matrix<'_>) -> anyhow::Result<usize> {
    let mut statements = Vec::new();
    for sql in [FUNCTIONS, TRIGGERS, TYPES, SCHEMAS] {
        let sql = sql.replace("{OURS}", OURS);
        for row in matrix.owner.fetch_all(AssertSqlSafe(sql)).await? {
            let of_object: Vec<String> = row.try_get(0)?;
            statements.extend(of_object);
        }
    }
    anyhow::ensure!(statements.len() > 50, "{statements:?}");
    let role: String =
        sqlx::query_scalar("SELECT current_user").fetch_one(&mut *matrix.role).await?;
    let roles: Vec<String> =
        sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname <> $1")
            .bind(&role)
            .fetch_all(&mut *matrix.owner)
            .await?;
    statements.extend(roles.iter().flat_map(|other| of_role(other)));
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut *matrix.owner).await?;
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *matrix.owner).await?;
    statements.extend(of_server(&role, &database, pid));
    // Not in a transaction, where Postgres refuses it to everyone.
    let alter = "ALTER SYSTEM SET fsync = off";
    let done = matrix.role.execute(alter).await;
    matrix.compare(alter, done.map(drop), false);
    matrix.refuses(statements).await
}

/// Statements on each function: its own definition again, and others.
const FUNCTIONS: &str = "SELECT ARRAY[
        pg_get_functiondef(p.oid),
        format('ALTER FUNCTION %s SECURITY INVOKER', p.oid::regprocedure),
        format('ALTER FUNCTION %s RESET ALL', p.oid::regprocedure),
        format('ALTER FUNCTION %s OWNER TO CURRENT_USER', p.oid::regprocedure),
        format('DROP FUNCTION %s', p.oid::regprocedure)]
   FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {OURS}";

const TRIGGERS: &str = "SELECT ARRAY[
        format('ALTER TABLE %s DISABLE TRIGGER %I', t.tgrelid::regclass, t.tgname),
        format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)]
   FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
   JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {OURS} AND NOT t.tgisinternal";

const TYPES: &str = "SELECT ARRAY[
        format('DROP TYPE %s CASCADE', t.oid::regtype),
        format('ALTER TYPE %s OWNER TO CURRENT_USER', t.oid::regtype)]
   FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid AND c.relkind = 'c'
   JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE {OURS}";

const SCHEMAS: &str = "SELECT ARRAY[
        format('CREATE TABLE %I.mine ()', n.nspname),
        format('CREATE VIEW %I.mine AS SELECT 1', n.nspname),
        format('CREATE TYPE %I.mine AS (a int)', n.nspname),
        format('CREATE SEQUENCE %I.mine', n.nspname),
        format('CREATE FUNCTION %I.mine() RETURNS int LANGUAGE sql AS ''SELECT 1''', n.nspname),
        format('CREATE OPERATOR %I.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = uuid_ne)',
               n.nspname),
        format('ALTER SCHEMA %I RENAME TO mine', n.nspname),
        format('ALTER SCHEMA %I OWNER TO CURRENT_USER', n.nspname),
        format('DROP SCHEMA %I CASCADE', n.nspname)]
   FROM pg_namespace AS n WHERE {OURS}";

/// Returns statements that take over another role.
fn of_role(other: &str) -> Vec<String> {
    let mut statements =
        vec![format!("SET ROLE \"{other}\""), format!("SET SESSION AUTHORIZATION \"{other}\"")];
    // Nobody can be granted the role of the owners.
    if other != "pg_database_owner" {
        statements.push(format!("GRANT \"{other}\" TO CURRENT_USER"));
    }
    // Nobody can alter a predefined role.
    if !other.starts_with("pg_") {
        statements.push(format!("ALTER ROLE \"{other}\" PASSWORD 'mine'"));
    }
    statements
}

/// Returns statements on the role itself, its database, and the server.
fn of_server(role: &str, database: &str, pid: i32) -> Vec<String> {
    let mut statements = vec![
        format!("ALTER ROLE \"{role}\" SUPERUSER"),
        format!("ALTER ROLE \"{role}\" BYPASSRLS"),
        format!("ALTER ROLE \"{role}\" CONNECTION LIMIT -1"),
        format!("ALTER DATABASE \"{database}\" SET session_replication_role = replica"),
        format!("ALTER DATABASE \"{database}\" OWNER TO CURRENT_USER"),
        format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE pg_database_owner GRANT ALL ON TABLES TO PUBLIC"
        ),
        format!("SELECT pg_terminate_backend({pid})"),
        format!("SELECT pg_cancel_backend({pid})"),
    ];
    let constant = [
        "SET session_replication_role = replica",
        "SET log_statement = 'none'",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION pg_trgm",
        "CREATE ROLE mine",
        "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION pg_catalog.now()",
        "CREATE PUBLICATION mine FOR ALL TABLES",
        "CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "UPDATE pg_catalog.pg_proc SET prosecdef = false",
        "SELECT * FROM pg_catalog.pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/mine')",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'mine')",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_physical_replication_slot('mine')",
    ];
    statements.extend(constant.map(str::to_owned));
    statements
}
