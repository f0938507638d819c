//! Changes of the issuer's keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::source::Pauses;
use super::*;
use crate::health::Health;

const LIMIT: Duration = Duration::from_secs(10);
const PAUSES: Pauses = Pauses {
    first: Duration::from_millis(20),
    least: Duration::from_millis(400),
    usual: Duration::from_secs(600),
};

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn is_degraded(health: &Health) -> bool {
    health.checks().get("jwks").is_some_and(|check| check.reason.is_some())
}

#[tokio::test]
async fn a_changed_file_is_in_force_and_an_invalid_one_is_not() {
    let (first, second) =
        (Issuer::new("first", Algorithm::EdDSA), Issuer::new("second", Algorithm::EdDSA));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let write = |issuers: &[&Issuer]| {
        std::fs::write(&path, issuer::document(issuers).to_string()).unwrap();
    };
    write(&[&first]);
    let tokens = Tokens::new(rules(None), KeySource::file(path.clone()).unwrap()).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let watching = tokio::spawn(tokens.clone().watch(health.clone(), shutdown.clone()));
    let is_valid = |issuer: &Issuer| found(&tokens, &issuer.token(&claims(&json!({})))).is_ok();
    let remembered = first.token(&claims(&json!({})));
    assert!(is_valid(&first) && !is_valid(&second) && found(&tokens, &remembered).is_ok());
    write(&[&first, &second]);
    eventually("an added key is known", || is_valid(&second)).await;
    write(&[&second]);
    eventually("a removed key is unknown", || !is_valid(&first)).await;
    assert_eq!(found(&tokens, &remembered).unwrap_err(), TokenFault::UnknownKey);
    std::fs::write(&path, "{").unwrap();
    eventually("an invalid file degrades readiness", || is_degraded(&health)).await;
    assert!(is_valid(&second) && health.is_ready());
    write(&[&second]);
    eventually("a valid file restores readiness", || !is_degraded(&health)).await;
    std::fs::write(&path, vec![b' '; 64 * 1024 + 1]).unwrap();
    eventually("a long file degrades readiness", || is_degraded(&health)).await;
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}

/// Server of a key set, and the number of its requests.
struct Server {
    url: String,
    response: Arc<Mutex<(StatusCode, String)>>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let response = Arc::new(Mutex::new((StatusCode::OK, String::new())));
        let requests = Arc::<AtomicUsize>::default();
        let (shown, counted) = (Arc::clone(&response), Arc::clone(&requests));
        let respond = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let response: (StatusCode, String) = shown.lock().clone();
            std::future::ready(([(header::LOCATION, "/elsewhere")], response).into_response())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let app = Router::new().route("/jwks", get(respond.clone()));
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { url, response, requests }
    }

    fn serve(&self, issuers: &[&Issuer]) {
        *self.response.lock() = (StatusCode::OK, issuer::document(issuers).to_string());
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_again_after_an_unknown_key_and_not_too_often() {
    let (first, second) =
        (Issuer::new("first", Algorithm::EdDSA), Issuer::new("second", Algorithm::EdDSA));
    let server = Server::start().await;
    let source = KeySource::url_with(&server.url, None, PAUSES).unwrap();
    let tokens = Tokens::new(rules(None), source).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let is_valid = |issuer: &Issuer| found(&tokens, &issuer.token(&claims(&json!({})))).is_ok();
    let set = |status, body: &str| *server.response.lock() = (status, body.to_owned());

    set(StatusCode::SERVICE_UNAVAILABLE, "");
    let watching = tokio::spawn(tokens.clone().watch(health.clone(), shutdown.clone()));
    eventually("an outage is retried", || server.requests() > 2).await;
    assert!(is_degraded(&health) && health.is_ready() && !is_valid(&first));
    server.serve(&[&first]);
    eventually("the keys are known", || is_valid(&first)).await;
    let before = server.requests();
    server.serve(&[&second]);
    let asked = Instant::now();
    eventually("an unknown key is looked up", || is_valid(&second)).await;
    assert!(!is_valid(&first), "the removed key is not known any more");
    let most = usize::try_from(asked.elapsed().as_millis() / 400).unwrap() + 1;
    assert!(server.requests() - before <= most, "{} requests", server.requests() - before);

    let whole = issuer::document(&[&second]).to_string();
    for (status, body) in [
        (StatusCode::FOUND, whole.clone()),
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::OK, "{".to_owned()),
        (StatusCode::OK, json!({"keys": []}).to_string()),
        (StatusCode::OK, format!("{whole}{}", " ".repeat(64 * 1024))),
    ] {
        set(status, &body);
        let is_noticed = || {
            assert!(is_valid(&second) && !is_valid(&first), "the last keys stay in force");
            is_degraded(&health)
        };
        eventually(&format!("{status} {:.20} is a fault", body), is_noticed).await;
        server.serve(&[&second]);
        let is_well = || is_valid(&first) || !is_degraded(&health);
        eventually("a good answer ends it", is_well).await;
    }
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}

/// Checks that the first request with a new key is permitted, and that further fetches are rare.
#[tokio::test]
async fn a_token_with_an_unknown_key_waits_for_the_fetch_of_the_keys() {
    let (first, second) =
        (Issuer::new("first", Algorithm::EdDSA), Issuer::new("second", Algorithm::EdDSA));
    let stranger = Issuer::new("stranger", Algorithm::EdDSA);
    let server = Server::start().await;
    let source = KeySource::url_with(&server.url, None, PAUSES).unwrap();
    let tokens = Tokens::new(rules(None), source).unwrap();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let is_valid = async |issuer: &Issuer| {
        let token = issuer.token(&claims(&json!({})));
        if found(&tokens, &token).is_err() {
            tokens.fetched().await;
        }
        found(&tokens, &token).is_ok()
    };
    assert!(!is_valid(&first).await, "nothing is fetched before the start");
    server.serve(&[&first]);
    let watching = tokio::spawn(tokens.clone().watch(health, shutdown.clone()));
    eventually("a fetch has begun", || server.requests() > 0).await;
    assert!(is_valid(&first).await, "during the first fetch or after it");
    // The requests so far may cause one more fetch.
    sleep(2 * PAUSES.least + Duration::from_millis(100)).await;
    server.serve(&[&first, &second]);
    let before = server.requests();
    assert!(is_valid(&second).await, "the first token of the new key");
    assert_eq!(server.requests(), before + 1);
    // No fetch may begin, so none is waited for.
    let asked = Instant::now();
    for _ in 0..20 {
        assert!(!is_valid(&stranger).await && is_valid(&first).await);
    }
    assert!(asked.elapsed() < PAUSES.least / 2, "waited for {:?}", asked.elapsed());
    assert_eq!(server.requests(), before + 1);
    shutdown.cancel();
    watching.await.unwrap().unwrap();
}

#[test]
fn keys_come_over_https_or_from_the_same_machine() {
    for url in [
        "https://id.example/jwks",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
        "http://localhost:1/jwks",
    ] {
        assert!(KeySource::url(url, None).is_ok(), "{url}");
    }
    for url in [
        "http://id.example/jwks",
        "http://localhost.example/jwks",
        "http://10.0.0.1/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https://user:secret@id.example/jwks",
        "/jwks",
        "",
    ] {
        assert!(KeySource::url(url, None).is_err(), "{url}");
    }
}
