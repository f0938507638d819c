//! The append at library level, against a real Postgres: what is acknowledged is in the log exactly once, numbers are
//! dense, keys and versions are honoured, whatever races or breaks.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use command_service::domain::{Command, Refusal};
use command_service::lanes::request::Accepted;
use command_service::lanes::{Answer, CommandError, CommandRequest, LaneConfig, Lanes, Outcome};
use command_service::log::{snapshots, store};
use futures_util::future::join_all;
use passbook::postgres::{Cluster, Settings};
use passbook_shared::event::{AccountOpened, MoneyMoved};
use passbook_shared::money::Amount;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::shutdown::{CancellationToken, Tasks};
use passbook_shared::text::{Metadata, Owner};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A Postgres of its own, with an empty log.
struct Log {
    cluster: Cluster,
    /// As the owner of the tables; instances are another role.
    pool: PgPool,
    _directory: tempfile::TempDir,
}

/// One instance of the service, without HTTP and Kafka.
struct Instance {
    lanes: Lanes,
    tasks: Tasks,
}

impl Log {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: directory.path().join("data"), ..Settings::default() };
        let cluster = Cluster::start(&settings).await.unwrap();
        let pool = PgPool::connect(&cluster.owner_url()).await.unwrap();
        store::prepare(&pool, None).await.unwrap();
        store::grant(&pool, cluster.command_url().parse::<PgConnectOptions>().unwrap().get_username()).await.unwrap();
        Self { cluster, pool, _directory: directory }
    }

    fn runtime_pool(&self) -> PgPool {
        PgPool::connect_lazy(&self.cluster.command_url()).unwrap()
    }

    fn instance(&self) -> Instance {
        let config = LaneConfig {
            lanes: 2,
            connect: self.cluster.command_url().parse().unwrap(),
            queue: 4096,
            max_batch: 256,
            cache_bytes: 1 << 20,
            patience: Duration::from_secs(10),
            snapshot_every: 20,
        };
        let mut tasks = Tasks::new(CancellationToken::new());
        let (to_relay, mut from_lanes) = mpsc::channel(16);
        let (to_snapshots, snapshots) = snapshots::queue();
        let lanes = Lanes::start(store::DEFAULT_PARTITIONS, &config, &to_relay, &to_snapshots, &mut tasks);
        tasks.spawn("a relay that is not there", async move {
            while from_lanes.recv().await.is_some() {}
            Ok(())
        });
        tasks.spawn("the snapshots", snapshots::run(self.runtime_pool(), snapshots));
        Instance { lanes, tasks }
    }

    /// All events as (partition, position, account, version, command, amount), in the order of the log.
    async fn events(&self) -> Vec<(i16, i64, Uuid, i64, Uuid, i64)> {
        let sql =
            "SELECT partition, position, account_id, version, command_id, coalesce((data ->> 'amount')::bigint, 0)
                     FROM passbook.events ORDER BY partition, position";
        sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap()
    }

    /// Fails unless positions and versions are dense from 1 and no partition goes back in time.
    async fn assert_dense(&self) {
        let mut positions: BTreeMap<i16, i64> = BTreeMap::new();
        let mut versions: BTreeMap<Uuid, i64> = BTreeMap::new();
        for (partition, position, account, version, ..) in self.events().await {
            let (last, newest) = (positions.entry(partition).or_default(), versions.entry(account).or_default());
            assert_eq!((position, version), (*last + 1, *newest + 1), "partition {partition}, account {account}");
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

    async fn end(self) {
        self.pool.close().await;
        self.cluster.stop().await.unwrap();
    }
}

impl Instance {
    async fn send(&self, request: CommandRequest) -> Result<Answer, CommandError> {
        self.lanes.submit(request).await
    }

    async fn open(&self) -> Uuid {
        let account = Uuid::new_v4();
        accepted(self.send(request(account, opening())).await);
        account
    }

    async fn end(self) {
        let Self { lanes, tasks } = self;
        tasks.shutdown().cancel();
        drop(lanes);
        tasks.wait().await.unwrap();
    }
}

fn opening() -> Command {
    Command::Open(AccountOpened {
        owner: Owner::new("somebody").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_deposit: 0,
        overdraft_limit: 0,
        metadata: Metadata::default(),
    })
}

fn money(amount: i64) -> MoneyMoved {
    let amount = Amount::new(amount).unwrap();
    MoneyMoved { amount, reference: None, effective_at: None, metadata: Metadata::default() }
}

fn request(account_id: Uuid, command: Command) -> CommandRequest {
    let context = CommandContext::default();
    CommandRequest { account_id, command, expected_version: None, dry_run: false, command_id: Uuid::new_v4(), context }
}

fn with_key(mut request: CommandRequest, key: &str) -> CommandRequest {
    request.context.idempotency_key = Some(key.to_owned());
    request
}

#[track_caller]
fn accepted(answer: Result<Answer, CommandError>) -> Accepted {
    match answer.unwrap().outcome {
        Outcome::Accepted(accepted) => accepted,
        Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

#[track_caller]
fn refused(answer: Result<Answer, CommandError>) -> Refusal {
    match answer.unwrap().outcome {
        Outcome::Refused(refusal) => refusal,
        Outcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}

/// All of what an answer says.
fn said(answer: &Answer) -> String {
    format!("{:?}", answer.outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_on_many_accounts_leave_dense_numbers() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts: Vec<Uuid> = join_all((0..20).map(|_| instance.open())).await;
    let writers = (0..64).map(|writer: usize| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move {
            for turn in 0..25 {
                let account = accounts[(writer + turn) % accounts.len()];
                accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    log.assert_dense().await;
    assert_eq!(log.events().await.len(), 20 + 64 * 25);
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_effect_and_one_answer_refusals_included() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    let deposit = || with_key(request(account, Command::Deposit(money(500))), "pay-1");

    let answers = join_all((0..50).map(|_| instance.send(deposit()))).await;
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| said(answer) == said(&answers[0])), "every answer is the first");
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);

    let too_much = || with_key(request(account, Command::Withdraw(money(501))), "pay-2");
    let first = instance.send(too_much()).await.unwrap();
    accepted(instance.send(request(account, Command::Deposit(money(1_000)))).await);
    let again = instance.send(too_much()).await.unwrap();
    assert_eq!((said(&first), false, true), (said(&again), first.replayed, again.replayed));

    let other = with_key(request(account, Command::Deposit(money(501))), "pay-1");
    assert_eq!(instance.send(other).await.unwrap_err(), CommandError::KeyReused);

    // An instance that has never seen the key gives the same answer from the log.
    let other_instance = log.instance();
    let elsewhere = other_instance.send(deposit()).await.unwrap();
    assert_eq!((said(&elsewhere), elsewhere.replayed), (said(&answers[0]), true));
    assert_eq!(log.events().await.len(), 3);
    join_all([instance.end(), other_instance.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_hot_account_lose_nothing_and_never_overdraw() {
    let log = Log::start().await;
    let instances = [Arc::new(log.instance()), Arc::new(log.instance())];
    let account = instances[0].open().await;
    accepted(instances[0].send(request(account, Command::Deposit(money(100)))).await);
    let writers = (0..32).map(|writer: usize| {
        let instance = Arc::clone(&instances[writer % 2]);
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..10 {
                match instance.send(request(account, Command::Withdraw(money(1)))).await {
                    Ok(Answer { outcome: Outcome::Accepted(_), .. }) => taken += 1,
                    Ok(_) | Err(CommandError::Conflict) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            taken
        })
    });
    let taken: i64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    let withdrawn = log.events().await.len() - 2;
    assert_eq!(i64::try_from(withdrawn).unwrap(), taken, "as many withdrawals in the log as were answered");
    assert_eq!(taken, 100, "all of the money could be had, and no more");
    log.assert_dense().await;
    for instance in instances {
        Arc::into_inner(instance).unwrap().end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_decided_on_what_is_there_not_on_what_was_cached() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open().await;
    assert!(matches!(
        refused(here.send(request(account, Command::Withdraw(money(5)))).await),
        Refusal::InsufficientFunds { available: 0, overdraft_limit: 0 }
    ));
    accepted(there.send(request(account, Command::Deposit(money(5)))).await);
    let taken = accepted(here.send(request(account, Command::Withdraw(money(5)))).await);
    assert_eq!((taken.version, taken.account.balance), (3, 0));

    let mut late = request(account, Command::Deposit(money(1)));
    late.expected_version = Some(2);
    assert_eq!(refused(there.send(late.clone()).await), Refusal::VersionMismatch { current_version: 3 });
    late.expected_version = Some(3);
    assert_eq!(accepted(there.send(late).await).version, 4);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_of_a_taken_id_is_refused_and_a_dry_run_leaves_nothing() {
    let log = Log::start().await;
    let (here, there) = (log.instance(), log.instance());
    let account = here.open().await;
    assert_eq!(refused(there.send(request(account, opening())).await), Refusal::AccountExists);
    let nobody = Uuid::new_v4();
    assert_eq!(refused(here.send(request(nobody, Command::Deposit(money(1)))).await), Refusal::AccountNotFound);

    // A dry run too is decided on what is there: nothing that it inserts would find out.
    let mut opening_trial = request(account, opening());
    opening_trial.dry_run = true;
    let elsewhere = log.instance();
    assert_eq!(refused(elsewhere.send(opening_trial).await), Refusal::AccountExists);
    elsewhere.end().await;

    let mut trial = with_key(request(account, Command::Deposit(money(7))), "trial");
    trial.dry_run = true;
    let would_be = accepted(here.send(trial).await);
    assert_eq!((would_be.version, would_be.account.balance, would_be.events.len()), (2, 7, 1));
    let in_earnest = accepted(here.send(with_key(request(account, Command::Deposit(money(9))), "trial")).await);
    assert_eq!((in_earnest.version, in_earnest.account.balance), (2, 9));
    assert_eq!(log.events().await.len(), 2);
    join_all([here.end(), there.end()]).await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_random_lose_and_double_nothing() {
    let log = Log::start().await;
    let instance = Arc::new(log.instance());
    let accounts: Vec<Uuid> = join_all((0..8).map(|_| instance.open())).await;
    let writers = (0..16).map(|writer: usize| {
        let (instance, accounts) = (Arc::clone(&instance), accounts.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for turn in 0..150 {
                let mut deposit = request(accounts[(writer + turn) % 8], Command::Deposit(money(1)));
                // Every other one has a key.
                if turn % 2 == 0 {
                    deposit = with_key(deposit, &format!("{writer}-{turn}"));
                }
                let command_id = deposit.command_id;
                accepted(instance.send(deposit).await);
                acknowledged.push(command_id);
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let cut = Arc::new(AtomicI64::new(0));
    let cutter = tokio::spawn({
        let (pool, cut) = (log.pool.clone(), Arc::clone(&cut));
        async move {
            loop {
                tokio::time::sleep(Duration::from_millis(15)).await;
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                            WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE '%passbook.append%'";
                let now = sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap_or(0);
                if cut.fetch_add(now, Ordering::Relaxed) > 40 {
                    return;
                }
            }
        }
    });
    let acknowledged: Vec<Uuid> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 3, "connections were cut in the middle of appends: {cut}");
    cutter.abort();
    let mut in_log: BTreeMap<Uuid, i64> = BTreeMap::new();
    for (.., command, _) in log.events().await {
        *in_log.entry(command).or_default() += 1;
    }
    assert_eq!(acknowledged.len(), 16 * 150);
    assert!(acknowledged.iter().all(|command| in_log.get(command) == Some(&1)), "exactly once");
    assert_eq!(in_log.len(), 16 * 150 + 8, "and nothing else");
    log.assert_dense().await;
    Arc::into_inner(instance).unwrap().end().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_only_a_cache() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    for _ in 0..50 {
        accepted(instance.send(request(account, Command::Deposit(money(2)))).await);
    }
    instance.end().await;
    let kept: Vec<i64> = sqlx::query_scalar("SELECT version FROM passbook.snapshots ORDER BY version")
        .fetch_all(&log.pool)
        .await
        .unwrap();
    assert_eq!(kept, [20, 40]);

    for damage in [
        "UPDATE passbook.snapshots SET state = '{\"open\": 7}' WHERE version = 40",
        "UPDATE passbook.snapshots SET state_version = 999",
        "DELETE FROM passbook.snapshots",
    ] {
        sqlx::query(damage).execute(&log.pool).await.unwrap();
        let instance = log.instance();
        let mut trial = request(account, Command::Withdraw(money(100)));
        trial.dry_run = true;
        assert_eq!(accepted(instance.send(trial).await).account.balance, 0, "{damage}");
        instance.end().await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_never_changed_even_by_its_owner() {
    let log = Log::start().await;
    let instance = log.instance();
    instance.open().await;
    for change in ["UPDATE passbook.events SET version = 2", "DELETE FROM passbook.events", "TRUNCATE passbook.events"]
    {
        let error = sqlx::query(change).execute(&log.pool).await.unwrap_err().to_string();
        assert!(error.contains("never updated, deleted or truncated"), "{change}: {error}");
    }
    instance.end().await;
    log.end().await;
}
