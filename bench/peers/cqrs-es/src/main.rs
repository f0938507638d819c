//! The deposits of `passbook bench append`, by cqrs-es on the same Postgres: concurrent clients,
//! each to its own accounts in turn. Usage: `peer-cqrs-es DATABASE_URL [SECONDS]`, with a role that
//! may create databases. Prints commands per second by number of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const ACCOUNTS: usize = 10_000;
const CLIENTS: [usize; 5] = [1, 8, 16, 64, 256];

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
}

struct Deposit {
    amount: i64,
    reference: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct MoneyDeposited {
    amount: i64,
    reference: String,
}

impl DomainEvent for MoneyDeposited {
    fn event_type(&self) -> String {
        "MoneyDeposited".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an amount is positive")
    }
}

impl std::error::Error for Refused {}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Deposit;
    type Event = MoneyDeposited;
    type Error = Refused;
    type Services = ();

    async fn handle(
        &mut self,
        Deposit { amount, reference }: Deposit,
        _: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refused> {
        if amount <= 0 {
            return Err(Refused);
        }
        sink.write(MoneyDeposited { amount, reference: reference.to_owned() }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: MoneyDeposited) {
        self.balance += event.amount;
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("the first argument is a URL of Postgres")?;
    let seconds = arguments.next().map_or(Ok(8), |seconds| seconds.parse())?;
    let name = format!("peer_{}", Uuid::new_v4().simple());
    let mut admin = PgConnection::connect(&url).await?;
    sqlx::query(&format!("CREATE DATABASE {name}")).execute(&mut admin).await?;
    let measured = measure(&url, &name, Duration::from_secs(seconds)).await;
    sqlx::query(&format!("DROP DATABASE {name} WITH (FORCE)")).execute(&mut admin).await?;
    measured
}

async fn measure(url: &str, database: &str, time: Duration) -> anyhow::Result<()> {
    let (server, _) = url.rsplit_once('/').context("the URL names a database")?;
    let pool = default_postgress_pool(&format!("{server}/{database}")).await;
    // The table of the crate's own documentation.
    sqlx::query(
        "CREATE TABLE events (
             aggregate_type text NOT NULL,
             aggregate_id text NOT NULL,
             sequence bigint CHECK (sequence >= 0) NOT NULL,
             event_type text NOT NULL,
             event_version text NOT NULL,
             payload json NOT NULL,
             metadata json NOT NULL,
             PRIMARY KEY (aggregate_type, aggregate_id, sequence)
         )",
    )
    .execute(&pool)
    .await?;
    let cqrs: Arc<PostgresCqrs<Account>> = Arc::new(postgres_cqrs(pool, Vec::new(), ()));
    let accounts: Arc<[String]> = (0..ACCOUNTS).map(|_| Uuid::new_v4().to_string()).collect();
    for clients in CLIENTS {
        deposits(&cqrs, &accounts, clients, Duration::from_secs(1)).await?;
        let started = Instant::now();
        let count = deposits(&cqrs, &accounts, clients, time).await?;
        let rate = count as f64 / started.elapsed().as_secs_f64();
        println!("cqrs-es, {clients} clients: {rate:.0} per second");
    }
    Ok(())
}

async fn deposits(
    cqrs: &Arc<PostgresCqrs<Account>>,
    accounts: &Arc<[String]>,
    clients: usize,
    time: Duration,
) -> anyhow::Result<usize> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for client in 0..clients {
        let (cqrs, accounts, stop) = (Arc::clone(cqrs), Arc::clone(accounts), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let account = &accounts[(client + count * clients) % accounts.len()];
                let deposit = Deposit { amount: 1250, reference: "invoice 2026-0001" };
                cqrs.execute(account, deposit).await?;
                count += 1;
            }
            anyhow::Ok(count)
        }));
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count)
}
