//! Owners, current and past, of accounts whose owner changes.

use passbook_shared::text::Metadata;
use projection_service::store::accounts::{Filter, Sort, SortBy};
use projection_service::store::history::{effective, entries};
use projection_service::store::{accounts, history};
use sqlx::PgPool;

use crate::batches::{database, rewind, write};
use crate::events::{at, deposited, id, opened, owner_changed};
use crate::scope::{everything, in_scope};

/// Account 1 belongs to ada, from 10 s to eve, and from 30 s to ada again; account 2 always to ada.
async fn given(pool: &PgPool) {
    let events = [
        (opened("ada"), at(0)),
        (owner_changed("eve"), at(10)),
        (deposited(1), at(20)),
        (owner_changed("ada"), at(30)),
    ];
    let mut connection = pool.acquire().await.unwrap();
    write(&mut connection, id(1), &events).await;
    write(&mut connection, id(2), &[(opened("ada"), at(5)), (deposited(1), at(20))]).await;
}

async fn row(pool: &PgPool) -> (String, Option<String>, i64) {
    sqlx::query_as("SELECT owner, opening_owner, version FROM accounts WHERE account_id = $1")
        .bind(id(1))
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn past_states_have_the_owner_of_their_time() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    assert_eq!(accounts::find(pool, &everything(), id(1)).await.unwrap().unwrap().owner, "ada");
    for (version, owner) in [(1, "ada"), (2, "eve"), (3, "eve"), (4, "ada")] {
        let then = history::at_version(pool, &everything(), id(1), version).await.unwrap().unwrap();
        assert_eq!(then.owner, owner, "version {version}");
    }
    let by_opening = Sort { by: SortBy::OpenedAt, descending: false };
    for (seconds, own, of_ada) in
        [(0, "ada", vec![1]), (9, "ada", vec![1, 2]), (10, "eve", vec![2]), (30, "ada", vec![1, 2])]
    {
        let then = history::as_of(pool, &everything(), id(1), at(seconds)).await.unwrap().unwrap();
        assert_eq!(then.owner, own, "as of {seconds} s");
        let as_of = Some(at(seconds));
        let filter = Filter { owner: Some("ada".to_owned()), as_of, ..Filter::default() };
        let found =
            accounts::list(pool, &everything(), &filter, by_opening, (None, 10)).await.unwrap();
        let ids: Vec<_> = found.iter().map(|account| account.account_id).collect();
        assert_eq!(ids, of_ada.into_iter().map(id).collect::<Vec<_>>(), "as of {seconds} s");
        let filter = Filter { as_of, ..Filter::default() };
        let all =
            accounts::list(pool, &everything(), &filter, by_opening, (None, 10)).await.unwrap();
        assert_eq!(all[0].owner, own, "as of {seconds} s");
    }
}

#[tokio::test]
async fn entries_name_the_new_owner() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    let filter = entries::Filter {
        after: 0,
        before: 5,
        event_type: Some("OwnerChanged"),
        metadata: &Metadata::default(),
        known: 4,
    };
    let recorded = entries::list(pool, in_scope(pool, id(1)).await, &filter, 10).await.unwrap();
    let lines: Vec<_> = recorded
        .iter()
        .map(|entry| (entry.version, entry.owner.as_deref(), entry.reference.as_deref()))
        .collect();
    assert_eq!(lines, [(4, Some("ada"), Some("inherited")), (2, Some("eve"), Some("inherited"))]);
    let by_effect =
        effective::list(pool, in_scope(pool, id(1)).await, &filter, (None, None), None, 10)
            .await
            .unwrap();
    let owners: Vec<_> = by_effect.iter().map(|entry| (entry.version, &entry.owner)).collect();
    assert_eq!(owners, recorded.iter().map(|e| (e.version, &e.owner)).collect::<Vec<_>>());
    assert_eq!(
        entries::find(pool, &everything(), id(1), 3).await.unwrap().unwrap().entry.owner,
        None
    );
}

#[tokio::test]
async fn a_rewind_takes_the_owner_back() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    for (position, owner, opening_owner) in [
        (4, "ada", Some("ada")),
        (3, "eve", Some("ada")),
        (2, "eve", Some("ada")),
        (1, "ada", None),
    ] {
        rewind(pool, position).await;
        assert_eq!(row(pool).await, (owner.into(), opening_owner.map(Into::into), position));
    }
}

/// During an upgrade, the services of the previous release apply batches on the new schema.
#[tokio::test]
async fn the_previous_release_can_apply_batches() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    sqlx::query(
        "SELECT projection.apply(
            '{3}', '{0}', '{6}', '{7}', '{NULL}', '{NULL}', '{NULL}',
            '{}', '{}', '{}', '{}', '{}', '{}',
            ARRAY[$1], ARRAY[now()], '{5}', '{7}', '{101}', '{0}', '{0}', '{3}', '{open}',
            ARRAY[$1], '{5}', '{7}', ARRAY[now()], '{NULL}', '{101}', '{0}', '{0}', '{3}', '{NULL}',
            '{open}', '{MoneyDeposited}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
            '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{NULL}',
            '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    )
    .bind(id(1))
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(row(pool).await, ("ada".into(), Some("ada".into()), 5));
}
