use super::*;

#[tokio::test]
async fn a_request_that_cannot_be_parsed_is_a_problem_with_a_request_id() {
    let server = start(Limits::default()).await;
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let head = |line: &str, more: &str| format!("{line}\r\nhost: test\r\n{more}\r\n");
    let get = |more: &str| head("GET /health/live HTTP/1.1", more);
    for (request, status, code) in [
        (get("bad name: 1\r\n"), 400, "malformed_request"),
        (get(": 1\r\n"), 400, "malformed_request"),
        (get("no colon\r\n"), 400, "malformed_request"),
        (get("x: a\0b\r\n"), 400, "malformed_request"),
        (get("x: a\r\n folded\r\n"), 400, "malformed_request"),
        (get("content-length: -1\r\n"), 400, "malformed_request"),
        (get("content-length: 1\r\ncontent-length: 2\r\n"), 400, "malformed_request"),
        (get("content-length: 99999999999999999999\r\n"), 400, "malformed_request"),
        (head("POST /echo HTTP/1.1", "transfer-encoding: gzip\r\n"), 400, "malformed_request"),
        (head("POST /echo HTTP/1.0", "transfer-encoding: chunked\r\n"), 400, "malformed_request"),
        (head("GET /health/live HTTP/3.7", ""), 400, "malformed_request"),
        (head("GET /health/live", ""), 400, "malformed_request"),
        (head("G\u{e4}T / HTTP/1.1", ""), 400, "malformed_request"),
        ("hello\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("\u{16}\u{3}\u{1}\0\u{5}\u{1}\0".to_owned(), 400, "malformed_request"),
        (get(&fields(1_100)), 431, "request_header_fields_too_large"),
        (get(&fields(101)), 431, "request_header_fields_too_large"),
        (head(&format!("GET /{} HTTP/1.1", "a".repeat(70_000)), ""), 414, "uri_too_long"),
    ] {
        let shown = &request[..request.len().min(80)];
        let answer = to_end(&mut sent(&server, &request).await).await;
        is_problem(&answer, status, code);
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{shown}: {answer}");
        // The same holds after a request on the same connection.
        let answers = to_end(&mut sent(&server, &format!("{LIVE}{request}")).await).await;
        let (live, second) =
            answers.split_once("alive").unwrap_or_else(|| panic!("{shown}: {answers}"));
        assert!(live.starts_with("HTTP/1.1 200 "), "{answers}");
        is_problem(second, status, code);
    }
    assert!(first(&mut sent(&server, &get(&fields(90))).await).await.starts_with("HTTP/1.1 200 "));
    // A head can be incomplete because the client half-closes.
    let mut stream = sent(&server, "GET /health/live HTT").await;
    stream.shutdown().await.unwrap();
    is_problem(&to_end(&mut stream).await, 400, "malformed_request");
    // A connection without a request gets no response.
    for nothing in ["", "\r\n"] {
        let mut stream = sent(&server, nothing).await;
        stream.shutdown().await.unwrap();
        assert_eq!(to_end(&mut stream).await, "");
    }
}

/// hyper gives up within the body, so the response to the request reports it.
#[tokio::test]
async fn a_chunked_body_that_cannot_be_parsed_is_a_problem() {
    let server = start(Limits::default()).await;
    let head = "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    for chunks in ["x\r\n", "5\r\n{\"a\":1}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n"] {
        is_problem(
            &to_end(&mut sent(&server, &format!("{head}{chunks}")).await).await,
            400,
            "malformed_request",
        );
    }
}

#[tokio::test]
async fn an_http_2_client_gets_http_1_1_required() {
    let server = start(Limits::default()).await;
    let settings = "\0\0\0\u{4}\0\0\0\0\0";
    let mut stream = sent(&server, &format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}")).await;
    let mut answer = Vec::new();
    timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED and no stream processed.
    assert_eq!(answer[..9], [0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(answer[9..], [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13]);
}

#[tokio::test]
async fn a_request_has_exactly_one_valid_host() {
    let server = start(Limits::default()).await;
    for (hosts, status) in [
        ("", 400),
        ("host: a\r\nhost: a\r\n", 400),
        ("host:\r\n", 400),
        ("host: a b\r\n", 400),
        ("host: a/b\r\n", 400),
        ("host: localhost:8080\r\n", 200),
        ("host: [::1]:8080\r\n", 200),
    ] {
        let answer =
            first(&mut sent(&server, &format!("GET /health/live HTTP/1.1\r\n{hosts}\r\n")).await)
                .await;
        match status {
            400 => is_problem(&answer, status, "malformed_request"),
            _ => assert!(answer.starts_with("HTTP/1.1 200 "), "{hosts}: {answer}"),
        }
    }
}

#[tokio::test]
async fn an_encoded_body_is_415_and_a_byte_order_mark_is_ignored() {
    let server = start(Limits::default()).await;
    let post = |more: &str, body: &str| {
        let length = body.len();
        format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             {more}content-length: {length}\r\n\r\n{body}"
        )
    };
    for coding in ["gzip", "br", "identity, gzip", "x"] {
        let answer = first(
            &mut sent(&server, &post(&format!("content-encoding: {coding}\r\n"), "{}")).await,
        )
        .await;
        is_problem(&answer, 415, "unsupported_media_type");
    }
    for (more, body) in [("content-encoding: Identity\r\n", "{}"), ("", "\u{feff}{}")] {
        let answer = first(&mut sent(&server, &post(more, body)).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{}"), "{answer}");
        assert!(answer.contains("\r\ncache-control: no-store\r\n"), "{answer}");
    }
}
