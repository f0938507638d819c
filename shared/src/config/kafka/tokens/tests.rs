use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Parser;
use tokio::net::TcpListener;

use super::*;

#[derive(Parser)]
struct Settable {
    #[command(flatten)]
    kafka: KafkaConfig,
}

fn kafka(options: &str) -> KafkaConfig {
    Settable::try_parse_from(["test", "--kafka-options", options]).unwrap().kafka
}

/// Server that issues numbered tokens, each valid for 2 s, to the client `ada` with the password
/// `kret`.
async fn endpoint(issued: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let issue = async |State(issued): State<Arc<AtomicU64>>, headers: HeaderMap, body: String| {
        // The base64 of `ada:kret`.
        if headers["authorization"] != "Basic YWRhOmtyZXQ=" {
            return (StatusCode::UNAUTHORIZED, "kret".to_owned());
        }
        assert_eq!(body, "grant_type=client_credentials&scope=write+read");
        let number = issued.fetch_add(1, Ordering::Relaxed) + 1;
        (StatusCode::OK, format!(r#"{{"access_token":"token-{number}","expires_in":2}}"#))
    };
    let app = Router::new().route("/token", post(issue)).with_state(issued);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}/token")
}

fn options(url: &str, secret: &str) -> String {
    format!(
        "sasl.oauthbearer.method=oidc,sasl.oauthbearer.client.id=ada,sasl.oauthbearer.scope=write \
         read,sasl.oauthbearer.client.secret={secret},sasl.oauthbearer.token.endpoint.url={url}"
    )
}

#[tokio::test]
async fn a_token_is_requested_and_renewed_until_the_shutdown() {
    let issued = Arc::<AtomicU64>::default();
    let kafka = kafka(&options(&endpoint(issued.clone()).await, "kret"));
    assert!(kafka.token().is_err());
    kafka.check().unwrap();
    let shutdown = CancellationToken::new();
    let (kept, until) = (kafka.clone(), shutdown.clone());
    let (first, is_first) = tokio::sync::oneshot::channel();
    let keeping =
        tokio::spawn(async move { kept.keep_tokens(&until, || first.send(()).unwrap()).await });
    is_first.await.unwrap();
    let token = kafka.token().unwrap();
    assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("token-1", "ada"));
    let left = token.lifetime_ms - crate::timestamp::Timestamp::now().as_millis();
    assert!((1..=2_000).contains(&left), "{left}");
    while kafka.token().unwrap().token == "token-1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    keeping.await.unwrap().unwrap();
    assert!(!format!("{kafka:?}").contains("kret") && !format!("{kafka:?}").contains("token-"));
}

#[tokio::test]
async fn a_refused_client_is_an_error_without_its_secret_and_an_absent_server_is_waited_for() {
    let url = endpoint(Arc::default()).await;
    let shutdown = CancellationToken::new();
    let refused = kafka(&options(&url, "wrong-kret")).keep_tokens(&shutdown, || {}).await;
    let said = format!("{:#}", refused.unwrap_err());
    assert!(said.contains("no OAuth token: the token endpoint refuses the client: 401"), "{said}");
    assert!(!said.contains("kret"), "{said}");

    let away = kafka(&options("http://127.0.0.1:9/token", "kret"));
    let until = shutdown.clone();
    let keeping = tokio::spawn(async move { away.keep_tokens(&until, || {}).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!keeping.is_finished());
    shutdown.cancel();
    keeping.await.unwrap().unwrap();
}

#[test]
fn a_missing_setting_of_tokens_is_named() {
    for (options, reason) in [
        ("sasl.oauthbearer.method=oidc", "`sasl.oauthbearer.token.endpoint.url` is missing"),
        ("sasl.oauthbearer.method=kret", "`sasl.oauthbearer.method` must be oidc"),
        (&options("kret", "kret"), "`sasl.oauthbearer.token.endpoint.url` is not a URL"),
        (&options("http://a", ""), "`sasl.oauthbearer.client.secret` is missing"),
    ] {
        let said = format!("{:#}", kafka(options).check().unwrap_err());
        assert!(said.contains(reason) && !said.contains("kret"), "{said}");
    }
}
