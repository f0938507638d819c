use super::*;

fn head(line: &str, length: usize) -> String {
    format!(
        "{line}\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_body() {
    let server = start(Limits::default()).await;
    for (line, status) in [
        ("POST /nowhere HTTP/1.1", "404"),
        ("GET /echo HTTP/1.1", "405"),
        ("POST /echo HTTP/1.1\r\ncontent-encoding: gzip", "415"),
    ] {
        // The rest of a large body is not read: the connection closes after the response.
        let asked = Instant::now();
        let mut stream = sent(&server, &head(line, 2_000_000)).await;
        stream.write_all(&vec![b' '; 500_000]).await.unwrap();
        let answer = to_end(&mut stream).await;
        assert_eq!(statuses(&answer), [status], "{line}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{line}: {answer}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        // A small body that never arrives whole does not delay the response for long.
        let mut stream = sent(&server, &(head(line, 20) + "x")).await;
        let answer = to_end(&mut stream).await;
        assert_eq!(statuses(&answer), [status], "{line}: {answer}");
    }
    // A client that expects 100 gets the refusal instead.
    let line = "POST /nowhere HTTP/1.1\r\nexpect: 100-continue";
    let answer = to_end(&mut sent(&server, &head(line, 20)).await).await;
    assert_eq!(statuses(&answer), ["404"], "{answer}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_before_it_arrives() {
    let server = start(Limits::default()).await;
    let answer =
        to_end(&mut sent(&server, &head("POST /echo HTTP/1.1", 2 * 1024 * 1024 + 1)).await).await;
    is_problem(&answer, 413, "payload_too_large");
    let chunked = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n";
    let mut stream = sent(&server, chunked).await;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    for _ in 0..3 {
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    is_problem(&to_end(&mut stream).await, 413, "payload_too_large");
}

#[tokio::test]
async fn large_bodies_share_a_budget_that_small_ones_do_not_need() {
    let server = start(Limits { body_budget: 256 * 1024, ..Limits::default() }).await;
    let mut slow = sent(&server, &head("POST /upload HTTP/1.1", 250_000)).await;
    slow.write_all(" ".repeat(200_000).as_bytes()).await.unwrap();
    server.has_read(200_000).await;
    let mut other = sent(&server, &head("POST /echo HTTP/1.1", 250_000)).await;
    let _ = other.write_all(" ".repeat(200_000).as_bytes()).await;
    let answer = to_end(&mut other).await;
    is_problem(&answer, 503, "overloaded");
    // A single command is small.
    let small = head("POST /echo HTTP/1.1", 10_000) + &" ".repeat(9_998) + "{}";
    assert!(first(&mut sent(&server, &small).await).await.starts_with("HTTP/1.1 200 "));
    slow.write_all((" ".repeat(49_998) + "{}").as_bytes()).await.unwrap();
    assert!(first(&mut slow).await.starts_with("HTTP/1.1 200 "));
    // A response returns its share.
    let large = head("POST /echo HTTP/1.1", 200_002) + &" ".repeat(200_000) + "{}";
    assert!(first(&mut sent(&server, &large).await).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn large_responses_share_a_budget_until_they_are_read() {
    let server = start(Limits { answer_budget: LARGE + LARGE / 2, ..Limits::default() }).await;
    let ask = "GET /large HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let mut one = sent(&server, ask).await;
    assert!(first(&mut one).await.starts_with("HTTP/1.1 200 "));
    is_problem(&to_end(&mut sent(&server, ask).await).await, 503, "overloaded");
    assert!(first(&mut sent(&server, LIVE).await).await.ends_with("alive"));
    to_end(&mut one).await;
    assert!(first(&mut sent(&server, ask).await).await.starts_with("HTTP/1.1 200 "));
}
