//! Logs that were restored from a backup: the event ids tell, not the positions; and an operator decides.

use std::time::Duration;

use command_service::restore::desk::{AcceptError, ForkRef};
use passbook_shared::epoch::Restores;
use passbook_shared::health::CheckState;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::store_error::violated_constraint;
use uuid::Uuid;

use crate::ground::{Ground, Running};
use crate::tails::account_in;

/// Takes the last event of partition 3 away.
const WITHOUT_THE_LAST: &str = "DELETE FROM passbook.events AS e USING passbook.log_head AS h
     WHERE e.partition = 3 AND h.partition = 3 AND e.position = h.position;
    UPDATE passbook.log_head SET position = position - 1 WHERE partition = 3";

impl Ground {
    /// The ids that whoever follows the topic has at the end, by position: what was given up is skipped, and only what is
    /// next is taken.
    async fn followed(&self, partition: Partition, restores: &Restores) -> Vec<Uuid> {
        let mut events = Vec::new();
        for read in self.records().await.remove(&partition).unwrap_or_default() {
            let position = read.event.position.number;
            if !restores.gave_up(read.epoch, position)
                && position == i64::try_from(events.len()).unwrap() + 1
            {
                events.push(read.event.event_id);
            }
        }
        events
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

    /// A log of three events in partition 3 whose last two another log has instead: as long as the topic, or longer.
    async fn restored_and_written_to(&self, more: i64) -> (Uuid, Vec<RecordedEvent>) {
        let account = account_in(3);
        let events = self.append_to(account, 0, 3).await.unwrap();
        let relay = self.relay();
        self.mirrored().await;
        relay.end().await;
        self.restore(WITHOUT_THE_LAST).await;
        self.append_to(account, 2, 1 + more).await.unwrap();
        (account, events)
    }
}

fn shown(forks: &[command_service::restore::survey::SurveyedFork]) -> Vec<ForkRef> {
    let shown = |found: &command_service::restore::survey::SurveyedFork| {
        let (log_position, topic_position) = (found.fork.log_position, found.fork.topic_position);
        ForkRef { partition: found.fork.partition, log_position, topic_position }
    };
    forks.iter().map(shown).collect()
}

async fn tells_of_fork(relay: &Running, words: &[&str]) {
    let told = relay.says("log", |check| check.state == CheckState::Failing).await;
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_event_at_the_same_position_is_a_fork_that_only_an_operator_ends() {
    for more in [0, 4] {
        let ground = Ground::start().await;
        let (account, events) = ground.restored_and_written_to(more).await;
        let (head, topic) = (3 + more, ground.topic().await);
        let relay = ground.relay();
        let words = format!("partition 3 (the log ends at {head}, the topic at 3)");
        tells_of_fork(&relay, &[&words, &events[2].event_id.to_string(), "restore accept"]).await;
        assert!(ground.is_forked(account, head).await);
        // Others go on.
        let other = ground.append_to(account_in(4), 0, 2).await.unwrap();
        ground.is_mirrored_by(4, 2).await;
        // No restart ends it.
        relay.end().await;
        let relay = ground.relay();
        tells_of_fork(&relay, &[&words]).await;
        assert!(ground.is_forked(account, head).await);
        assert_eq!(ground.topic().await[&3], topic[&3], "nothing was published");

        let desk = ground.desk(&relay.standing);
        let found = desk.survey(10).await.unwrap();
        assert_eq!(
            shown(&found.forks),
            [ForkRef { partition: 3, log_position: head, topic_position: 3 }]
        );
        let fork = &found.forks[0];
        let given_up: Vec<Uuid> = fork.events.iter().map(|event| event.event_id).collect();
        assert_eq!((fork.kept, given_up, fork.has_more), (2, vec![events[2].event_id], false));
        let wrong = ForkRef { partition: 3, log_position: head, topic_position: 4 };
        assert!(matches!(
            desk.accept(vec![wrong], false, None).await,
            Err(AcceptError::Changed(_))
        ));
        assert!(matches!(desk.accept(Vec::new(), true, None).await, Err(AcceptError::Changed(_))));
        assert!(ground.is_forked(account, head).await);

        // Two operators at once.
        let both = tokio::join!(
            desk.accept(shown(&found.forks), false, None),
            desk.accept(shown(&found.forks), false, None)
        );
        let (Ok(accepted), Err(AcceptError::Changed(now))) = both else { panic!("{both:?}") };
        assert!(accepted.epoch == 1 && now.forks.is_empty());
        relay.says("log", |check| check.state == CheckState::Ok).await;
        assert!(!ground.is_forked(account, head).await);
        ground.is_mirrored_by(3, head + 1).await;
        let restores = ground.restores(3).await;
        assert_eq!(ground.followed(3, &restores).await, ground.in_log(3).await);
        assert_eq!(
            ground.followed(4, &Restores::default()).await,
            [other[0].event_id, other[1].event_id]
        );
        assert!(matches!(
            desk.accept(Vec::new(), false, None).await,
            Err(AcceptError::NothingToAccept)
        ));
        assert_eq!(desk.accept(Vec::new(), true, Some(7)).await.unwrap().epoch, 8);
        relay.end().await;
        ground.end().await;
    }
}

/// From the backup that the first restore was from, too: it knows nothing of the restore that was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_from_before_an_accepted_restore_is_a_fork_and_its_epoch_is_later_than_any() {
    let ground = Ground::start().await;
    let (account, events) = ground.restored_and_written_to(0).await;
    let relay = ground.relay();
    tells_of_fork(&relay, &[]).await;
    let desk = ground.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    desk.accept(shown(&found.forks), false, None).await.unwrap();
    ground.append_to(account, 3, 2).await.unwrap();
    ground.is_mirrored_by(3, 5).await;
    relay.end().await;

    // What it was like before, with the event that was given up; and nothing of what came after.
    ground
        .restore(
            "DELETE FROM passbook.epochs; DELETE FROM passbook.events WHERE partition = 3 AND position > 2;
                    UPDATE passbook.log_head SET position = 2 WHERE partition = 3",
        )
        .await;
    let relay = ground.relay();
    tells_of_fork(&relay, &["partition 3 (the log ends at 2, the topic at 5)"]).await;
    let desk = ground.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    assert_eq!(
        (found.epoch, found.forks[0].kept, found.forks[0].events.len()),
        (0, 2, 4),
        "{found:?}"
    );
    assert!(found.forks[0].events.iter().any(|event| event.event_id == events[2].event_id));
    assert_eq!(desk.accept(shown(&found.forks), false, None).await.unwrap().epoch, 2);
    ground.append_to(account, 2, 4).await.unwrap();
    ground.is_mirrored_by(3, 6).await;
    let restores = ground.restores(3).await;
    assert_eq!(ground.followed(3, &restores).await, ground.in_log(3).await);
    relay.end().await;
    ground.end().await;
}

/// Without any connection that breaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_replaced_under_a_relay_is_noticed_by_it() {
    for more in [0, 3] {
        let ground = Ground::start().await;
        let account = account_in(3);
        ground.append_to(account, 0, 3).await.unwrap();
        let relay = ground.relay();
        ground.mirrored().await;
        relay.says("log", |check| check.state == CheckState::Ok).await;
        ground.restore(WITHOUT_THE_LAST).await;
        if more > 0 {
            let _ = ground.append_to(account, 2, more).await;
        }
        tells_of_fork(&relay, &["partition 3"]).await;
        assert!(ground.is_forked(account, 2 + more).await);
        relay.end().await;
        ground.end().await;
    }
}

/// The relay before it is gone, and what that had under way comes when the topic has been looked at: at any moment of the
/// new one's start.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_relay_had_under_way_is_a_fork_if_it_comes_before_the_fence() {
    let ground = Ground::start().await;
    let mut fenced = Vec::new();
    for partition in 0..12 {
        let account = account_in(partition);
        let mut events = ground.append_to(account, 0, 3).await.unwrap();
        let relay = ground.relay();
        ground.is_mirrored_by(partition, 3).await;
        relay.end().await;
        let mut late = events.pop().unwrap();
        (late.event_id, late.position.number, late.version) = (Uuid::new_v4(), 4, 4);
        let relay = ground.relay();
        tokio::time::sleep(Duration::from_millis(u64::try_from(partition).unwrap() * 10)).await;
        ground.forge(partition, &late, ground.store.store_id, 0).await;
        relay.says("relay", |_| true).await;
        let records = ground.records().await.remove(&partition).unwrap();
        let before = records.iter().take_while(|read| read.event.event_id != late.event_id);
        let is_fenced = before.filter(|read| read.event.position.number == 3).count() == 2;
        // Behind the fence, it is one only if it came before the last look.
        assert!(ground.is_forked(account, 3).await || is_fenced, "partition {partition}");
        fenced.push(is_fenced);
        relay.end().await;
    }
    println!("came behind the fence: {fenced:?}");
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_backup_ends_a_fork_for_the_relay_that_found_it() {
    let ground = Ground::start().await;
    let account = account_in(3);
    let relay = ground.relay();
    ground.append_to(account, 0, 3).await.unwrap();
    ground.mirrored().await;
    relay.says("log", |check| check.state == CheckState::Ok).await;
    let kept = "CREATE TABLE public.events AS TABLE passbook.events; CREATE TABLE public.heads AS TABLE passbook.log_head";
    ground.restore(kept).await;
    ground.restore(WITHOUT_THE_LAST).await;
    tells_of_fork(&relay, &["partition 3"]).await;
    let newer = "TRUNCATE passbook.events, passbook.log_head; INSERT INTO passbook.events SELECT * FROM public.events;
                 INSERT INTO passbook.log_head SELECT * FROM public.heads";
    ground.restore(newer).await;
    relay.says("log", |check| check.state == CheckState::Ok).await;
    ground.append_to(account, 3, 2).await.unwrap();
    ground.is_mirrored_by(3, 5).await;
    relay.end().await;
    ground.end().await;
}

/// So many events were lost that they are not all looked at.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_common_position_is_found_however_far_back_it_is() {
    const EVENTS: i64 = 6_000;
    let ground = Ground::start().await;
    let account = account_in(3);
    let mut events = Vec::new();
    for batch in 0..EVENTS / 1_000 {
        events.extend(ground.append_to(account, batch * 1_000, 1_000).await.unwrap());
    }
    let relay = ground.relay();
    ground.is_mirrored_by(3, EVENTS).await;
    relay.end().await;
    ground
        .restore(
            "DELETE FROM passbook.events WHERE partition = 3 AND position > 777;
                    UPDATE passbook.log_head SET position = 777 WHERE partition = 3",
        )
        .await;
    ground.append_to(account, 777, 5).await.unwrap();
    // And somebody has written garbage where the records are that tell.
    ground.write(3, "garbage", b"{}").await;
    let relay = ground.relay();
    tells_of_fork(&relay, &["the topic at 6000"]).await;
    let desk = ground.desk(&relay.standing);
    let found = desk.survey(100).await.unwrap();
    let fork = &found.forks[0];
    assert_eq!((fork.kept, fork.events.len(), fork.has_more), (777, 100, true));
    assert!(
        fork.events
            .iter()
            .zip(&events[777..])
            .all(|(given_up, lost)| given_up.event_id == lost.event_id)
    );
    desk.accept(shown(&found.forks), false, None).await.unwrap();
    ground.append_to(account, 782, 1).await.unwrap();
    ground.is_mirrored_by(3, 783).await;
    let restores = ground.restores(3).await;
    assert_eq!(ground.followed(3, &restores).await, ground.in_log(3).await);
    relay.end().await;
    ground.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_repeated_old_records_hides_a_fork() {
    let ground = Ground::start().await;
    let account = account_in(3);
    let events = ground.append_to(account, 0, 12).await.unwrap();
    let relay = ground.relay();
    ground.mirrored().await;
    relay.end().await;
    ground
        .restore(
            "DELETE FROM passbook.events WHERE partition = 3 AND position > 10;
                    UPDATE passbook.log_head SET position = 10 WHERE partition = 3",
        )
        .await;
    ground.repeat(3, events[..10].iter().cycle().take(1_500)).await;
    let relay = ground.relay();
    tells_of_fork(&relay, &["partition 3 (the log ends at 10, the topic at 12)"]).await;
    assert!(ground.is_forked(account, 10).await);
    let desk = ground.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    let given_up: Vec<Uuid> = found.forks[0].events.iter().map(|event| event.event_id).collect();
    assert_eq!(
        (found.forks[0].kept, given_up),
        (10, vec![events[10].event_id, events[11].event_id])
    );
    desk.accept(shown(&found.forks), false, None).await.unwrap();
    ground.append_to(account, 10, 3).await.unwrap();
    ground.is_mirrored_by(3, 13).await;
    let restores = ground.restores(3).await;
    assert_eq!(ground.followed(3, &restores).await, ground.in_log(3).await);
    relay.end().await;
    ground.end().await;
}
