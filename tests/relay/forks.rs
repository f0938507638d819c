//! Logs that were restored from a backup. Event ids decide what is a fork, not positions; an
//! operator accepts it.

mod accepted;
mod noticed;

use std::time::{Duration, Instant};

use command_service::restore::desk::ForkRef;
use command_service::restore::survey::SurveyedFork;
use passbook_shared::epoch::Restores;
use passbook_shared::health::CheckState;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_error::violated_constraint;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::pipeline::{Pipeline, Running};
use crate::tails::account_in;

/// Partition that the tests fork.
const FORKED: Partition = Partition::new(3);

/// Deletes its last event.
const WITHOUT_THE_LAST: &str = "DELETE FROM passbook.events AS e USING passbook.log_head AS h
     WHERE e.partition = 3 AND h.partition = 3 AND e.position = h.position;
    UPDATE passbook.log_head SET position = position - 1 WHERE partition = 3";

impl Pipeline {
    /// Returns the event ids that a follower of the topic has at its end. The follower applies only
    /// the next position, and skips what a restore gave up.
    async fn followed(&self, partition: Partition, restores: &Restores) -> Vec<Uuid> {
        let mut events = Vec::new();
        for read in self.records().await.remove(&partition).unwrap_or_default() {
            let position = read.event.position.number;
            if !restores.voided(read.epoch, position)
                && position == i64::try_from(events.len()).unwrap() + 1
            {
                events.push(read.event.event_id);
            }
        }
        events
    }

    /// Removes the events of partition 3 after a position from the log.
    async fn lose_after(&self, position: i64) {
        let sql = format!(
            "DELETE FROM passbook.events WHERE partition = 3 AND position > {position};
            UPDATE passbook.log_head SET position = {position} WHERE partition = 3"
        );
        self.restore(AssertSqlSafe(sql)).await;
    }

    /// Waits until a session waits for a lock.
    async fn waits_for_lock(&self) {
        let sql = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
                    WHERE datname = current_database() AND NOT granted";
        let waits = || sqlx::query_scalar::<_, i64>(sql).fetch_one(&self.pool);
        let deadline = Instant::now() + Duration::from_secs(20);
        while waits().await.unwrap() == 0 {
            assert!(Instant::now() < deadline, "no session waits for a lock");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn in_log(&self, partition: Partition) -> Vec<Uuid> {
        let sql = "SELECT event_id FROM passbook.events WHERE partition = $1 ORDER BY position";
        sqlx::query_scalar(sql).bind(partition).fetch_all(&self.pool).await.unwrap()
    }

    async fn restores(&self, partition: Partition) -> Restores {
        let sql = "SELECT epoch, position FROM passbook.epochs WHERE partition = $1";
        let rows: Vec<(i32, i64)> =
            sqlx::query_as(sql).bind(partition).fetch_all(&self.pool).await.unwrap();
        rows.into_iter().collect()
    }

    async fn is_forked(&self, account: Uuid, version: i64) -> bool {
        match self.append_to(account, version, 1).await {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(violated_constraint(&error), Some("log_is_not_forked"), "{error}");
                true
            }
        }
    }

    /// Publishes three events of partition 3, deletes the last from the log, and appends `1 + more`
    /// others. Returns the account and the published events.
    async fn restored_and_written_to(&self, more: i64) -> (Uuid, Vec<RecordedEvent>) {
        let account = account_in(FORKED);
        let events = self.append_to(account, 0, 3).await.unwrap();
        let relay = self.relay();
        self.mirrored().await;
        relay.end().await;
        self.restore(WITHOUT_THE_LAST).await;
        self.append_to(account, 2, 1 + more).await.unwrap();
        (account, events)
    }
}

fn shown(forks: &[SurveyedFork]) -> Vec<ForkRef> {
    let shown = |found: &SurveyedFork| {
        let (log_position, topic_position) = (found.fork.log_position, found.fork.topic_position);
        ForkRef { partition: found.fork.partition, log_position, topic_position }
    };
    forks.iter().map(shown).collect()
}

async fn reports_fork(relay: &Running, words: &[&str]) {
    let reason = relay.reports("log", |check| check.state == CheckState::Failing).await;
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
}
