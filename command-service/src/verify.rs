//! `command-service verify`: has the whole log checked, by the database alone.

use anyhow::{Context, bail};
use passbook_shared::difference::Findings;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::log::check::Checker;
use crate::log::store::{self, Store};

/// Events folded at once.
const PAGE: usize = 20_000;

/// Checks every partition, and prints what was found.
///
/// # Errors
/// Postgres can't be reached or refuses, or there are differences.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) async fn verify(database: &PgConnectOptions) -> anyhow::Result<()> {
    let mut connection =
        database.connect().await.context("DATABASE_URL: Postgres can't be used")?;
    let Store { partitions, .. } =
        store::find(&mut connection).await?.context("there is no store yet")?;
    let checker = Checker::new(database.clone(), partitions);
    let (mut events, mut accounts, mut findings) = (0, 0, Findings::default());
    for partition in 0..partitions {
        let mut cursor = None;
        loop {
            let page = checker.page(partition, cursor, PAGE).await?;
            events += page.events;
            accounts += page.accounts;
            findings.merge(page.findings);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    println!("done: {events} events, {accounts} accounts, {} differences", findings.count);
    for sample in &findings.samples {
        println!("  {}", serde_json::to_string(sample)?);
    }
    match findings.count {
        0 => Ok(()),
        count => bail!(
            "the log breaks its rules, or what is kept beside it is not what its events give: {count} differences"
        ),
    }
}
