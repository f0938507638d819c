//! `command-service verify`: checks the whole log, using only the database.

use anyhow::{Context, bail};
use passbook_shared::difference::Findings;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::log::check::Checker;
use crate::log::store::{self, Store};

/// Approximate number of events in one page of the check.
const PAGE: usize = 20_000;

/// Checks every partition and prints the differences.
///
/// # Errors
/// Postgres fails, or there are differences.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
pub(crate) async fn verify(database: &PgConnectOptions) -> anyhow::Result<()> {
    let mut connection =
        database.connect().await.context("DATABASE_URL: Postgres cannot be used")?;
    let Store { partitions, .. } =
        store::find(&mut connection).await?.context("there is no store yet")?;
    let checker = Checker::new(database.clone(), partitions);
    let (mut events, mut accounts, mut findings) = (0, 0, Findings::default());
    for partition in partitions.all() {
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
            "the log violates its rules or derived rows differ from its events: {count} differences"
        ),
    }
}
