use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

use super::*;

/// Connects from another address of this machine: 127.0.0.`last`.
async fn from(server: &Server, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
    socket.connect(server.addr).await.unwrap()
}

async fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    first(stream).await
}

#[tokio::test]
async fn a_connection_beyond_the_maximum_closes_the_longest_idle_one() {
    let server = start(Limits { connections: 3, per_address: 2, ..Limits::default() }).await;
    let mut own = Vec::new();
    for _ in 0..3 {
        let mut stream = from(&server, 1).await;
        assert!(ask(&mut stream, LIVE).await.ends_with("alive"));
        own.push(stream);
        // Idle times have a resolution of 1 ms.
        sleep(Duration::from_millis(5)).await;
    }
    // The maximum of one address is 2: the third connection closed the first.
    assert_eq!(to_end(&mut own.remove(0)).await, "");
    let mut other = from(&server, 2).await;
    assert!(ask(&mut other, LIVE).await.ends_with("alive"));
    let mut third = from(&server, 3).await;
    assert!(ask(&mut third, LIVE).await.ends_with("alive"));
    assert_eq!(
        to_end(&mut own.remove(0)).await,
        "",
        "the maximum in total is 3: the longest idle connection closes"
    );
    assert!(ask(&mut own[0], LIVE).await.ends_with("alive"));
    assert!(ask(&mut other, LIVE).await.ends_with("alive"));
}

#[tokio::test]
async fn a_connection_beyond_busy_ones_gets_503_except_for_health() {
    let server =
        start(Limits { connections: 2, per_address: 2, refusals: 2, ..Limits::default() }).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        busy.push(sent(&server, "GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await);
    }
    server.received(2).await;
    for _ in 0..4 {
        let answer =
            to_end(&mut sent(&server, "GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await).await;
        is_problem(&answer, 503, "overloaded");
        assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
        assert!(first(&mut sent(&server, LIVE).await).await.ends_with("alive"));
    }
    // Silent connections do not keep others from a response.
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    assert!(first(&mut sent(&server, LIVE).await).await.ends_with("alive"));
    busy.clear();
}

#[tokio::test]
async fn a_connection_closes_without_a_response_after_its_idle_time() {
    let server = start(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(to_end(&mut silent).await, "");
    let mut kept = sent(&server, LIVE).await;
    assert!(first(&mut kept).await.ends_with("alive"));
    sleep(SHORT / 2).await;
    assert!(ask(&mut kept, LIVE).await.ends_with("alive"));
    let asked = Instant::now();
    assert_eq!(to_end(&mut kept).await, "");
    assert!(asked.elapsed() >= SHORT * 9 / 10, "{:?}", asked.elapsed());
}
