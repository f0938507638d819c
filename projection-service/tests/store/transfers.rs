//! Transfers and reversals in the history.

use passbook_shared::text::Metadata;
use projection_service::store::history;
use projection_service::store::history::{entries, transfers};

use crate::batches::{PARTITION, database, rewind, write};
use crate::events::{
    at, deposited, id, opened, received, reversed_deposit, reversed_received, sent, timed,
};
use crate::scope::{everything, in_scope};

#[tokio::test]
async fn a_transfer_is_found_by_its_id_with_its_applied_legs_and_their_reversals() {
    let database = database().await;
    let pool = &database.pool;
    let mut connection = pool.acquire().await.unwrap();
    write(&mut connection, id(1), &timed(vec![opened("o"), sent(id(7), id(2), 2)])).await;
    assert_eq!(transfers::legs(pool, &everything(), id(8)).await.unwrap(), []);
    let alone = transfers::legs(pool, &everything(), id(7)).await.unwrap();
    assert_eq!(alone.len(), 1);
    assert_eq!(
        (alone[0].counterparty, alone[0].counterparty_version),
        (id(2), 2),
        "where the other is to be"
    );

    let other = vec![opened("o"), received(id(7), id(1), 2), reversed_received(2, id(7), id(1), 3)];
    write(&mut connection, id(2), &timed(other)).await;
    // Another sender has chosen the same id.
    write(&mut connection, id(3), &timed(vec![opened("o"), deposited(1), sent(id(7), id(4), 2)]))
        .await;
    let mut legs = transfers::legs(pool, &everything(), id(7)).await.unwrap();
    legs.sort_by_key(|leg| leg.amount);
    let found: Vec<_> = legs
        .iter()
        .map(|l| (l.account_id, l.version, l.amount, l.balance, l.reversed_by))
        .collect();
    assert_eq!(found, [(id(1), 2, -40, 60, None), (id(2), 2, 40, 140, Some(3))]);
    assert_eq!((legs[0].currency.as_str(), legs[0].reference.as_deref()), ("EUR", Some("rent")));

    rewind(pool, 4).await;
    let found: Vec<_> = transfers::legs(pool, &everything(), id(7))
        .await
        .unwrap()
        .iter()
        .map(|leg| leg.reversed_by)
        .collect();
    assert_eq!(found, [None, None], "neither leg is reversed any more");
    rewind(pool, 3).await;
    assert_eq!(transfers::legs(pool, &everything(), id(7)).await.unwrap(), alone);
}

#[tokio::test]
async fn an_entry_names_its_reversal_if_known_by_then() {
    let database = database().await;
    let pool = &database.pool;
    let events = vec![opened("o"), deposited(5), deposited(7), reversed_deposit(2, 5)];
    write(&mut pool.acquire().await.unwrap(), id(1), &timed(events)).await;
    for (to, as_of, known, undone) in [
        (None, None, 4, Some(4)),
        (None, Some(at(3)), 4, Some(4)),
        (None, Some(at(2)), 3, None),
        // The period ends before the reversal, which is known now.
        (Some(at(3)), None, 4, Some(4)),
        (Some(at(3)), Some(at(2)), 3, None),
    ] {
        let period =
            history::period(pool, &everything(), id(1), (None, to), as_of).await.unwrap().unwrap();
        assert_eq!(period.known, known);
        let metadata = Metadata::default();
        let filter =
            entries::Filter { after: 1, before: 3, event_type: None, metadata: &metadata, known };
        let lines = entries::list(pool, in_scope(pool, id(1)).await, &filter, 10).await.unwrap();
        assert_eq!(
            (lines.len(), lines[0].version, lines[0].reversed_by),
            (1, 2, undone),
            "{to:?} {as_of:?}"
        );
    }
    let undoing = entries::find(pool, &everything(), id(1), 4).await.unwrap().unwrap();
    assert_eq!(
        (undoing.entry.reverses, undoing.entry.amount, undoing.entry.reversed_by),
        (Some(2), Some(-5), None)
    );
    assert_eq!(
        (undoing.kafka_offset, undoing.published_at, undoing.generation),
        (Some(3), Some(at(3)), 1)
    );
    assert_eq!(
        (
            undoing.partition,
            entries::find(pool, &everything(), id(1), 2).await.unwrap().unwrap().entry.reversed_by
        ),
        (PARTITION, Some(4))
    );
    assert_eq!(entries::find(pool, &everything(), id(1), 5).await.unwrap(), None);
    rewind(pool, 3).await;
    assert_eq!(
        entries::find(pool, &everything(), id(1), 2).await.unwrap().unwrap().entry.reversed_by,
        None
    );
}
