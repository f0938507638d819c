//! Health check of the append: it reports why events cannot be appended.

use std::time::Duration;

use command_service::writes::Writes;
use passbook_shared::health::{CheckState, Health};
use passbook_shared::shutdown::CancellationToken;
use tokio::time::{Instant, sleep};

use crate::log::Log;
use crate::log::PARTITIONS;

struct Checked {
    health: Health,
    shutdown: CancellationToken,
}

impl Checked {
    fn start(log: &Log) -> Self {
        let (health, shutdown) = (Health::new("test"), CancellationToken::new());
        let check =
            Writes::default().check(log.service(), PARTITIONS, health.clone(), shutdown.clone());
        tokio::spawn(check);
        Self { health, shutdown }
    }

    /// Waits until the check has a state, and returns its reason.
    async fn reaches(&self, state: CheckState) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(check) =
                self.health.checks().get("postgres").filter(|check| check.state == state)
            {
                return check.reason.clone().unwrap_or_default();
            }
            assert!(Instant::now() < deadline, "not {state:?}: {:?}", self.health.checks());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_or_function_is_reported_by_postgres_own_reason() {
    let log = Log::start().await;
    let checked = Checked::start(&log);
    checked.reaches(CheckState::Ok).await;
    let role = log.service().get_username().to_owned();
    let revoke =
        format!("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA passbook FROM PUBLIC, \"{role}\"");
    let grant = format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA passbook TO \"{role}\"");
    let rename = "ALTER FUNCTION passbook.append_batch RENAME TO gone";
    let rename_back = "ALTER FUNCTION passbook.gone RENAME TO append_batch";
    for (fault, repair, words) in [
        (
            revoke.as_str(),
            grant.as_str(),
            "permission denied for function append_batch (SQLSTATE 42501)",
        ),
        (rename, rename_back, "does not exist (SQLSTATE 42883)"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(fault.to_owned())).execute(&log.pool).await.unwrap();
        let reason = checked.reaches(CheckState::Failing).await;
        assert!(reason.contains(words) && reason.contains("last success"), "{reason}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(repair.to_owned())).execute(&log.pool).await.unwrap();
        checked.reaches(CheckState::Ok).await;
    }
    checked.shutdown.cancel();
    log.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_head_of_any_partition_is_reported() {
    let log = Log::start().await;
    let checked = Checked::start(&log);
    checked.reaches(CheckState::Ok).await;
    let mut transaction = log.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM passbook.log_head WHERE partition = 7 FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let reason = checked.reaches(CheckState::Failing).await;
    assert!(reason.contains("partition 7") && reason.contains("lock timeout"), "{reason}");
    transaction.rollback().await.unwrap();
    checked.reaches(CheckState::Ok).await;
    // The check appends nothing.
    let count: i64 = sqlx::query_scalar("SELECT sum(position)::bigint FROM passbook.log_head")
        .fetch_one(&log.pool)
        .await
        .unwrap();
    assert_eq!(count, 0);
    checked.shutdown.cancel();
    log.end().await;
}
