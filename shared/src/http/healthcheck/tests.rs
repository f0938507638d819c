use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;

/// Starts a server of `/health/ready` on `addr`, and returns its port.
async fn serve(addr: &str, status: StatusCode, body: &'static str) -> u16 {
    let listener = TcpListener::bind(addr).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = Router::new().route("/health/ready", get(move || async move { (status, body) }));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

#[tokio::test]
async fn a_ready_service_passes_also_by_its_unspecified_address() {
    let port = serve("0.0.0.0:0", StatusCode::OK, "").await;
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        healthcheck((ip, port).into(), None, &TlsConfig::default()).await.unwrap();
    }
}

#[tokio::test]
async fn an_unready_service_fails_with_its_reasons() {
    let reasons = r#"{"ready":false,"checks":{"relay":{"state":"failing"}}}"#;
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::NOT_FOUND, StatusCode::ACCEPTED] {
        let port = serve("127.0.0.1:0", status, reasons).await;
        let error = healthcheck((Ipv4Addr::LOCALHOST, port).into(), None, &TlsConfig::default())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), format!("not ready: {reasons}"));
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_fails_by_its_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = healthcheck(free, None, &TlsConfig::default()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("nothing listens on {free}"));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = silent.local_addr().unwrap();
    let closing = async {
        drop(silent.accept().await.unwrap());
    };
    let tls = TlsConfig::default();
    let (ended, ()) = tokio::join!(healthcheck(addr, None, &tls), closing);
    assert!(ended.is_err(), "the connection was closed without an answer");
}
