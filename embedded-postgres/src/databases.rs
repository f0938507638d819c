//! A database for each service, and the roles that use them. Run at every start: what a crash left half-made is completed.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Cluster;

/// Database of the log, and the role that the command-service appends with.
pub(super) const COMMAND: &str = "passbook_command";
/// Owner of the log's database: makes its tables, and nothing else.
pub(super) const OWNER: &str = "passbook_owner";
/// Database of the views, and the role that the projection-service applies events and answers queries with.
pub(super) const PROJECTION: &str = "passbook_projection";
/// Owner of the views' database: makes its tables, and nothing else.
pub(super) const PROJECTION_OWNER: &str = "passbook_projection_owner";

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
        // A repeated idempotency key is an error to Postgres, and no line in its log: the services report their own.
        run(&mut connection, format!("ALTER ROLE {role} SET log_min_messages = 'log'")).await?;
    }
    for (database, owner, user) in
        [(COMMAND, OWNER, COMMAND), (PROJECTION, PROJECTION_OWNER, PROJECTION)]
    {
        if !exists(
            &mut connection,
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
            database,
        )
        .await?
        {
            run(
                &mut connection,
                format!("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0"),
            )
            .await?;
        }
        run(&mut connection, format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC")).await?;
        run(&mut connection, format!("GRANT CONNECT ON DATABASE {database} TO {user}")).await?;
    }
    connection.close().await?;
    disown(cluster).await
}

/// Gives what the projection-service's role owns in its database to the owner: an earlier version had one role for both.
async fn disown(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&cluster.admin_url(PROJECTION)).await?;
    run(&mut connection, format!("ALTER DATABASE {PROJECTION} OWNER TO {PROJECTION_OWNER}"))
        .await?;
    run(&mut connection, format!("REASSIGN OWNED BY {PROJECTION} TO {PROJECTION_OWNER}")).await?;
    // A rewind has a temporary table.
    run(
        &mut connection,
        format!("GRANT CONNECT, TEMPORARY ON DATABASE {PROJECTION} TO {PROJECTION}"),
    )
    .await?;
    Ok(connection.close().await?)
}

async fn exists(
    connection: &mut PgConnection,
    query: &'static str,
    name: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(query).bind(name).fetch_one(connection).await
}

/// Statements that take no parameters; what is put into them are our own constants and random hex digits.
async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}
