//! Requests to a router with two routes, through the gate.

mod routes;

use std::num::NonZeroU32;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::{Extension, Router};
use hyper::body::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::*;
use crate::access::Reach;
use crate::access::keys_file::{KeyRequest, add};
use crate::access::scope::Role;
use crate::access::watch::WatchedKeys;
use crate::health::Health;
use crate::http::app;

#[utoipa::path(get, operation_id = "read_it", path = "/it/{id}", responses(),
    security(("api_key" = ["accounts:read"])))]
async fn read(Extension(caller): Extension<Caller>) -> String {
    format!("read by {:?}", caller.actor())
}

#[utoipa::path(post, operation_id = "do_it", path = "/it", responses(),
    security(("api_key" = ["money:move"]), ("api_key" = ["accounts:open"])))]
async fn act(Extension(caller): Extension<Caller>, body: Bytes) -> Result<String, Problem> {
    caller.check_operation("read_it")?;
    Ok(format!("{} bytes", body.len()))
}

struct Service {
    router: Router,
    path: PathBuf,
    _directory: TempDir,
}

impl Service {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        std::fs::write(&path, "").unwrap();
        let router = router(Some(WatchedKeys::read(path.clone()).unwrap()));
        Self { router, path, _directory: directory }
    }

    /// Adds a key and returns it; the service reads the file again.
    fn key(&mut self, role: Role) -> String {
        self.key_with_rate(role, None)
    }

    fn key_with_rate(&mut self, role: Role, rate: Option<NonZeroU32>) -> String {
        let request = KeyRequest {
            principal: "ada".to_owned(),
            scopes: role.scopes(),
            reach: Reach::default(),
            rate,
            lifetime: None,
            note: None,
        };
        let key = add(&self.path, &request).unwrap();
        self.router = router(Some(WatchedKeys::read(self.path.clone()).unwrap()));
        format!("Bearer {}", key.text)
    }

    async fn ask(&self, method: &str, path: &str, authorization: &[&str]) -> (StatusCode, String) {
        let response = send(&self.router, method, path, authorization).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let code = serde_json::from_str(&text)
            .ok()
            .and_then(|body: Value| body["code"].as_str().map(str::to_owned));
        (status, code.unwrap_or(text))
    }
}

fn router(keys: Option<WatchedKeys>) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(read)).routes(routes!(act));
    let hosts = AllowedHosts::new(&[], "127.0.0.1:8080".parse().unwrap()).unwrap();
    let health = Health::new("test");
    health.degraded("relay", "Kafka is away");
    app("test", routes, health, Access { keys, tokens: None, audit: None, hosts }).unwrap()
}

async fn send(router: &Router, method: &str, path: &str, authorization: &[&str]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for value in authorization {
        request = request.header(AUTHORIZATION, *value);
    }
    router.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_request_needs_a_key_with_a_scope_of_its_operation() {
    let mut service = Service::new();
    let (reader, teller, operator) =
        (service.key(Role::Reader), service.key(Role::Teller), service.key(Role::Operator));
    let projection = service.key(Role::Projection);
    let forbidden = (StatusCode::FORBIDDEN, "forbidden".to_owned());
    let read = (StatusCode::OK, "read by Some(\"ada\")".to_owned());
    let done = (StatusCode::OK, "2 bytes".to_owned());
    for (key, reads, acts) in [
        (&reader, &read, &forbidden),
        (&teller, &read, &done),
        (&operator, &read, &done),
        (&projection, &forbidden, &forbidden),
    ] {
        assert_eq!(service.ask("GET", "/it/7", &[key]).await, *reads);
        assert_eq!(service.ask("POST", "/it", &[key]).await, *acts);
    }
    let lower = operator.replace("Bearer", "bEARER");
    assert_eq!(service.ask("GET", "/it/7", &[&lower]).await, read);
    assert_eq!(service.ask("HEAD", "/it/7", &[&operator]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn without_a_valid_key_only_health_and_documentation_answer() {
    let mut service = Service::new();
    let operator = service.key(Role::Operator);
    let token = operator.trim_start_matches("Bearer ");
    let unauthenticated = (StatusCode::UNAUTHORIZED, "unauthenticated".to_owned());
    for authorization in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[token],
        &[&format!("Basic {token}")],
        &[&format!("{operator}0")],
        &[&operator[..operator.len() - 1]],
        &[&operator, &operator],
    ] {
        for (method, path) in [
            ("GET", "/it/7"),
            ("POST", "/it"),
            ("GET", "/nowhere"),
            ("DELETE", "/it"),
            ("OPTIONS", "/it"),
            ("HEAD", "/it/7"),
            ("TRACE", "/it"),
        ] {
            let found = service.ask(method, path, authorization).await;
            assert_eq!(found.0, unauthenticated.0, "{method} {path} {authorization:?}");
        }
        for path in ["/health/live", "/health/ready", "/openapi.json", "/docs/"] {
            let found = service.ask("GET", path, authorization).await;
            assert_eq!(found.0, StatusCode::OK, "{path} {authorization:?}");
        }
    }
    let response = send(&service.router, "GET", "/it/7", &[]).await;
    assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"passbook\"");
    let response = send(&service.router, "GET", "/it/7", &["Bearer pbk_"]).await;
    let challenge = "Bearer realm=\"passbook\", error=\"invalid_token\"";
    assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge);
    assert!(!service.ask("GET", "/health/ready", &[]).await.1.contains("Kafka is away"));
    assert!(service.ask("GET", "/health/ready", &[&operator]).await.1.contains("Kafka is away"));
    assert_eq!(service.ask("GET", "/nowhere", &[&operator]).await.1, "not_found");
    assert_eq!(service.ask("DELETE", "/it", &[&operator]).await.1, "method_not_allowed");
}

#[tokio::test]
async fn without_authentication_everything_is_permitted_and_has_no_actor() {
    let response = send(&router(None), "GET", "/it/7", &[]).await;
    let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
    assert_eq!(body, "read by None");
}

#[tokio::test]
async fn a_request_for_another_host_is_refused_before_its_key_is_read() {
    let request = Request::get("/it/7").header("host", "attacker.example");
    let request = request.body(Body::empty()).unwrap();
    let response = router(None).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    // Load balancers use the address of the instance.
    for (path, expected) in [
        ("/health/live", StatusCode::OK),
        ("/health/ready", StatusCode::OK),
        ("/openapi.json", StatusCode::FORBIDDEN),
        ("/metrics", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(path).header("host", "10.0.0.7:8080");
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(router(None).oneshot(request).await.unwrap().status(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_caller_is_permitted_until_its_key_is_revoked() {
    let mut service = Service::new();
    let text = service.key(Role::Reader);
    let keys = WatchedKeys::read(service.path.clone()).unwrap();
    let (_, document) = OpenApiRouter::<()>::new().routes(routes!(read)).split_for_parts();
    let access = Access { keys: Some(keys.clone()), ..Access::unrestricted() };
    let gate = Gate::new(access, &document).unwrap();
    let mut request = Request::get("/").header(AUTHORIZATION, &text).body(Body::empty()).unwrap();
    gate.admit(&mut request).unwrap();
    let caller = request.extensions().get::<Caller>().unwrap();
    assert!(caller.is_still_permitted("read_it") && !caller.is_still_permitted("another"));
    assert!(!format!("{caller:?}").contains(&text), "debug output has the key");
    let shutdown = crate::shutdown::CancellationToken::new();
    let watching = tokio::spawn(keys.watch(Health::new("test"), shutdown.clone()));
    std::fs::write(&service.path, "").unwrap();
    let start = std::time::Instant::now();
    while caller.is_still_permitted("read_it") {
        assert!(start.elapsed().as_secs() < 5, "a revoked key is still permitted");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}
