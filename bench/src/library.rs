//! Lanes without HTTP, relay or projection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use command_service::config::lanes::LaneConfig;
use command_service::domain::Command;
use command_service::lanes::{LaneDeps, Lanes};
use command_service::log::clock::LogClock;
use command_service::log::snapshot_key::SnapshotKey;
use command_service::log::{snapshots, store};
use command_service::outcome::Outcome;
use command_service::request::CommandRequest;
use command_service::restore::standing::Standing;
use command_service::writes::Writes;
use passbook_shared::access::Reach;
use passbook_shared::event::{AccountOpened, MoneyMoved};
use passbook_shared::health::Health;
use passbook_shared::money::Amount;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use passbook_shared::text::{Metadata, Owner, Reference};
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::samples::Samples;
use crate::servers::Environment;

/// Settings of the lanes, from the environment and the defaults as in a service.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Settings {
    #[command(flatten)]
    config: command_service::Config,
}

/// Lanes in this process.
pub(crate) struct Library {
    pub(crate) lanes: Lanes,
    pub(crate) pool: PgPool,
    tasks: Tasks,
}

impl Library {
    pub(crate) async fn start(environment: &Environment) -> anyhow::Result<Self> {
        let Settings { config } =
            Settings::try_parse_from(["--database-url", &environment.database_url])?;
        let pool = PgPool::connect(&environment.database_url).await?;
        let store =
            store::find(&mut *pool.acquire().await?).await?.context("the log has no store")?;
        let mut tasks = Tasks::new(CancellationToken::new());
        let (to_relay, mut from_lanes) = mpsc::channel(1024);
        let (to_snapshots, snapshots) =
            snapshots::queue(SnapshotKey::new(b"of tests and benchmarks"));
        let lane_config = LaneConfig::from(&config);
        let deps = LaneDeps {
            partitions: store.partitions,
            clock: LogClock::read(&pool, store.partitions).await?,
            pool: pool.clone(),
            relay: to_relay,
            snapshots: to_snapshots,
            writes: Writes::default(),
            standing: Standing::new(Health::default()),
        };
        let lanes = Lanes::start(deps, &lane_config, &mut tasks);
        tasks.spawn("a sink in place of the relay", async move {
            while from_lanes.recv().await.is_some() {}
            Ok(())
        });
        tasks.spawn("the snapshots", snapshots::run(pool.clone(), snapshots));
        Ok(Self { lanes, pool, tasks })
    }

    /// Opens `count` accounts.
    pub(crate) async fn open(&self, count: usize) -> anyhow::Result<Arc<[Uuid]>> {
        let accounts: Arc<[Uuid]> = (0..count).map(|_| Uuid::new_v4()).collect();
        for some in accounts.chunks(1000) {
            let opened = some.iter().map(|account| {
                let lanes = self.lanes.clone();
                let request = opening(*account);
                tokio::spawn(async move {
                    lanes.submit(request?).await.map_err(anyhow::Error::from).and_then(accepted)
                })
            });
            for opened in opened.collect::<Vec<_>>() {
                opened.await??;
            }
        }
        Ok(accounts)
    }

    /// Deposits from `clients` concurrent clients, each to its own accounts in turn. Returns the
    /// latencies and the elapsed seconds.
    pub(crate) async fn deposits(
        &self,
        clients: usize,
        accounts: &Arc<[Uuid]>,
        time: Duration,
    ) -> anyhow::Result<(Samples, f64)> {
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let (lanes, stop, accounts) =
                    (self.lanes.clone(), Arc::clone(&stop), Arc::clone(accounts));
                tokio::spawn(async move {
                    let mut samples = Samples::default();
                    let mut turn = client;
                    while !stop.load(Ordering::Relaxed) {
                        let request = deposit(accounts[turn % accounts.len()])?;
                        turn += clients;
                        let sent = Instant::now();
                        accepted(lanes.submit(request).await?)?;
                        samples.add(sent.elapsed());
                    }
                    anyhow::Ok(samples)
                })
            })
            .collect();
        tokio::time::sleep(time).await;
        stop.store(true, Ordering::Relaxed);
        let mut samples = Samples::default();
        for task in tasks {
            samples.merge(task.await??);
        }
        Ok((samples, started.elapsed().as_secs_f64()))
    }

    /// Makes `deposits` deposits from each of `clients` concurrent clients.
    pub(crate) async fn each(
        &self,
        clients: usize,
        deposits: usize,
        accounts: &Arc<[Uuid]>,
    ) -> anyhow::Result<()> {
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let (lanes, accounts) = (self.lanes.clone(), Arc::clone(accounts));
                tokio::spawn(async move {
                    for turn in 0..deposits {
                        accepted(
                            lanes
                                .submit(deposit(
                                    accounts[(client + turn * clients) % accounts.len()],
                                )?)
                                .await?,
                        )?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(())
    }

    /// Makes one deposit to the first account.
    pub(crate) async fn deposit(&self, account: &[Uuid]) -> anyhow::Result<()> {
        accepted(self.lanes.submit(deposit(account[0])?).await?)
    }

    /// Makes `deposits` deposits to the first account.
    pub(crate) async fn fill(&self, account: &[Uuid], deposits: usize) -> anyhow::Result<()> {
        let mut left = deposits;
        while left > 0 {
            let now = left.min(1000);
            let sent = (0..now)
                .map(|_| Ok(self.lanes.submit(deposit(account[0])?)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            for answer in futures_util::future::join_all(sent).await {
                accepted(answer?)?;
            }
            left -= now;
        }
        Ok(())
    }

    /// Sends commands to all lanes, so that each connects.
    pub(crate) async fn warm(&self) -> anyhow::Result<()> {
        self.open(16).await.map(drop)
    }

    /// Shuts the lanes down.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self { lanes, pool, tasks } = self;
        // First, because `wait` reports a task that ends before the shutdown.
        tasks.shutdown().cancel();
        drop(lanes);
        tasks.wait().await?;
        pool.close().await;
        Ok(())
    }
}

fn request(account_id: Uuid, command: Command) -> CommandRequest {
    let idempotency_key = Some(Uuid::new_v4().to_string());
    let context = CommandContext { idempotency_key, ..CommandContext::default() };
    CommandRequest {
        account_id,
        command,
        reach: Reach::default(),
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::now_v7(),
        context,
    }
}

pub(crate) fn opening(account_id: Uuid) -> anyhow::Result<CommandRequest> {
    let owner = Owner::new("bench").map_err(|error| anyhow!(error))?;
    let currency = "EUR".parse().map_err(|error: String| anyhow!(error))?;
    let metadata = Metadata::default();
    let opening = AccountOpened {
        owner,
        currency,
        initial_deposit: 0,
        overdraft_limit: 0,
        effective_at: None,
        metadata,
        tenant: None,
    };
    Ok(request(account_id, Command::Open(opening)))
}

pub(crate) fn deposit(account_id: Uuid) -> anyhow::Result<CommandRequest> {
    let reference = Some(Reference::new("invoice 2026-0001").map_err(|error| anyhow!(error))?);
    let amount = Amount::new(1250).context("an amount")?;
    let deposit = MoneyMoved {
        amount,
        reference,
        effective_at: None,
        metadata: Metadata::default(),
        allow_backdated_overdraft: false,
    };
    Ok(request(account_id, Command::Deposit(deposit)))
}

fn accepted(outcome: Outcome) -> anyhow::Result<()> {
    match outcome {
        Outcome::Accepted { .. } => Ok(()),
        Outcome::Refused { refusal, .. } => bail!("a command was refused: {refusal:?}"),
    }
}
