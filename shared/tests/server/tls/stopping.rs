use super::*;

const CLOSE: &str = "\r\nconnection: close\r\n";

#[tokio::test]
async fn a_draining_service_serves_requests_and_closes_their_connections() {
    let started = TlsServer::start(Limits::default()).await;
    let mut kept = started.sent(LIVE).await;
    assert!(first(&mut kept).await.ends_with("alive"));
    let mut running = started.sent("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    started.server.received(2).await;
    started.server.draining.cancel();
    let answer = to_end(&mut running).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(CLOSE), "{answer}");
    kept.write_all(LIVE.as_bytes()).await.unwrap();
    let answer = to_end(&mut kept).await;
    assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    let answer = to_end(&mut started.sent(LIVE).await).await;
    assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    started.server.shutdown.cancel();
    started.server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_that_have_arrived_at_the_shutdown_are_served_whole_or_in_part() {
    let started = TlsServer::start(Limits::default()).await;
    let mut whole = started.sent(LIVE).await;
    assert!(first(&mut whole).await.ends_with("alive"));
    let (begin, rest) = LIVE.split_at(10);
    let mut part = started.sent(begin).await;
    let mut unused = started.connect().await;
    sleep(SHORT).await;
    // The server does not know of it when the shutdown begins.
    whole.write_all(LIVE.as_bytes()).await.unwrap();
    started.server.shutdown.cancel();
    let answer = to_end(&mut whole).await;
    assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    assert_eq!(unused.read(&mut [0; 16]).await.unwrap(), 0, "an orderly end");
    part.write_all(rest.as_bytes()).await.unwrap();
    let answer = to_end(&mut part).await;
    assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    started.server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handshake_does_not_delay_the_shutdown() {
    let started = TlsServer::start(Limits::default()).await;
    let mut silent = TcpStream::connect(started.server.addr).await.unwrap();
    sleep(SHORT).await;
    let stopped = Instant::now();
    started.server.shutdown.cancel();
    assert_eq!(to_end(&mut silent).await, "");
    started.server.task.await.unwrap().unwrap();
    assert!(stopped.elapsed() < HANDSHAKE / 2, "{:?}", stopped.elapsed());
}
