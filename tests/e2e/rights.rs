//! Rights of both services' roles, on the Postgres of the end-to-end tests.

#[path = "../support/rights.rs"]
mod matrix;
#[path = "../support/views_rights.rs"]
mod permitted;

use anyhow::ensure;
use passbook_shared::store_error::is_forbidden;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, raw_sql};

use self::matrix::{Matrix, Permitted};
use self::permitted::PERMITTED;
use crate::environment::Environment;

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_on_every_object_is_refused_unless_it_is_listed() -> anyhow::Result<()> {
    let environment = Environment::new("rights").await?;
    let log = (&environment.database_url, &environment.command_role_url, &[][..]);
    let views = (
        &environment.projection_database_url,
        &environment.projection_role_url,
        &PERMITTED[..] as &[Permitted],
    );
    for (owner, role, permitted) in [log, views] {
        let mut owner = PgConnection::connect(owner).await?;
        let mut role = PgConnection::connect(role).await?;
        let matrix = Matrix::new(&mut owner, &mut role, permitted);
        eprintln!("{} statements", matrix.check().await?);
    }
    Ok(())
}

/// Checks that no service's role can enter the other service's database, and that neither can take
/// over the other role.
#[tokio::test(flavor = "multi_thread")]
async fn a_services_role_does_not_enter_the_other_database() -> anyhow::Result<()> {
    let environment = Environment::new("rights_elsewhere").await?;
    let [log, views]: [PgConnectOptions; 2] =
        [environment.command_role_url.parse()?, environment.projection_role_url.parse()?];
    for (role, other) in [(&log, &views), (&views, &log)] {
        let (role, other) = (role.clone(), other.clone());
        let own = role.connect().await;
        ensure!(own.is_ok(), "{}: {own:?}", role.get_username());
        let elsewhere = role.clone().database(other.get_database().unwrap_or_default());
        let connected = elsewhere.connect().await;
        ensure!(connected.as_ref().is_err_and(is_forbidden), "{connected:?}");
        let taken = format!("SET ROLE {}", other.get_username());
        let taken = raw_sql(sqlx::AssertSqlSafe(taken)).execute(&mut own?).await;
        ensure!(taken.as_ref().is_err_and(is_forbidden), "{taken:?}");
    }
    Ok(())
}
