//! Forks as relays notice them.

use std::time::Duration;

use passbook_shared::health::CheckState;
use uuid::Uuid;

use super::{FORKED, WITHOUT_THE_LAST, reports_fork, shown};
use crate::pipeline::PARTITIONS;
use crate::pipeline::Pipeline;
use crate::tails::account_in;

/// Restores a log while all connections stay open.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_notices_a_log_restored_under_it() {
    for more in [0, 3] {
        let pipeline = Pipeline::start().await;
        let account = account_in(FORKED);
        pipeline.append_to(account, 0, 3).await.unwrap();
        let relay = pipeline.relay();
        pipeline.mirrored().await;
        relay.reports("log", |check| check.state == CheckState::Ok).await;
        pipeline.restore(WITHOUT_THE_LAST).await;
        if more > 0 {
            let _ = pipeline.append_to(account, 2, more).await;
        }
        reports_fork(&relay, &["partition 3"]).await;
        assert!(pipeline.is_forked(account, 2 + more).await);
        relay.end().await;
        pipeline.end().await;
    }
}

/// A record of an ended relay arrives while the next one starts, at another moment in each
/// partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_record_of_an_earlier_relay_is_a_fork_if_it_precedes_the_fence() {
    let pipeline = Pipeline::start().await;
    let mut fenced = Vec::new();
    for (partition, delay) in PARTITIONS.all().zip((0..).step_by(10)) {
        let account = account_in(partition);
        let mut events = pipeline.append_to(account, 0, 3).await.unwrap();
        let relay = pipeline.relay();
        pipeline.is_mirrored_by(partition, 3).await;
        relay.end().await;
        let mut late = events.pop().unwrap();
        (late.event_id, late.position.number, late.version) = (Uuid::new_v4(), 4, 4);
        let relay = pipeline.relay();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        pipeline.forge(partition, &late, pipeline.store.store_id, 0).await;
        relay.reports("relay", |_| true).await;
        let records = pipeline.records().await.remove(&partition).unwrap();
        let before = records.iter().take_while(|read| read.event.event_id != late.event_id);
        let is_fenced = before.filter(|read| read.event.position.number == 3).count() == 2;
        // Behind the fence, the record is a fork only if it arrived before the last look.
        assert!(pipeline.is_forked(account, 3).await || is_fenced, "partition {partition}");
        fenced.push(is_fenced);
        relay.end().await;
    }
    println!("behind the fence: {fenced:?}");
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_backup_ends_a_fork_for_the_relay_that_noticed_it() {
    let pipeline = Pipeline::start().await;
    let account = account_in(FORKED);
    let relay = pipeline.relay();
    pipeline.append_to(account, 0, 3).await.unwrap();
    pipeline.mirrored().await;
    relay.reports("log", |check| check.state == CheckState::Ok).await;
    let kept = "CREATE TABLE public.events AS TABLE passbook.events;
                CREATE TABLE public.heads AS TABLE passbook.log_head";
    pipeline.restore(kept).await;
    pipeline.restore(WITHOUT_THE_LAST).await;
    reports_fork(&relay, &["partition 3"]).await;
    let newer = "TRUNCATE passbook.events, passbook.log_head;
                 INSERT INTO passbook.events SELECT * FROM public.events;
                 INSERT INTO passbook.log_head SELECT * FROM public.heads";
    pipeline.restore(newer).await;
    relay.reports("log", |check| check.state == CheckState::Ok).await;
    pipeline.append_to(account, 3, 2).await.unwrap();
    pipeline.is_mirrored_by(FORKED, 5).await;
    relay.end().await;
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_old_records_do_not_hide_a_fork() {
    let pipeline = Pipeline::start().await;
    let account = account_in(FORKED);
    let events = pipeline.append_to(account, 0, 12).await.unwrap();
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    relay.end().await;
    pipeline.lose_after(10).await;
    pipeline.repeat(FORKED, events[..10].iter().cycle().take(1_500)).await;
    let relay = pipeline.relay();
    reports_fork(&relay, &["partition 3 (the log ends at 10, the topic at 12)"]).await;
    assert!(pipeline.is_forked(account, 10).await);
    let desk = pipeline.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    let given_up: Vec<Uuid> = found.forks[0].events.iter().map(|event| event.event_id).collect();
    assert_eq!(
        (found.forks[0].kept, given_up),
        (10, vec![events[10].event_id, events[11].event_id])
    );
    desk.accept(shown(&found.forks), false, None).await.unwrap();
    pipeline.append_to(account, 10, 3).await.unwrap();
    pipeline.is_mirrored_by(FORKED, 13).await;
    let restores = pipeline.restores(FORKED).await;
    assert_eq!(pipeline.followed(FORKED, &restores).await, pipeline.in_log(FORKED).await);
    relay.end().await;
    pipeline.end().await;
}
