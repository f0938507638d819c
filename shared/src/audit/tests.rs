use std::time::Instant;

use tokio::time::sleep;

use super::*;
use crate::health::Health;
use crate::shutdown::CancellationToken;

fn call(path: &str) -> AuditedCall {
    AuditedCall {
        at: Timestamp::now(),
        principal: Some("ada".to_owned()),
        operation: "start_replay".to_owned(),
        path: path.to_owned(),
        status: 202,
        request_id: "1".to_owned(),
        peer: None,
    }
}

/// Returns the trail of a database that does not answer.
fn trail() -> (AuditTrail, AuditWriter) {
    AuditTrail::new("passbook", &PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1))
}

#[tokio::test]
async fn calls_wait_for_the_database_and_degrade_readiness() {
    let (trail, writer) = trail();
    let (health, shutdown) = (Health::new("test"), CancellationToken::new());
    let writing = tokio::spawn(writer.run(health.clone(), shutdown.clone()));
    let start = Instant::now();
    trail.record(call("/admin/replays"));
    trail.record(call(&"/ä".repeat(300)));
    assert!(start.elapsed() < PATIENCE, "a record waits for the database");
    let reason = || health.checks().get("audit").and_then(|check| check.reason.clone());
    while reason().is_none_or(|reason| !reason.ends_with("calls wait in memory")) {
        assert!(start.elapsed() < 4 * PATIENCE, "{:?}", reason());
        sleep(Duration::from_millis(10)).await;
    }
    assert!(health.is_ready() && trail.newest(None, 1).await.is_err());
    drop(trail);
    shutdown.cancel();
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_queue_does_not_delay_requests() {
    let (trail, writer) = trail();
    let start = Instant::now();
    for _ in 0..QUEUE + 10 {
        trail.record(call("/admin/replays"));
    }
    assert_eq!(trail.waiting.capacity(), 0);
    assert!(start.elapsed() < Duration::from_secs(10));
    drop(writer);
}
