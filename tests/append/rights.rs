//! Rights of the service's role in Postgres: it reads tables and calls functions, nothing else.

/// Temporary objects of a caller.
mod hijacked;
#[path = "../support/rights.rs"]
mod matrix;

use command_service::domain::{Command, Refusal};
use command_service::log::store::prepare;
use passbook_shared::store_error::{is_forbidden, violated_constraint};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use self::matrix::Matrix;
use crate::log::Log;
use crate::requests::{accepted, money, refused, request};

#[derive(sqlx::FromRow)]
struct Function {
    name: String,
    runs_as_owner: bool,
    writes: bool,
    settings: Vec<String>,
    by_anybody: bool,
}

/// Returns the names of the log's tables.
async fn tables(log: &Log) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class
                WHERE relnamespace = 'passbook'::regnamespace AND relkind = 'r'";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&log.pool).await.unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    tables
}

async fn is_refused(pool: &PgPool, sql: &str) {
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await {
        Err(error) => assert!(is_forbidden(&error), "{sql}: {error}"),
        Ok(_) => panic!("the service's role may {sql}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_role_writes_no_table_and_changes_no_object() {
    let log = Log::start().await;
    let mut owner = PgConnection::connect_with(&log.owner()).await.unwrap();
    let mut role = PgConnection::connect_with(&log.service()).await.unwrap();
    let matrix = Matrix::new(&mut owner, &mut role, &[]);
    let tried = matrix.check().await.unwrap();
    eprintln!("{tried} statements refused");
    is_refused(&log.service_pool(), "CREATE TEMPORARY TABLE mine ()").await;
    for table in tables(&log).await {
        sqlx::raw_sql(AssertSqlSafe(format!("SELECT * FROM passbook.{table} LIMIT 1")))
            .execute(&mut role)
            .await
            .unwrap();
    }
    log.end().await;
}

/// Checks the promise of the trigger, which holds for the owner and for a superuser, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_appends_events_and_never_changes_one() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    instance.end().await;
    let superuser = PgPool::connect(log.superuser_url()).await.unwrap();
    let before = log.events().await;
    for pool in [&log.pool, &superuser] {
        for sql in [
            "UPDATE passbook.events SET data = data WHERE false",
            "UPDATE passbook.events SET data = '{}'",
            "DELETE FROM passbook.events WHERE false",
            "DELETE FROM passbook.events",
            "TRUNCATE passbook.events",
            "TRUNCATE passbook.events CASCADE",
            "INSERT INTO passbook.events SELECT * FROM passbook.events
                 ON CONFLICT (partition, position) DO UPDATE SET data = '{}'",
            "MERGE INTO passbook.events AS e USING (SELECT 1) AS s ON true
                 WHEN MATCHED THEN DELETE",
            "MERGE INTO passbook.events AS e USING (SELECT 1) AS s ON true
                 WHEN MATCHED THEN UPDATE SET data = '{}'",
            "WITH gone AS (DELETE FROM passbook.events RETURNING 1) SELECT count(*) FROM gone",
        ] {
            is_refused(pool, sql).await;
        }
    }
    assert_eq!(log.events().await, before);
    assert_eq!(before.len(), 2);
    superuser.close().await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_function_has_the_intended_rights() {
    let log = Log::start().await;
    // From the catalog, so that a later migration cannot forget the grants.
    let functions: Vec<Function> = sqlx::query_as(
        "SELECT p.oid::regprocedure::text AS name, p.prosecdef AS runs_as_owner,
                p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype AS writes,
                coalesce(p.proconfig, '{}') AS settings,
                p.proacl IS NULL OR p.proacl::text ~ '[{,]=' AS by_anybody
           FROM pg_proc AS p WHERE p.pronamespace = 'passbook'::regnamespace",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    assert!(functions.len() > 8);
    for Function { name, runs_as_owner, writes, settings, by_anybody } in functions {
        assert!(!by_anybody, "PUBLIC may execute {name}");
        assert!(
            settings.contains(&"search_path=pg_catalog, passbook, pg_temp".to_owned()),
            "{name}: {settings:?}"
        );
        assert_eq!(
            runs_as_owner, writes,
            "{name}: SECURITY DEFINER is for functions that write, and for no others"
        );
    }
    let granted: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.privilege_type
           FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
          WHERE c.relnamespace = 'passbook'::regnamespace AND a.grantee <> c.relowner",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    for table in tables(&log).await {
        let rights: Vec<&str> =
            granted.iter().filter(|grant| grant.0 == table).map(|grant| grant.1.as_str()).collect();
        assert_eq!(rights, ["SELECT"], "{table}");
    }

    // The migration job revokes what an earlier version granted.
    sqlx::raw_sql("GRANT INSERT, UPDATE ON passbook.events TO passbook_command")
        .execute(&log.pool)
        .await
        .unwrap();
    prepare(&log.owner(), "passbook_command", None).await.unwrap();
    is_refused(
        &log.service_pool(),
        "INSERT INTO passbook.events SELECT * FROM passbook.events LIMIT 0",
    )
    .await;
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_or_forged_snapshot_is_ignored() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    for _ in 0..50 {
        accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    }
    instance.end().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM passbook.snapshots")
        .fetch_one(&log.pool)
        .await
        .unwrap();
    assert!(kept > 0, "no snapshot to tamper with");

    let too_much = Command::Withdraw(money(1_000));
    let refuses = async |context: &str| {
        let instance = log.instance();
        let refusal = refused(instance.send(request(account, too_much.clone())).await);
        assert_eq!(
            refusal,
            Refusal::InsufficientFunds { available: 50, overdraft_limit: 0 },
            "{context}"
        );
        instance.end().await;
    };
    let changed = "UPDATE passbook.snapshots
                      SET state = replace(state::text, '\"balance\":', '\"balance\":9')::json";
    sqlx::raw_sql(changed).execute(&log.pool).await.unwrap();
    refuses("by the owner").await;
    // By the service's role, which may save snapshots: with another snapshot's MAC, and without
    // one.
    for mac in ["s.mac", "NULL::bytea", "substring(s.mac FOR 8) || sha256('')"] {
        let forged = format!(
            "SELECT passbook.save_snapshots(
                        array[s.partition], array[s.account_id], array[51::bigint],
                        array[s.position], s.state_version, array[s.state::text], array[{mac}])
               FROM passbook.snapshots AS s WHERE s.account_id = '{account}'
              ORDER BY s.version DESC LIMIT 1"
        );
        sqlx::raw_sql(AssertSqlSafe(forged)).execute(&log.service_pool()).await.unwrap();
        refuses(mac).await;
    }
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_append_by_columns_of_earlier_builds_appends_the_same() {
    let log = Log::start().await;
    let sql = "SELECT base FROM passbook.append(
                   '{3, 5}', '{2, 1}', '{1, 1, 2}', '{1, 2, 1}',
                   ARRAY[$1, $1, $2], '{1, 2, 1}',
                   ARRAY[gen_random_uuid(), gen_random_uuid(), gen_random_uuid()],
                   ARRAY[$1, $1, $2], '{AccountOpened, MoneySent, AccountOpened}', '{3, 2, 3}',
                   ARRAY['{\"n\": 1}', json_build_object('transfer_id', $3)::text,
                         '{\"n\": 3}'],
                   ARRAY[NULL, NULL, '{\"idempotency_key\": \"k\"}'], true,
                   '{3}', ARRAY[$1], '{k}', '{7}', '{2}', '{2}', ARRAY[NULL], '{5}', ARRAY[$2],
                   $4)";
    let ids = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let append = async |asserted: i64| -> sqlx::Result<Vec<i64>> {
        let query = ids.iter().fold(sqlx::query_scalar(sql), |query, id| query.bind(*id));
        query.bind(vec![asserted]).fetch_all(&log.service_pool()).await
    };
    let refused = append(1).await.unwrap_err();
    assert_eq!(violated_constraint(&refused), Some("asserted_version_is_current"));
    assert_eq!(append(0).await.unwrap(), [0, 0]);
    let events: Vec<(i16, i64, Uuid, i64, String)> = sqlx::query_as(
        "SELECT partition, position, account_id, version, type FROM passbook.events
          ORDER BY 1, 2",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    let [one, other, transfer] = ids;
    let event = |partition, position, account, version, of: &str| {
        (partition, position, account, version, of.to_owned())
    };
    let expected = [
        event(3, 1, one, 1, "AccountOpened"),
        event(3, 2, one, 2, "MoneySent"),
        event(5, 1, other, 1, "AccountOpened"),
    ];
    assert_eq!(events, expected);
    let kept: (Uuid, String) = sqlx::query_as(
        "SELECT t.transfer_id, c.idempotency_key
           FROM passbook.transfers AS t, passbook.commands AS c
          WHERE t.version = c.version AND t.account_id = c.account_id",
    )
    .fetch_one(&log.pool)
    .await
    .unwrap();
    assert_eq!(kept, (transfer, "k".to_owned()));
    log.end().await;
}
