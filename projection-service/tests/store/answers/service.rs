//! The projection-service on a database of a test, and a command-service for its questions.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::routing::{get, put};
use passbook_shared::health::Health;
use passbook_shared::http::app;
use passbook_shared::http::gate::Access;
use passbook_shared::partition::Partition;
use projection_service::feed::Feed;
use projection_service::http::{AppState, Log, routes};
use projection_service::store::Views;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::batches::write;
use crate::events::{at, captured, id, opened, placed, sent};
use crate::postgres::Database;

/// Running projection-service.
pub(crate) struct Service {
    base: String,
    client: reqwest::Client,
}

impl Service {
    /// Starts a service with the log at `log`, or with none.
    pub(crate) async fn of(database: &Database, log: Option<&str>) -> Self {
        let views = Views::default();
        views.open(&database.options, 4);
        let base = log.unwrap_or("http://127.0.0.1:9").parse().unwrap();
        let tls = passbook_shared::tls::client::trusting(None, None).unwrap();
        let feed = Feed::new(&base, None, tls).unwrap();
        let log = Log { feed, topic: "accounts".into() };
        let state = AppState::new(views, Arc::default(), Arc::default(), Arc::default(), log);
        let base = serve(
            app("projection", routes(state), Health::default(), Access::unrestricted()).unwrap(),
        )
        .await;
        Self { base, client: reqwest::Client::new() }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.get_waiting(path, None).await
    }

    pub(crate) async fn get_waiting(&self, path: &str, prefer: Option<&str>) -> (u16, Value) {
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
pub(crate) async fn command_service() -> String {
    let events = async |Path(account_id): Path<Uuid>, RawQuery(query): RawQuery| {
        assert_eq!((account_id, query.as_deref()), (id(1), Some("after_version=2&limit=1")));
        let event = json!({
            "event_id": id(103), "account_id": id(1), "type": "MoneySent", "version": 3,
            "position": "3-3", "schema_version": 1, "recorded_at": at(20), "data": {"amount": 40},
            "metadata": {"command_id": id(4), "idempotency_key": "rent-12", "actor": "ops"},
        });
        axum::Json(json!({"data": [event], "has_more": false}))
    };
    // The log has nothing that the views lack.
    let complete = async |Path(partition): Path<Partition>| {
        axum::Json(json!({"position": format!("{partition}-0")}))
    };
    let router = Router::new().route("/v1/accounts/{id}/events", get(events));
    serve(router.route("/v1/partitions/{partition}/settled", put(complete))).await
}

/// Account 1 has placed a hold and sent a transfer, whose other leg will be version 2 of account 2.
pub(crate) async fn given(database: &Database) {
    let events = [
        (opened("o"), at(0)),
        (placed(11), at(10)),
        (sent(id(7), id(2), 2), at(20)),
        (captured(11), at(30)),
    ];
    write(&mut database.pool.acquire().await.unwrap(), id(1), &events).await;
}
