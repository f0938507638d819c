//! Lists of accounts and entries: pages, orders and filters.

use passbook_shared::event::{AccountEvent, AccountStatus};
use passbook_shared::text::Metadata;
use projection_service::store::accounts::{Filter, Sort, SortBy, SortKey};
use projection_service::store::history::entries;
use projection_service::store::{accounts, history};
use serde_json::{Value, json};

use crate::batches::{database, write};
use crate::events::{at, deposited, event, id, opened, timed};
use crate::scope::{everything, in_scope};

fn metadata(json: Value) -> Metadata {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn pages_show_every_account_once_in_any_order_even_with_equal_keys() {
    let database = database().await;
    let pool = &database.pool;
    for n in 1_u32..=7 {
        let mut events =
            vec![(opened(if n % 2 == 0 { "even" } else { "odd" }), at(i64::from(n) / 3))];
        events.extend((0..n % 3).map(|_| (deposited(10), at(5))));
        write(&mut pool.acquire().await.unwrap(), id(n.into()), &events).await;
    }
    for by in [SortBy::OpenedAt, SortBy::Balance, SortBy::LastActivity] {
        for descending in [false, true] {
            let sort = Sort { by, descending };
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page =
                    accounts::list(pool, &everything(), &Filter::default(), sort, (after, 2))
                        .await
                        .unwrap();
                let Some(last) = page.last() else { break };
                let key = match by {
                    SortBy::OpenedAt => SortKey::Time(last.opened_at),
                    SortBy::Balance => SortKey::Amount(last.state.balance),
                    SortBy::LastActivity => SortKey::Time(last.last_activity),
                };
                after = Some((key, last.account_id));
                seen.extend(page.iter().map(|account| account.account_id));
            }
            assert_eq!(seen.len(), 7, "{sort:?}");
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 7, "{sort:?}");
        }
    }
    for seconds in -1..7 {
        let filter = Filter { as_of: Some(at(seconds)), ..Filter::default() };
        for by in [SortBy::OpenedAt, SortBy::Balance, SortBy::LastActivity] {
            let mut found = accounts::list(
                pool,
                &everything(),
                &filter,
                Sort { by, descending: true },
                (None, 10),
            )
            .await
            .unwrap();
            found.sort_by_key(|account| account.account_id);
            let mut there = Vec::new();
            for n in 1..=7 {
                there
                    .extend(history::as_of(pool, &everything(), id(n), at(seconds)).await.unwrap());
            }
            assert_eq!(found, there, "as of {seconds} s");
            let totals = accounts::totals(pool, filter.as_of).await.unwrap();
            let (count, balance) =
                totals.first().map_or((0, 0), |total| (total.accounts, total.balance));
            let sum: i64 = there.iter().map(|account| account.state.balance).sum();
            assert_eq!(
                (usize::try_from(count).unwrap(), balance),
                (there.len(), sum.into()),
                "as of {seconds} s"
            );
        }
    }
    let filter = Filter {
        tenant: None,
        owner: Some("odd".to_owned()),
        currency: Some("EUR".parse().unwrap()),
        status: Some(AccountStatus::Open),
        min_balance: Some(101),
        max_balance: Some(110),
        opened_since: Some(at(0)),
        opened_until: Some(at(3)),
        metadata: serde_json::from_str(r#"{"branch":"north"}"#).unwrap(),
        as_of: None,
    };
    let sort = Sort { by: SortBy::Balance, descending: true };
    let found = accounts::list(pool, &everything(), &filter, sort, (None, 10)).await.unwrap();
    assert_eq!(found.iter().map(|account| account.account_id).collect::<Vec<_>>(), [id(7), id(1)]);
}

#[tokio::test]
async fn accounts_and_entries_are_found_by_all_of_their_metadata() {
    let database = database().await;
    let pool = &database.pool;
    let with = |metadata: Value| {
        let data = json!({
            "owner": "o", "currency": "EUR", "initial_deposit": 0, "overdraft_limit": 0,
            "metadata": metadata,
        });
        AccountEvent::decode("AccountOpened", 2, &serde_json::value::to_raw_value(&data).unwrap())
            .unwrap()
    };
    let tagged =
        |metadata: Value| event("MoneyDeposited", json!({"amount": 1, "metadata": metadata}));
    let both = json!({"region": "north", "tier": "gold"});
    for (account, given) in [(1, both.clone()), (2, json!({"region": "north"})), (3, json!({}))] {
        let events = vec![
            with(given),
            tagged(both.clone()),
            tagged(json!({"tier": "gold"})),
            tagged(json!({})),
        ];
        write(&mut pool.acquire().await.unwrap(), id(account), &timed(events)).await;
    }
    for (asked, accounts_found, entries_found) in [
        (json!({}), 3, 4),
        (json!({"region": "north"}), 2, 2),
        (both, 1, 2),
        (json!({"tier": "gold"}), 1, 3),
        (json!({"region": "nor"}), 0, 0),
        (json!({"a\"b": "\\"}), 0, 0),
    ] {
        let metadata = metadata(asked);
        let filter = entries::Filter {
            after: 0,
            before: 5,
            event_type: None,
            metadata: &metadata,
            known: 4,
        };
        assert_eq!(
            entries::list(pool, in_scope(pool, id(1)).await, &filter, 10).await.unwrap().len(),
            entries_found,
            "{metadata:?}"
        );
        let (filter, sort) = (
            Filter { metadata, ..Filter::default() },
            Sort { by: SortBy::OpenedAt, descending: false },
        );
        let found = accounts::list(pool, &everything(), &filter, sort, (None, 10)).await.unwrap();
        assert_eq!(found.len(), accounts_found, "{filter:?}");
    }
    let account = accounts::find(pool, &everything(), id(2)).await.unwrap().unwrap();
    assert_eq!(account.metadata.as_deref(), Some(r#"{"region": "north"}"#));
    let then = history::at_version(pool, &everything(), id(1), 1).await.unwrap().unwrap();
    assert_eq!(then.metadata.as_deref(), Some(r#"{"tier": "gold", "region": "north"}"#));
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT account_id FROM accounts WHERE metadata @> '{\"tier\": \"gold\"}'::jsonb",
    )
    .fetch_all(&mut *{
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query("SET enable_seqscan = off").execute(&mut *connection).await.unwrap();
        connection
    })
    .await
    .unwrap();
    assert!(plan.concat().contains("accounts_by_label"), "{plan:?}");
}
