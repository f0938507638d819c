//! Databases of the services and their roles. Preparation runs at every start, so that it completes
//! what a crash left unfinished.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Cluster;

/// Database of the log, and role of the command-service.
pub(super) const COMMAND: &str = "passbook_command";
/// Owner of the log's tables, used by migrations only.
pub(super) const OWNER: &str = "passbook_owner";
/// Database of the views, and role of the projection-service.
pub(super) const PROJECTION: &str = "passbook_projection";
/// Owner of the views' tables, used by migrations only.
pub(super) const PROJECTION_OWNER: &str = "passbook_projection_owner";

/// A service's database, and those who use it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceDatabase {
    pub(super) name: &'static str,
    pub(super) owner: &'static str,
    /// Role of the service.
    pub(super) role: &'static str,
    /// Privileges of the role on the database.
    privileges: &'static str,
}

/// Database of the log.
pub(super) const LOG: ServiceDatabase =
    ServiceDatabase { name: COMMAND, owner: OWNER, role: COMMAND, privileges: "CONNECT" };
/// Database of the views. A rewind uses a temporary table.
pub(super) const VIEWS: ServiceDatabase = ServiceDatabase {
    name: PROJECTION,
    owner: PROJECTION_OWNER,
    role: PROJECTION,
    privileges: "CONNECT, TEMPORARY",
};

pub(super) async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&cluster.admin_url("postgres")).await?;
    let secrets = &cluster.secrets;
    for (role, password) in [
        (OWNER, &secrets.owner),
        (COMMAND, &secrets.command),
        (PROJECTION_OWNER, &secrets.projection_owner),
        (PROJECTION, &secrets.projection),
    ] {
        if !exists(&mut connection, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
            .await?
        {
            run(&mut connection, format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'")).await?;
        }
        // A repeated idempotency key is an error to Postgres but routine here; the services log
        // what matters.
        run(&mut connection, format!("ALTER ROLE {role} SET log_min_messages = 'log'")).await?;
    }
    for database in [LOG, VIEWS] {
        let ServiceDatabase { name, owner, .. } = database;
        if !exists(
            &mut connection,
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
            name,
        )
        .await?
        {
            let create = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
            run(&mut connection, create).await?;
        }
    }
    disown(cluster).await?;
    for database in [LOG, VIEWS] {
        without_large_objects(cluster, database.name).await?;
    }
    run(&mut connection, "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC".to_owned())
        .await?;
    // Last, because a new owner of a database takes over the privileges of the old one.
    for database in [LOG, VIEWS] {
        restrict(&mut connection, database.name, database).await?;
    }
    Ok(connection.close().await?)
}

/// Transfers what the projection-service's role owns to the owner: earlier versions had one role
/// for both.
async fn disown(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&cluster.admin_url(PROJECTION)).await?;
    run(&mut connection, format!("ALTER DATABASE {PROJECTION} OWNER TO {PROJECTION_OWNER}"))
        .await?;
    run(&mut connection, format!("REASSIGN OWNED BY {PROJECTION} TO {PROJECTION_OWNER}")).await?;
    Ok(connection.close().await?)
}

/// Takes from all roles the right to create large objects, which Postgres grants to every one.
async fn without_large_objects(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&cluster.admin_url(database)).await?;
    let revoke = "REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), \
                  lo_from_bytea(oid, bytea) FROM PUBLIC";
    run(&mut connection, revoke.to_owned()).await?;
    Ok(connection.close().await?)
}

/// Closes the database `name` to all but the role that is to use it like `database`.
pub(super) async fn restrict(
    connection: &mut PgConnection,
    name: &str,
    database: ServiceDatabase,
) -> sqlx::Result<()> {
    let ServiceDatabase { role, privileges, .. } = database;
    // By default, every role may connect to every database.
    run(connection, format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC")).await?;
    run(connection, format!("GRANT {privileges} ON DATABASE {name} TO {role}")).await
}

async fn exists(
    connection: &mut PgConnection,
    query: &'static str,
    name: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(query).bind(name).fetch_one(connection).await
}

/// Runs a statement that cannot take parameters. Its variable parts are constants and hex digits,
/// so nothing needs quoting.
pub(super) async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}
