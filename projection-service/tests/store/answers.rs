//! Answers of the HTTP queries, with a command-service that has the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::{get, put};
use passbook_shared::health::Health;
use passbook_shared::http::app;
use projection_service::feed::Feed;
use projection_service::http::{AppState, Log, routes};
use projection_service::store::Views;
use projection_service::store::apply::{QuarantinedRecord, apply};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::money::{captured, placed, received, reversed_received, sent};
use super::postgres::Database;
use super::{PARTITION, at, batch, database, deposited, id, opened, write};

/// Running projection-service.
struct Service {
    base: String,
    client: reqwest::Client,
}

impl Service {
    /// Starts a service with the log at `log`, or with none.
    async fn of(database: &Database, log: Option<&str>) -> Self {
        let views = Views::default();
        views.open(&database.options, 4);
        let feed = Feed::new(&log.unwrap_or("http://127.0.0.1:9").parse().unwrap()).unwrap();
        let log = Log { feed, topic: "accounts".into() };
        let state = AppState::new(views, Arc::default(), Arc::default(), Arc::default(), log);
        let base = serve(app("projection", routes(state), Health::default())).await;
        Self { base, client: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.get_waiting(path, None).await
    }

    async fn get_waiting(&self, path: &str, prefer: Option<&str>) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.base));
        let response =
            prefer.into_iter().fold(request, |request, prefer| request.header("Prefer", prefer));
        let response = response.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    base
}

/// Starts a command-service whose log has this as the third event of account 1.
async fn command_service() -> String {
    let events = async |Path(account_id): Path<Uuid>, RawQuery(query): RawQuery| {
        assert_eq!((account_id, query.as_deref()), (id(1), Some("after_version=2&limit=1")));
        let event = json!({
            "event_id": id(103), "account_id": id(1), "type": "MoneySent", "version": 3, "position": "3-3",
            "schema_version": 1, "recorded_at": at(20), "data": {"amount": 40},
            "metadata": {"command_id": id(4), "idempotency_key": "rent-12", "actor": "ops"},
        });
        axum::Json(json!({"data": [event], "has_more": false}))
    };
    // The log has nothing that the views lack.
    let settled = async |Path(partition): Path<i16>| {
        axum::Json(json!({"position": format!("{partition}-0")}))
    };
    let router = Router::new().route("/v1/accounts/{id}/events", get(events));
    serve(router.route("/v1/partitions/{partition}/settled", put(settled))).await
}

/// Account 1 has placed a hold and sent a transfer, whose other leg will be version 2 of account 2.
async fn given(database: &Database) {
    let events = [
        (opened("o"), at(0)),
        (placed(11), at(10)),
        (sent(id(7), id(2), 2), at(20)),
        (captured(11), at(30)),
    ];
    write(&mut database.pool.acquire().await.unwrap(), id(1), &events).await;
}

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
        "version": 3, "position": "3-3", "type": "MoneySent", "amount": -40, "balance": 60, "recorded_at": at(20),
        "effective_at": at(20), "reference": "rent", "counterparty": id(2), "transfer_id": id(7), "hold_id": null,
        "reverses": null, "reversed_by": null, "metadata": {"till": "3"},
    });
    let way = json!({
        "account_id": id(1), "version": 3, "position": "3-3", "entry": entry,
        "event": {"event_id": id(103), "type": "MoneySent", "schema_version": 1, "data": {"amount": 40}},
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
        json!({"account_id": id(account), "version": version, "position": position, "balance": balance,
               "recorded_at": at(20), "reversed_by": null})
    };
    let expected = json!({
        "transfer_id": id(7), "amount": 40, "currency": "EUR", "reference": "rent", "effective_at": at(20),
        "recorded_at": at(20), "metadata": {"till": "3"}, "from": leg(1, 3, "3-3", 60), "to": leg(2, 2, "3-6", 140),
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

    let throw_away = "INSERT INTO projection.discarded (partition, position, account_id, version, passed_over, reason,
                                                         since, document, discard_reason)
                      SELECT partition, position + 1, account_id, 2, false, reason, since, document, 'a test''s'
                        FROM quarantine";
    sqlx::query(throw_away).execute(&database.pool).await.unwrap();
    sqlx::query("DELETE FROM quarantine").execute(&database.pool).await.unwrap();
    let (status, transfer) = service.get_waiting(&path, Some("wait=0")).await;
    assert_eq!(
        (status, &transfer["to"], transfer.get("quarantined_since")),
        (200, &Value::Null, None)
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
        "hold_id": id(11), "amount": 50, "captured": 30, "status": "captured", "expires_at": at(900),
        "reference": "room 12", "metadata": {"desk": "2"}, "placed_version": 2, "placed_at": at(10),
        "ended_version": 4, "ended_at": at(30),
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
