//! Comparison of two generations.

use projection_service::store::generations::{self, Generation};
use serde_json::{Value, json};
use sqlx::{Connection, PgPool};

use crate::batches::{PARTITION, database, write};
use crate::events::{captured, deposited, id, opened, placed, reversed_deposit, sent, timed};

#[tokio::test]
async fn generations_differ_in_everything_but_the_source_of_events() {
    let database = database().await;
    let pool = &database.pool;
    let events = timed(vec![
        opened("o"),
        sent(id(7), id(2), 2),
        placed(11),
        captured(11),
        deposited(5),
        reversed_deposit(5, 5),
    ]);
    write(&mut pool.acquire().await.unwrap(), id(1), &events).await;

    let admin = PgPool::connect_with(database.options.clone()).await.unwrap();
    let mut transaction = admin.begin().await.unwrap();
    let second = generations::create(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let mut building =
        sqlx::PgConnection::connect_with(&second.options(&database.options)).await.unwrap();
    let indexes = "SELECT count(*) FROM pg_indexes
                    WHERE schemaname = $1 AND tablename IN ('history', 'accounts')";
    let indexes = async |of: Generation| -> i64 {
        sqlx::query_scalar(indexes).bind(format!("views_{}", of.0)).fetch_one(&admin).await.unwrap()
    };
    assert_eq!(
        (indexes(Generation(1)).await, indexes(second).await),
        (12, 3),
        "few while it is loaded"
    );
    sqlx::query("INSERT INTO checkpoints (partition) VALUES ($1)")
        .bind(PARTITION)
        .execute(&mut building)
        .await
        .unwrap();
    write(&mut building, id(1), &events).await;
    sqlx::query(
        "UPDATE history SET kafka_offset = NULL, published_at = NULL,
                            applied_at = now() - interval '1 day'",
    )
    .execute(&mut building)
    .await
    .unwrap();
    let mut transaction = building.begin().await.unwrap();
    generations::index(&mut transaction, second).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(indexes(second).await, 12);

    let differences = async || -> (i64, Value) {
        let (count, samples): (i64, String) = sqlx::query_as(
            "SELECT differences, samples::text FROM projection.differences($1, 1, 20)",
        )
        .bind(second.0)
        .fetch_one(&admin)
        .await
        .unwrap();
        (count, serde_json::from_str(&samples).unwrap())
    };
    assert_eq!(differences().await, (0, json!([])));
    for (changed, version) in [
        ("reverses = 2", 6),
        ("hold_amount = 1", 3),
        ("expires_at = NULL", 4),
        ("hold_id = account_id", 3),
        ("transfer_id = account_id", 2),
        ("counterparty = account_id", 2),
        ("counterparty_version = 3", 2),
        ("held = 1", 1),
        ("owner = 'x'", 1),
    ] {
        let mut changing = building.begin().await.unwrap();
        let change = format!(
            "CREATE TEMPORARY TABLE kept AS SELECT * FROM history;
             UPDATE history SET {changed} WHERE version = {version}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut *changing).await.unwrap();
        changing.commit().await.unwrap();
        let (count, samples) = differences().await;
        assert_eq!((count, samples[0]["table"].as_str()), (1, Some("history")), "{changed}");
        assert_eq!(samples[0]["new"].get("applied_at"), None, "nor is it shown: {samples}");
        let back = "DELETE FROM history; INSERT INTO history SELECT * FROM kept; DROP TABLE kept";
        sqlx::raw_sql(back).execute(&mut building).await.unwrap();
    }
    sqlx::query("DELETE FROM history WHERE version = 1").execute(&mut building).await.unwrap();
    assert_eq!(differences().await.0, 1, "a row that is not there");
}
