//! Temporary tables and functions of a caller, with the names that the log's functions use.

use command_service::domain::Command;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::log::Log;
use crate::requests::{accepted, money, request};

/// Tables that fail on every write, first in the caller's `search_path`.
const TRAP: &str = "SET search_path = pg_temp, passbook;
    CREATE FUNCTION pg_temp.hijack() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$;
    CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$;
    DO $$
    DECLARE
        original record;
    BEGIN
        FOR original IN SELECT c.oid::regclass AS is, c.relname AS name FROM pg_class AS c
                         WHERE c.relnamespace = 'passbook'::regnamespace AND c.relkind = 'r' LOOP
            EXECUTE format('CREATE TEMP TABLE %I (LIKE passbook.%I INCLUDING DEFAULTS)',
                           original.name, original.name);
            EXECUTE format('CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.%I
                            EXECUTE FUNCTION pg_temp.hijack()', original.name);
        END LOOP;
    END $$;";

/// Calls of the functions that run as the owner, of the account `$account`.
const CALLS: [&str; 9] = [
    "SELECT passbook.lock_heads(ARRAY(SELECT partition FROM passbook.log_head))",
    "SELECT passbook.save_snapshots(ARRAY[e.partition], ARRAY[e.account_id], ARRAY[e.version],
                                    ARRAY[e.position], 1::smallint, ARRAY['{}'], ARRAY[''::bytea])
       FROM passbook.events AS e WHERE e.account_id = '$account' AND e.version = 1",
    "SELECT passbook.save_snapshots(ARRAY[e.partition], ARRAY[e.account_id], ARRAY[e.version],
                                    ARRAY[e.position], ARRAY[e.event_id], 1::smallint, ARRAY['{}'],
                                    ARRAY[''::bytea])
       FROM passbook.events AS e WHERE e.account_id = '$account' AND e.version = 2",
    "SELECT passbook.forget_keys(0, 1000, interval '0')",
    "SELECT passbook.record_audit(ARRAY[now()], ARRAY['ada'], ARRAY['it'], ARRAY['/it'],
                                  ARRAY[200::smallint], ARRAY['1'], ARRAY[NULL::text])",
    "SELECT passbook.note_fork(0::smallint, 0, 1, 'a trial')",
    "SELECT passbook.accept_restore(0, 1, ARRAY[0::smallint], ARRAY[0::bigint])",
    "SELECT passbook.settle(0::smallint, now())",
    "SELECT * FROM passbook.append(
         '{3}', '{1}', '{1}', '{1}', ARRAY[gen_random_uuid()], '{1}', ARRAY[gen_random_uuid()],
         ARRAY[gen_random_uuid()], '{MoneyDeposited}', '{3}', ARRAY['{}'], ARRAY[NULL], true,
         '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
];

/// Gives the role the right to temporary tables, which it has in no database of ours.
#[tokio::test(flavor = "multi_thread")]
async fn temporary_objects_of_a_caller_do_not_mislead_functions_that_run_as_the_owner() {
    let log = Log::start().await;
    let instance = log.instance();
    let account = instance.open().await;
    accepted(instance.send(request(account, Command::Deposit(money(1)))).await);
    instance.end().await;
    let mut superuser = PgConnection::connect(log.superuser_url()).await.unwrap();
    let grant: String = sqlx::query_scalar(
        "SELECT format('GRANT TEMPORARY ON DATABASE %I TO passbook_command', current_database())",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();

    let mut role = PgConnection::connect_with(&log.service()).await.unwrap();
    sqlx::raw_sql(TRAP).execute(&mut role).await.unwrap();
    let caught = sqlx::raw_sql("DELETE FROM snapshots").execute(&mut role).await.unwrap_err();
    assert!(caught.to_string().contains("hijacked"), "{caught}");
    for call in CALLS {
        let sql = call.replace("$account", &account.to_string());
        let called = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut role).await;
        called.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let written: Vec<i64> = sqlx::query_scalar(
        "SELECT count(*) FROM passbook.events UNION ALL SELECT count(*) FROM passbook.audit
         UNION ALL SELECT count(*) FROM passbook.snapshots",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    assert_eq!(written, [3, 1, 2]);
    role.close().await.unwrap();
    log.end().await;
}

/// Checks that no function that runs as the owner was forgotten above.
#[tokio::test(flavor = "multi_thread")]
async fn every_function_that_runs_as_the_owner_is_called_by_a_caller_with_temporary_tables() {
    let log = Log::start().await;
    let functions: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT proname::text FROM pg_proc
          WHERE pronamespace = 'passbook'::regnamespace AND prosecdef ORDER BY 1",
    )
    .fetch_all(&log.pool)
    .await
    .unwrap();
    let is_called = |name: &String| CALLS.iter().any(|call| call.contains(&format!(".{name}(")));
    let others: Vec<&String> = functions.iter().filter(|name| !is_called(name)).collect();
    // `append` calls it, and instances of these tests call it throughout.
    assert_eq!(others, ["append_batch"]);
    log.end().await;
}
