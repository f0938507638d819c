//! Accounts out of a query's scope: each query answers as if they were missing.

use passbook_shared::access::Reach;
use passbook_shared::event::AccountEvent;
use passbook_shared::text::Owner;
use projection_service::store::accounts::{Filter, Sort, SortBy};
use projection_service::store::history::{entries, transfers};
use projection_service::store::scope::Scope;
use projection_service::store::{accounts, history};
use sqlx::PgPool;
use uuid::Uuid;

use crate::batches::{database, write};
use crate::events::{at, deposited, id, opened, received, sent};

/// Transfer between the two accounts of `acme`.
const TRANSFER: Uuid = Uuid::from_u128(7);

fn of_tenant(owner: &str, tenant: Option<&str>) -> AccountEvent {
    let AccountEvent::AccountOpened(mut opening) = opened(owner) else { panic!("no opening") };
    opening.tenant = tenant.map(|tenant| tenant.parse().unwrap());
    AccountEvent::AccountOpened(opening)
}

fn scope(tenant: Option<&str>, owner: Option<&str>) -> Scope {
    let tenant = tenant.map(|tenant| tenant.parse().unwrap());
    Scope::of(Reach { tenant, owner: owner.map(|owner| Owner::new(owner).unwrap()) })
}

/// Creates accounts 1 and 2 of the tenant `acme`, 3 of `other`, and 4 of none.
async fn given(pool: &PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    for (number, owner, tenant, more) in [
        (1, "ada", Some("acme"), sent(TRANSFER, id(2), 2)),
        (2, "bob", Some("acme"), received(TRANSFER, id(1), 2)),
        (3, "ada", Some("other"), deposited(1)),
        (4, "ada", None, deposited(1)),
    ] {
        let events = [(of_tenant(owner, tenant), at(0)), (more, at(10))];
        write(&mut connection, id(number), &events).await;
    }
}

/// Returns the names of the queries that find an account.
async fn found_by(pool: &PgPool, scope: &Scope, account: Uuid) -> Vec<&'static str> {
    let by_opening = Sort { by: SortBy::OpenedAt, descending: false };
    let mut found = Vec::new();
    for (name, as_of) in [("list", None), ("list as of", Some(at(20))), ("list then", Some(at(5)))]
    {
        let filter = Filter { as_of, ..Filter::default() };
        let page = accounts::list(pool, scope, &filter, by_opening, (None, 10)).await.unwrap();
        if page.iter().any(|listed| listed.account_id == account) {
            found.push(name);
        }
    }
    for (name, is_found) in [
        ("find", accounts::find(pool, scope, account).await.unwrap().is_some()),
        ("version", accounts::version(pool, scope, account).await.unwrap().is_some()),
        ("at", history::at_version(pool, scope, account, 1).await.unwrap().is_some()),
        ("as of", history::as_of(pool, scope, account, at(20)).await.unwrap().is_some()),
        ("entry", entries::find(pool, scope, account, 1).await.unwrap().is_some()),
        (
            "period",
            history::period(pool, scope, account, (None, None), None).await.unwrap().is_some(),
        ),
    ] {
        if is_found {
            found.push(name);
        }
    }
    found
}

#[tokio::test]
async fn a_query_finds_the_accounts_in_its_scope_only() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    const ALL: [&str; 9] =
        ["list", "list as of", "list then", "find", "version", "at", "as of", "entry", "period"];
    for (scope, of_scope) in [
        (scope(None, None), &[1, 2, 3, 4][..]),
        (scope(Some("acme"), None), &[1, 2]),
        (scope(Some("acme"), Some("ada")), &[1]),
        (scope(None, Some("ada")), &[1, 3, 4]),
        (scope(Some("other"), None), &[3]),
        (scope(Some("none"), None), &[]),
    ] {
        for number in 1..=4 {
            let found = found_by(pool, &scope, id(number)).await;
            let expected: &[_] = if of_scope.contains(&number) { &ALL } else { &[] };
            assert_eq!(found, expected, "{scope:?}, account {number}");
        }
    }
}

#[tokio::test]
async fn a_transfer_is_found_by_its_parties_only() {
    let database = database().await;
    let pool = &database.pool;
    given(pool).await;
    for (scope, of_scope) in [
        (scope(None, None), &[true, true][..]),
        (scope(Some("acme"), None), &[true, true]),
        (scope(Some("acme"), Some("bob")), &[false, true]),
        (scope(Some("acme"), Some("eve")), &[]),
        (scope(Some("other"), None), &[]),
    ] {
        let mut legs = transfers::legs(pool, &scope, TRANSFER).await.unwrap();
        legs.sort_by_key(|leg| leg.account_id);
        let found: Vec<bool> = legs.iter().map(|leg| leg.is_in_scope).collect();
        assert_eq!(found, of_scope, "{scope:?}");
    }
}
