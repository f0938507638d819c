use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

async fn start(health: &Health) -> OpsListener {
    OpsListener::start("127.0.0.1:0".parse().unwrap(), "OPS_ADDR", health).await.unwrap()
}

async fn get(listener: &OpsListener, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(listener.local_addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn operators_see_the_reasons_and_the_metrics_without_a_key() {
    let draining = CancellationToken::new();
    let health = Health::new("test").until(draining.clone());
    let listener = start(&health).await;
    let starting = get(&listener, "/health/ready", "localhost").await;
    assert!(starting.starts_with("HTTP/1.1 503 "), "{starting}");
    health.degraded("relay", "Kafka is away");
    let ready = get(&listener, "/health/ready", "10.0.0.7:9080").await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("Kafka is away"), "{ready}");
    assert!(ready.contains("cache-control: no-store\r\n"), "{ready}");
    let metrics = get(&listener, "/metrics", "localhost").await;
    let names = ["passbook_http_connections_refused_total 0", "process_resident_memory_bytes "];
    assert!(names.iter().all(|name| metrics.contains(name)), "{metrics}");

    draining.cancel();
    let stopping = get(&listener, "/health/ready", "localhost").await;
    assert!(stopping.starts_with("HTTP/1.1 503 ") && stopping.contains("stopping"), "{stopping}");
    let live = get(&listener, "/health/live", "localhost").await;
    assert!(live.starts_with("HTTP/1.1 200 "), "{live}");
}

#[tokio::test]
async fn only_operators_are_answered() {
    let listener = start(&Health::new("test")).await;
    for (path, host, status) in [
        ("/metrics", "attacker.example", "403"),
        ("/v1/accounts", "localhost", "404"),
        ("/docs", "localhost", "404"),
    ] {
        let answer = get(&listener, path, host).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {host}: {answer}");
    }
}

#[tokio::test]
async fn the_listener_ends_with_its_owner() {
    let listener = start(&Health::new("test")).await;
    let addr = listener.local_addr;
    drop(listener);
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
