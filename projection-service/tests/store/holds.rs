//! Holds in the history.

use passbook_shared::event::HoldStatus;
use projection_service::store::accounts;
use projection_service::store::history::holds;
use sqlx::PgPool;
use uuid::Uuid;

use crate::batches::{database, rewind, write};
use crate::events::{at, captured, expired, id, opened, placed, released, timed};
use crate::scope::{everything, in_scope};

async fn hold_list(
    pool: &PgPool,
    before: i64,
    status: Option<HoldStatus>,
    limit: i64,
) -> Vec<(Uuid, HoldStatus, i64)> {
    let found = holds::list(pool, in_scope(pool, id(1)).await, i64::MAX, before, status, limit)
        .await
        .unwrap();
    found.iter().map(|hold| (hold.hold_id, hold.status, hold.captured)).collect()
}

#[tokio::test]
async fn holds_are_listed_newest_first_with_their_end_even_after_a_rewind() {
    let database = database().await;
    let pool = &database.pool;
    // The holds end in another order than they were placed.
    let ends = [captured(11), expired(13), released(12)];
    let events =
        [vec![opened("o"), placed(11), placed(12), placed(13)], ends.to_vec(), vec![placed(14)]]
            .concat();
    write(&mut pool.acquire().await.unwrap(), id(1), &timed(events)).await;
    write(&mut pool.acquire().await.unwrap(), id(2), &timed(vec![opened("o"), placed(11)])).await;

    use HoldStatus::{Captured, Expired, Open, Released};
    let all =
        [(id(14), Open, 0), (id(13), Expired, 0), (id(12), Released, 0), (id(11), Captured, 30)];
    assert_eq!(hold_list(pool, i64::MAX, None, 10).await, all);
    assert_eq!(hold_list(pool, i64::MAX, None, 2).await, all[..2]);
    assert_eq!(hold_list(pool, 4, None, 10).await, all[2..], "placed before version 4");
    for hold in all {
        assert_eq!(hold_list(pool, i64::MAX, Some(hold.1), 10).await, [hold]);
    }
    let then = holds::list(pool, in_scope(pool, id(1)).await, 5, i64::MAX, None, 10).await.unwrap();
    let then: Vec<_> = then.iter().map(|hold| (hold.hold_id, hold.status)).collect();
    assert_eq!(then, [(id(13), Open), (id(12), Open), (id(11), Captured)], "as of version 5");
    let first = holds::list(pool, in_scope(pool, id(1)).await, i64::MAX, 3, None, 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (first.amount, first.expires_at, first.reference.as_deref()),
        (50, Some(at(900)), Some("room 12"))
    );
    assert_eq!((first.placed_version, first.placed_at), (2, at(1)));
    assert_eq!(
        (first.ended_version, first.ended_at, first.metadata),
        (Some(5), Some(at(4)), Some(r#"{"desk": "2"}"#.into()))
    );

    let state = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap().state;
    assert_eq!((state.balance, state.held, state.transaction_count), (70, 50, 2));
    rewind(pool, 5).await;
    let then = [(id(13), Open, 0), (id(12), Open, 0), (id(11), Captured, 30)];
    assert_eq!(hold_list(pool, i64::MAX, None, 10).await, then);
    let state = accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap().state;
    assert_eq!((state.balance, state.held, state.version), (70, 100, 5));
}
