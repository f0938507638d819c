//! Answers about a transfer, of which the views may have one leg.

use std::time::{Duration, Instant};

use projection_service::store::apply::{QuarantinedRecord, apply};
use serde_json::{Value, json};

use super::service::{Service, given};
use crate::batches::{PARTITION, batch, database, write};
use crate::events::{at, id, opened, received};

#[tokio::test]
async fn a_transfer_waits_for_its_second_leg() {
    let database = database().await;
    let service = Service::of(&database, None).await;
    let path = format!("/v1/transfers/{}", id(7));
    let (status, problem) = service.get(&path).await;
    assert_eq!((status, &problem["code"]), (404, &json!("transfer_not_found")));
    given(&database).await;
    let begun = Instant::now();
    let (status, problem) = service.get_waiting(&path, Some("wait=0")).await;
    assert_eq!(
        (status, &problem["code"], &problem["retry_after"]),
        (503, &json!("view_behind"), &json!(1))
    );
    let (status, _) = service.get(&path).await;
    assert_eq!(
        (status, begun.elapsed() >= Duration::from_secs(1)),
        (503, true),
        "it was waited for"
    );

    let other = [(opened("o"), at(5)), (received(id(7), id(1), 3), at(20))];
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        write(&mut database.pool.acquire().await.unwrap(), id(2), &other).await;
    };
    let ((status, transfer), ()) = tokio::join!(service.get_waiting(&path, Some("wait=10")), later);
    let leg = |account: u128, version: i64, position: &str, balance: i64| {
        json!({
            "account_id": id(account), "version": version, "position": position,
            "balance": balance, "recorded_at": at(20), "reversed_by": null,
        })
    };
    let expected = json!({
        "transfer_id": id(7), "amount": 40, "currency": "EUR", "reference": "rent",
        "effective_at": at(20), "recorded_at": at(20), "metadata": {"till": "3"},
        "from": leg(1, 3, "3-3", 60), "to": leg(2, 2, "3-6", 140),
    });
    assert_eq!((status, transfer), (200, expected));
    assert_eq!(service.get(&format!("{path}?verbose=true")).await.0, 400);
}

#[tokio::test]
async fn an_unknown_transfer_is_waited_for_only_on_request() {
    let database = database().await;
    let service = Service::of(&database, None).await;
    let both = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        given(&database).await;
        let other = [(opened("o"), at(5)), (received(id(7), id(1), 3), at(20))];
        write(&mut database.pool.acquire().await.unwrap(), id(2), &other).await;
    };
    let path = format!("/v1/transfers/{}", id(7));
    let ((status, transfer), ()) = tokio::join!(service.get_waiting(&path, Some("wait=10")), both);
    assert_eq!((status, &transfer["to"]["version"]), (200, &json!(2)));
}

#[tokio::test]
async fn a_quarantined_or_discarded_leg_is_null_and_not_waited_for() {
    let database = database().await;
    given(&database).await;
    let mut connection = database.pool.acquire().await.unwrap();
    let mut batch = batch(4, id(2), &[]);
    batch.checkpoints[0].to = 5;
    batch.quarantine = vec![QuarantinedRecord {
        partition: PARTITION,
        position: Some(5),
        kafka_offset: Some(4),
        published_at: None,
        account: Some((id(2), 1)),
        waits: false,
        reason: "not known".to_owned(),
        document: b"{}".to_vec(),
    }];
    apply(&mut connection, &batch).await.unwrap();
    let service = Service::of(&database, None).await;
    let path = format!("/v1/transfers/{}", id(7));
    let begun = Instant::now();
    let (status, transfer) = service.get_waiting(&path, Some("wait=10")).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (status, &transfer["to"], &transfer["from"]["account_id"]),
        (200, &Value::Null, &json!(id(1)))
    );
    assert!(transfer["quarantined_since"].is_string(), "{transfer}");

    let discard = "INSERT INTO projection.discarded
                       (partition, position, account_id, version, passed_over, reason, since,
                        document, discard_reason)
                   SELECT partition, position + 1, account_id, 2, false, reason, since,
                          document, 'a test''s'
                     FROM quarantine";
    sqlx::query(discard).execute(&database.pool).await.unwrap();
    sqlx::query("DELETE FROM quarantine").execute(&database.pool).await.unwrap();
    let (status, transfer) = service.get_waiting(&path, Some("wait=0")).await;
    assert_eq!(
        (status, &transfer["to"], transfer.get("quarantined_since")),
        (200, &Value::Null, None)
    );
}
