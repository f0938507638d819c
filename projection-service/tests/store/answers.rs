//! Answers of the HTTP queries, with a command-service that has the log.

mod opened;
mod service;
mod transfers;

use serde_json::{Value, json};

use self::service::{Service, command_service, given};
use crate::batches::{database, write};
use crate::events::{at, deposited, id, opened, received, reversed_received};

#[tokio::test]
async fn an_entry_is_traced_from_its_command_to_the_view() {
    let database = database().await;
    given(&database).await;
    let service = Service::of(&database, Some(&command_service().await)).await;
    let path = format!("/v1/accounts/{}/entries", id(1));
    let (status, mut found) = service.get(&format!("{path}/3")).await;
    let applied_at = found.as_object_mut().unwrap().remove("applied_at");
    assert!(applied_at.is_some_and(|at| at.is_string()));
    let entry = json!({
        "version": 3, "position": "3-3", "type": "MoneySent", "amount": -40, "balance": 60,
        "recorded_at": at(20), "effective_at": at(20), "reference": "rent", "counterparty": id(2),
        "transfer_id": id(7), "hold_id": null, "owner": null, "reverses": null, "reversed_by": null,
        "metadata": {"till": "3"},
    });
    let way = json!({
        "account_id": id(1), "version": 3, "position": "3-3", "entry": entry,
        "event": {
            "event_id": id(103), "type": "MoneySent", "schema_version": 1, "data": {"amount": 40},
        },
        "command": {"command_id": id(4), "idempotency_key": "rent-12", "actor": "ops"},
        "kafka": {"topic": "accounts", "partition": 3, "offset": 2},
        "recorded_at": at(20), "published_at": at(20), "generation": 1,
    });
    assert_eq!((status, found), (200, way));
    let code =
        |(status, problem): (u16, Value)| (status, problem["code"].as_str().unwrap().to_owned());
    let missing = service.get(&format!("{path}/5")).await;
    assert_eq!(
        (missing.1["current_version"].clone(), code(missing)),
        (json!(4), (404, "version_not_found".to_owned()))
    );
    let unknown = format!("/v1/accounts/{}/entries/1", id(9));
    assert_eq!(code(service.get(&unknown).await), (404, "account_not_found".to_owned()));
    for bad in ["/0", "/x", "/3?verbose=true"] {
        assert_eq!(
            code(service.get(&format!("{path}{bad}")).await),
            (400, "malformed_request".to_owned()),
            "{bad}"
        );
    }
    let alone = Service::of(&database, None).await;
    let (status, problem) = alone.get(&format!("{path}/3")).await;
    assert_eq!(
        (status, &problem["code"], &problem["retry_after"]),
        (503, &json!("log_unavailable"), &json!(1))
    );
    sqlx::query("DELETE FROM history WHERE version = 2").execute(&database.pool).await.unwrap();
    assert_eq!(
        code(service.get(&format!("{path}/2")).await),
        (404, "entry_not_found".to_owned()),
        "discarded"
    );
}

#[tokio::test]
async fn holds_and_metadata_are_returned_and_filtered_by() {
    let database = database().await;
    given(&database).await;
    let undone = vec![
        (opened("o"), at(5)),
        (received(id(7), id(1), 3), at(20)),
        (deposited(1), at(30)),
        (reversed_received(2, id(7), id(1), 5), at(40)),
    ];
    write(&mut database.pool.acquire().await.unwrap(), id(2), &undone).await;
    let service = Service::of(&database, Some(&command_service().await)).await;
    let holds = format!("/v1/accounts/{}/holds", id(1));
    let hold = json!({
        "hold_id": id(11), "amount": 50, "captured": 30, "status": "captured",
        "expires_at": at(900), "reference": "room 12", "metadata": {"desk": "2"},
        "placed_version": 2, "placed_at": at(10), "ended_version": 4, "ended_at": at(30),
    });
    assert_eq!(
        service.get(&holds).await,
        (200, json!({"data": [hold], "version": 4, "has_more": false}))
    );
    assert_eq!(service.get(&format!("{holds}?status=open")).await.1["data"], json!([]));
    for bad in
        ["status=melted", "limit=0", "cursor=1", "metadata[a]=b", "verbose=true", "min_version=0"]
    {
        assert_eq!(service.get(&format!("{holds}?{bad}")).await.0, 400, "{bad}");
    }
    let unknown = service.get(&format!("/v1/accounts/{}/holds", id(9))).await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("account_not_found")));
    let behind = service.get_waiting(&format!("{holds}?min_version=9"), Some("wait=0")).await;
    assert_eq!((behind.0, &behind.1["code"]), (503, &json!("view_behind")));

    let account = service.get(&format!("/v1/accounts/{}", id(1))).await.1;
    assert_eq!((&account["metadata"], &account["held"]), (&json!({"branch": "north"}), &json!(0)));
    let count = async |path: String| service.get(&path).await.1["data"].as_array().unwrap().len();
    assert_eq!(count("/v1/accounts?metadata[branch]=north".to_owned()).await, 2);
    assert_eq!(count("/v1/accounts?metadata%5Bbranch%5D=south&limit=2".to_owned()).await, 0);
    let entries = format!("/v1/accounts/{}/entries", id(2));
    assert_eq!(count(format!("{entries}?metadata[till]=3&type=MoneyReceived")).await, 1);
    assert_eq!(count(format!("{entries}?metadata[till]=3&metadata[branch]=north")).await, 0);
    let wrong = service.get("/v1/accounts?metadata[]=north").await;
    assert_eq!((wrong.0, &wrong.1["errors"][0]["field"]), (400, &json!("metadata[]")));

    let undone = |statement: Value| -> Vec<Value> {
        statement["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["reversed_by"].clone())
            .collect()
    };
    let now = service.get(&entries).await.1;
    assert_eq!(now["data"][0]["reverses"], json!(2));
    assert_eq!(
        (&now["data"][0]["transfer_id"], &now["data"][0]["counterparty"]),
        (&json!(id(7)), &json!(id(1)))
    );
    assert_eq!(undone(now), [Value::Null, Value::Null, json!(4), Value::Null]);
    let then = service.get(&format!("{entries}?as_of={}", at(35))).await.1;
    assert_eq!(undone(then), [Value::Null, Value::Null, Value::Null]);
    // Only the log knows whether that is final.
    let alone =
        Service::of(&database, None).await.get(&format!("{entries}?as_of={}", at(35))).await;
    assert_eq!((alone.0, &alone.1["code"]), (503, &json!("log_unavailable")));
}
