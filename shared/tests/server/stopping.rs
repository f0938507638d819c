use std::io::Write;

use super::*;

const READY: &str = "GET /health/ready HTTP/1.1\r\nhost: test\r\n\r\n";
const CLOSE: &str = "\r\nconnection: close\r\n";

/// Connects and sends a text, before any task of the server runs.
fn sent_at_once(server: &Server, text: &str) -> TcpStream {
    let mut stream = std::net::TcpStream::connect(server.addr).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

#[tokio::test]
async fn a_draining_service_serves_requests_and_closes_their_connections() {
    let server = start(Limits::default()).await;
    let mut kept = sent(&server, READY).await;
    let ready = first(&mut kept).await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && !ready.contains(CLOSE), "{ready}");
    let mut running = sent(&server, "GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    server.received(2).await;
    server.draining.cancel();
    // The response to a request that began before the drain closes its connection, too.
    let answer = to_end(&mut running).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(CLOSE), "{answer}");
    kept.write_all(LIVE.as_bytes()).await.unwrap();
    let answer = to_end(&mut kept).await;
    assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    for (request, status, text) in [
        (READY, "503", "DRAIN_SECONDS"),
        (LIVE, "200", "alive"),
        ("GET /nowhere HTTP/1.1\r\nhost: test\r\n\r\n", "404", "no such route"),
    ] {
        let answer = to_end(&mut sent(&server, request).await).await;
        assert_eq!(statuses(&answer), [status], "{answer}");
        assert!(answer.contains(CLOSE) && answer.contains(text), "{answer}");
    }
    assert!(!server.task.is_finished());
    server.shutdown.cancel();
    server.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_that_have_arrived_at_the_shutdown_are_served() {
    let server = start(Limits::default()).await;
    let mut kept = sent(&server, LIVE).await;
    assert!(first(&mut kept).await.ends_with("alive"));
    let mut unused = sent(&server, "").await;
    // Neither of the two is known to the server when the shutdown begins.
    kept.try_write(LIVE.as_bytes()).unwrap();
    let mut new = sent_at_once(&server, LIVE);
    server.shutdown.cancel();
    for stream in [&mut kept, &mut new] {
        let answer = to_end(stream).await;
        assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    }
    assert_eq!(to_end(&mut unused).await, "");
    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn a_request_that_has_arrived_in_part_at_the_shutdown_is_served() {
    let server = start(Limits::default()).await;
    let mut kept = sent(&server, LIVE).await;
    assert!(first(&mut kept).await.ends_with("alive"));
    let (begin, rest) = LIVE.split_at(10);
    kept.write_all(begin.as_bytes()).await.unwrap();
    let mut new = sent(&server, begin).await;
    sleep(SHORT).await;
    server.shutdown.cancel();
    sleep(SHORT).await;
    for stream in [&mut kept, &mut new] {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let answer = to_end(stream).await;
        assert!(answer.contains(CLOSE) && answer.ends_with("alive"), "{answer}");
    }
    server.task.await.unwrap().unwrap();
}
