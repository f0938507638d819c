//! Restores that an operator surveys and accepts.

use command_service::restore::desk::{AcceptError, ForkRef};
use passbook_shared::epoch::Restores;
use passbook_shared::health::CheckState;
use passbook_shared::partition::Partition;
use uuid::Uuid;

use super::{FORKED, reports_fork, shown};
use crate::pipeline::Pipeline;
use crate::tails::account_in;

#[tokio::test(flavor = "multi_thread")]
async fn another_event_at_a_position_is_a_fork_until_an_operator_accepts() {
    for more in [0, 4] {
        let pipeline = Pipeline::start().await;
        let (account, events) = pipeline.restored_and_written_to(more).await;
        let (head, topic) = (3 + more, pipeline.topic().await);
        let relay = pipeline.relay();
        let words = format!("partition 3 (the log ends at {head}, the topic at 3)");
        reports_fork(&relay, &[&words, &events[2].event_id.to_string(), "restore accept"]).await;
        assert!(pipeline.is_forked(account, head).await);
        // Other partitions continue.
        let other = pipeline.append_to(account_in(Partition::new(4)), 0, 2).await.unwrap();
        pipeline.is_mirrored_by(Partition::new(4), 2).await;
        // A restart does not end the fork.
        relay.end().await;
        let relay = pipeline.relay();
        reports_fork(&relay, &[&words]).await;
        assert!(pipeline.is_forked(account, head).await);
        assert_eq!(
            pipeline.topic().await[&FORKED],
            topic[&FORKED],
            "the relay published to a forked partition"
        );

        let desk = pipeline.desk(&relay.standing);
        let found = desk.survey(10).await.unwrap();
        assert_eq!(
            shown(&found.forks),
            [ForkRef { partition: FORKED, log_position: head, topic_position: 3 }]
        );
        let fork = &found.forks[0];
        let given_up: Vec<Uuid> = fork.events.iter().map(|event| event.event_id).collect();
        assert_eq!((fork.kept, given_up, fork.has_more), (2, vec![events[2].event_id], false));
        let wrong = ForkRef { partition: FORKED, log_position: head, topic_position: 4 };
        assert!(matches!(
            desk.accept(vec![wrong], false, None).await,
            Err(AcceptError::Changed(_))
        ));
        assert!(matches!(desk.accept(Vec::new(), true, None).await, Err(AcceptError::Changed(_))));
        assert!(pipeline.is_forked(account, head).await);

        // Two operators at once.
        let both = tokio::join!(
            desk.accept(shown(&found.forks), false, None),
            desk.accept(shown(&found.forks), false, None)
        );
        let ((Ok(accepted), Err(AcceptError::Changed(now)))
        | (Err(AcceptError::Changed(now)), Ok(accepted))) = both
        else {
            panic!("{both:?}")
        };
        assert!(accepted.epoch == 1 && now.forks.is_empty());
        relay.reports("log", |check| check.state == CheckState::Ok).await;
        assert!(!pipeline.is_forked(account, head).await);
        pipeline.is_mirrored_by(FORKED, head + 1).await;
        let restores = pipeline.restores(FORKED).await;
        assert_eq!(pipeline.followed(FORKED, &restores).await, pipeline.in_log(FORKED).await);
        assert_eq!(
            pipeline.followed(Partition::new(4), &Restores::default()).await,
            [other[0].event_id, other[1].event_id]
        );
        assert!(matches!(
            desk.accept(Vec::new(), false, None).await,
            Err(AcceptError::NothingToAccept)
        ));
        assert_eq!(desk.accept(Vec::new(), true, Some(7)).await.unwrap().epoch, 8);
        relay.end().await;
        pipeline.end().await;
    }
}

/// Restores the first backup again, which does not know of the accepted restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_from_before_an_accepted_restore_is_a_fork_and_gets_a_later_epoch() {
    let pipeline = Pipeline::start().await;
    let (account, events) = pipeline.restored_and_written_to(0).await;
    let relay = pipeline.relay();
    reports_fork(&relay, &[]).await;
    let desk = pipeline.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    desk.accept(shown(&found.forks), false, None).await.unwrap();
    pipeline.append_to(account, 3, 2).await.unwrap();
    pipeline.is_mirrored_by(FORKED, 5).await;
    relay.end().await;

    // The log of before: without the accepted restore and the events after it.
    pipeline.restore("DELETE FROM passbook.epochs").await;
    pipeline.lose_after(2).await;
    let relay = pipeline.relay();
    reports_fork(&relay, &["partition 3 (the log ends at 2, the topic at 5)"]).await;
    let desk = pipeline.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    assert_eq!(
        (found.epoch, found.forks[0].kept, found.forks[0].events.len()),
        (0, 2, 4),
        "{found:?}"
    );
    assert!(found.forks[0].events.iter().any(|event| event.event_id == events[2].event_id));
    assert_eq!(desk.accept(shown(&found.forks), false, None).await.unwrap().epoch, 2);
    pipeline.append_to(account, 2, 4).await.unwrap();
    pipeline.is_mirrored_by(FORKED, 6).await;
    let restores = pipeline.restores(FORKED).await;
    assert_eq!(pipeline.followed(FORKED, &restores).await, pipeline.in_log(FORKED).await);
    relay.end().await;
    pipeline.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptance_is_announced_though_its_caller_goes_away() {
    let pipeline = Pipeline::start().await;
    pipeline.append(2).await;
    let relay = pipeline.relay();
    pipeline.mirrored().await;
    let desk = pipeline.desk(&relay.standing);
    relay.end().await;
    // Stops the acceptance where it begins the epoch.
    let mut transaction = pipeline.pool.begin().await.unwrap();
    let lock = "SELECT FROM passbook.log_head FOR UPDATE";
    sqlx::query(lock).execute(&mut *transaction).await.unwrap();
    tokio::select! {
        accepted = desk.accept(Vec::new(), true, None) => panic!("{accepted:?}"),
        () = pipeline.waits_for_lock() => {}
    }
    transaction.rollback().await.unwrap();
    // The survey takes its turn after the acceptance.
    assert_eq!(desk.survey(0).await.unwrap().epoch, 1);
    pipeline.restore("DELETE FROM passbook.epochs").await;
    let found = desk.survey(0).await.unwrap();
    assert_eq!((found.epoch, found.latest), (0, 1), "the topic knows epoch 1");
    pipeline.end().await;
}

/// Accepts while no relay runs, and restores a backup from before that.
#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_does_not_begin_a_second_time_though_no_relay_has_published_in_it() {
    let pipeline = Pipeline::start().await;
    pipeline.restored_and_written_to(0).await;
    let relay = pipeline.relay();
    reports_fork(&relay, &[]).await;
    let desk = pipeline.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    relay.end().await;
    assert_eq!(desk.accept(shown(&found.forks), false, None).await.unwrap().epoch, 1);
    pipeline.restore("DELETE FROM passbook.epochs").await;
    pipeline.lose_after(2).await;
    let relay = pipeline.relay();
    reports_fork(&relay, &["partition 3 (the log ends at 2"]).await;
    let desk = pipeline.desk(&relay.standing);
    let found = desk.survey(10).await.unwrap();
    assert_eq!(desk.accept(shown(&found.forks), false, None).await.unwrap().epoch, 2);
    // Without a fork as well.
    relay.end().await;
    assert_eq!(desk.accept(Vec::new(), true, None).await.unwrap().epoch, 3);
    assert_eq!(desk.survey(10).await.unwrap().latest, 3);
    pipeline.restore("DELETE FROM passbook.epochs WHERE epoch = 3").await;
    assert_eq!(desk.survey(10).await.unwrap().latest, 3, "the topic knows epoch 3");
    pipeline.end().await;
}

/// Loses more events than a survey lists.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_common_position_is_found_however_far_back_it_is() {
    const EVENTS: i64 = 6_000;
    let pipeline = Pipeline::start().await;
    let account = account_in(FORKED);
    let mut events = Vec::new();
    for batch in 0..EVENTS / 1_000 {
        events.extend(pipeline.append_to(account, batch * 1_000, 1_000).await.unwrap());
    }
    let relay = pipeline.relay();
    pipeline.is_mirrored_by(FORKED, EVENTS).await;
    relay.end().await;
    pipeline.lose_after(777).await;
    pipeline.append_to(account, 777, 5).await.unwrap();
    // Garbage follows the records that decide.
    pipeline.write(FORKED, "garbage", b"{}").await;
    let relay = pipeline.relay();
    reports_fork(&relay, &["the topic at 6000"]).await;
    let desk = pipeline.desk(&relay.standing);
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
    pipeline.append_to(account, 782, 1).await.unwrap();
    pipeline.is_mirrored_by(FORKED, 783).await;
    let restores = pipeline.restores(FORKED).await;
    assert_eq!(pipeline.followed(FORKED, &restores).await, pipeline.in_log(FORKED).await);
    relay.end().await;
    pipeline.end().await;
}
