//! A Postgres with an empty log, and instances of the lanes on it.

use std::collections::BTreeMap;
use std::time::Duration;

use command_service::config::lanes::LaneConfig;
use command_service::domain::command::Transfer;
use command_service::domain::{Command, Refusal};
use command_service::lanes::{LaneDeps, Lanes};
use command_service::log::clock::LogClock;
use command_service::log::read::LogReader;
use command_service::log::snapshot_key::SnapshotKey;
use command_service::log::snapshots::{self, Snapshots};
use command_service::log::store::{self, Store};
use command_service::outcome::{Accepted, AccountChange, Answer, CommandResult, Outcome};
use command_service::request::CommandRequest;
use command_service::restore::standing::Standing;
use command_service::writes::Writes;
use embedded_postgres::{Cluster, Settings};
use passbook_shared::event::{AccountOpened, MoneyMoved};
use passbook_shared::health::Health;
use passbook_shared::money::Amount;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use passbook_shared::text::{Metadata, Owner};
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A Postgres of its own, with an empty log.
pub(crate) struct Log {
    cluster: Cluster,
    /// As the owner of the tables; instances are another role.
    pub(crate) pool: PgPool,
    _directory: tempfile::TempDir,
}

/// One instance of the service, without HTTP and Kafka.
pub(crate) struct Instance {
    pub(crate) lanes: Lanes,
    tasks: Tasks,
}

impl Log {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: directory.path().join("data"), ..Settings::default() };
        let cluster = Cluster::start(&settings).await.unwrap();
        let pool = PgPool::connect(&cluster.owner_url()).await.unwrap();
        let role: PgConnectOptions = cluster.command_url().parse().unwrap();
        store::prepare(&cluster.owner_url().parse().unwrap(), role.get_username(), None)
            .await
            .unwrap();
        Self { cluster, pool, _directory: directory }
    }

    pub(crate) fn owner(&self) -> PgConnectOptions {
        self.cluster.owner_url().parse().unwrap()
    }

    pub(crate) fn runtime_pool(&self) -> PgPool {
        PgPool::connect_lazy(&self.cluster.command_url()).unwrap()
    }

    /// The superuser's URL of the log's database.
    pub(crate) fn admin_url(&self) -> String {
        self.cluster.admin_url(self.cluster.owner_url().rsplit('/').next().unwrap())
    }

    /// Settings of connections as the service's role.
    pub(crate) fn runtime(&self) -> PgConnectOptions {
        self.cluster.command_url().parse().unwrap()
    }

    pub(crate) fn reader(&self, store: Store) -> LogReader {
        LogReader::new(self.runtime_pool(), self.runtime_pool(), store, Snapshots::only_read(key()))
    }

    pub(crate) fn instance(&self) -> Instance {
        self.instance_with(Duration::from_secs(10))
    }

    /// An instance whose commands wait for so long at most.
    pub(crate) fn instance_with(&self, patience: Duration) -> Instance {
        self.instance_at(LogClock::new(store::DEFAULT_PARTITIONS, Timestamp::now()), patience)
    }

    /// An instance that takes that for the log's time.
    pub(crate) fn instance_at(&self, clock: LogClock, patience: Duration) -> Instance {
        let config = LaneConfig {
            lanes: 2,
            connect: self.runtime(),
            queue: 4096,
            max_batch: 256,
            cache_bytes: 1 << 20,
            patience,
            snapshot_every: 20,
            most_holds: 10_000,
        };
        let mut tasks = Tasks::new(CancellationToken::new());
        let (to_relay, mut from_lanes) = mpsc::channel(16);
        let (to_snapshots, snapshots) = snapshots::queue(key());
        let deps = LaneDeps {
            partitions: store::DEFAULT_PARTITIONS,
            clock,
            pool: self.runtime_pool(),
            relay: to_relay,
            snapshots: to_snapshots,
            writes: Writes::default(),
            standing: Standing::new(Health::default()),
        };
        let lanes = Lanes::start(deps, &config, &mut tasks);
        tasks.spawn("a relay that is not there", async move {
            while from_lanes.recv().await.is_some() {}
            Ok(())
        });
        tasks.spawn("the snapshots", snapshots::run(self.runtime_pool(), snapshots));
        Instance { lanes, tasks }
    }

    /// All events as (partition, position, account, version, command, amount), in the order of the log.
    pub(crate) async fn events(&self) -> Vec<(i16, i64, Uuid, i64, Uuid, i64)> {
        let sql =
            "SELECT partition, position, account_id, version, command_id, coalesce((data ->> 'amount')::bigint, 0)
                     FROM passbook.events ORDER BY partition, position";
        sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// Fails unless positions and versions are dense from 1 and no partition goes back in time.
    pub(crate) async fn assert_dense(&self) {
        let mut positions: BTreeMap<i16, i64> = BTreeMap::new();
        let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
        for (partition, position, account, version, ..) in self.events().await {
            let (last, newest) =
                (positions.entry(partition).or_default(), versions.entry(account).or_default());
            assert_eq!(
                (position, version),
                (*last + 1, *newest + 1),
                "partition {partition}, account {account}"
            );
            (*last, *newest) = (position, version);
        }
        let backwards: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM passbook.events AS a JOIN passbook.events AS b
                 ON b.partition = a.partition AND b.position = a.position + 1 WHERE b.recorded_at < a.recorded_at",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(backwards, 0, "recorded_at goes back within a partition");
    }

    pub(crate) async fn end(self) {
        self.pool.close().await;
        self.cluster.stop().await.unwrap();
    }
}

/// The same for all instances.
pub(crate) fn key() -> SnapshotKey {
    SnapshotKey::new(b"of tests")
}

impl Instance {
    pub(crate) async fn send(&self, request: CommandRequest) -> CommandResult {
        self.lanes.submit(request).await
    }

    pub(crate) async fn open(&self) -> Uuid {
        let account = Uuid::new_v4();
        accepted(self.send(request(account, opening())).await);
        account
    }

    /// Accounts with so much on each.
    pub(crate) async fn open_with(&self, count: usize, amount: i64) -> Vec<Uuid> {
        let mut accounts = Vec::new();
        for _ in 0..count {
            let account = self.open().await;
            accepted(self.send(request(account, Command::Deposit(money(amount)))).await);
            accounts.push(account);
        }
        accounts
    }

    pub(crate) async fn end(self) {
        let Self { lanes, tasks } = self;
        tasks.shutdown().cancel();
        drop(lanes);
        tasks.wait().await.unwrap();
    }
}

pub(crate) fn opening() -> Command {
    Command::Open(AccountOpened {
        owner: Owner::new("somebody").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit: 0,
        overdraft_limit: 0,
        effective_at: None,
        metadata: Metadata::default(),
    })
}

pub(crate) fn money(amount: i64) -> MoneyMoved {
    let amount = Amount::new(amount).unwrap();
    let metadata = Metadata::default();
    MoneyMoved {
        amount,
        reference: None,
        effective_at: None,
        metadata,
        allow_backdated_overdraft: false,
    }
}

/// From the first account to the second.
pub(crate) fn transfer(from: Uuid, to: Uuid, amount: i64) -> CommandRequest {
    let MoneyMoved { amount, reference, effective_at, metadata, allow_backdated_overdraft } =
        money(amount);
    let transfer_id = Uuid::new_v4();
    let transfer = Transfer {
        transfer_id,
        to,
        amount,
        reference,
        effective_at,
        metadata,
        allow_backdated_overdraft,
    };
    request(from, Command::Transfer(transfer))
}

pub(crate) fn request(account_id: Uuid, command: Command) -> CommandRequest {
    let context = CommandContext::default();
    CommandRequest {
        account_id,
        command,
        expected_versions: None,
        dry_run: false,
        command_id: Uuid::new_v4(),
        context,
    }
}

pub(crate) fn with_key(mut request: CommandRequest, key: &str) -> CommandRequest {
    request.context.idempotency_key = Some(key.to_owned());
    request
}

/// What it did to its account.
#[track_caller]
pub(crate) fn accepted(answer: CommandResult) -> AccountChange {
    done(answer).own
}

#[track_caller]
pub(crate) fn done(answer: CommandResult) -> Accepted {
    match answer.unwrap().outcome {
        Outcome::Accepted(accepted) => accepted,
        Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(answer: CommandResult) -> Refusal {
    match answer.unwrap().outcome {
        Outcome::Refused(refusal) => refusal,
        Outcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}

/// All of what an answer says.
pub(crate) fn said(answer: &Answer) -> String {
    format!("{:?}", answer.outcome)
}
