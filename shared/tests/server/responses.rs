use super::*;

/// Returns the head of a request that is executed.
fn echo(length: usize) -> String {
    format!(
        "POST /echo HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// Returns a request with a body.
fn whole(body: &str) -> String {
    echo(body.len()) + body
}

#[tokio::test]
async fn bytes_after_a_request_do_not_delay_its_response() {
    let server = start(Limits::default()).await;
    let body = r#"{"amount":5}"#;
    for after in ["\r\n", "\n", "garbage", "GET /hea", "\0\0\0", &whole(body)[..40]] {
        let mut stream = sent(&server, &(whole(body) + after)).await;
        let answer = first(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains(body),
            "{after:?}: {answer}"
        );
    }
    // Empty lines between requests are ignored.
    let mut stream = sent(&server, &(whole(body) + "\r\n\r\n")).await;
    assert!(first(&mut stream).await.ends_with(body));
    stream.write_all(format!("\r\n{LIVE}").as_bytes()).await.unwrap();
    assert!(first(&mut stream).await.ends_with("alive"));
}

#[tokio::test]
async fn a_request_of_curl_with_too_short_a_content_length_is_answered() {
    let server = start(Limits::default()).await;
    // curl -H 'Content-Length: 12' --data-binary $'{"amount":5}\r\n'
    let request = "POST /echo HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
                   User-Agent: curl/8.5.0\r\nAccept: */*\r\n\
                   Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"amount\":5}\r\n";
    let answer = first(&mut sent(&server, request).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"amount":5}"#), "{answer}");
}

#[tokio::test]
async fn a_request_of_http_1_0_is_answered_with_or_without_an_extra_newline() {
    let server = start(Limits::default()).await;
    for request in ["GET /health/live HTTP/1.0\r\n\r\n", "GET /health/live HTTP/1.0\r\n\r\n\n"] {
        let answer = to_end(&mut sent(&server, request).await).await;
        assert!(
            answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("alive"),
            "{request:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = start(Limits::default()).await;
    let bodies: Vec<String> = (0..40).map(|number| format!(r#"{{"number":{number}}}"#)).collect();
    let mut stream =
        sent(&server, &bodies.iter().map(|body| whole(body)).collect::<String>()).await;
    let mut answers = String::new();
    while statuses(&answers).len() < bodies.len() || !answers.ends_with('}') {
        answers += &first(&mut stream).await;
    }
    let mut rest = answers.as_str();
    for body in &bodies {
        rest = rest.split_once(body.as_str()).unwrap().1;
    }
}

#[tokio::test]
async fn a_client_that_half_closes_gets_all_its_responses() {
    let server = start(Limits::default()).await;
    let (body, slow) = (r#"{"a":1}"#, "GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    for (requests, count) in [
        (whole(body), 1),
        (slow.to_owned(), 1),
        (slow.repeat(3), 3),
        (whole(body).repeat(3), 3),
        (format!("{LIVE}{}{slow}", whole(body)), 3),
        ("GET /slow HTTP/1.0\r\n\r\n".to_owned(), 1),
    ] {
        let mut stream = sent(&server, &requests).await;
        stream.shutdown().await.unwrap();
        let answers = to_end(&mut stream).await;
        assert_eq!(statuses(&answers), vec!["200"; count], "{requests}: {answers}");
    }
    // An incomplete body is an error that gets a response too.
    let mut stream = sent(&server, HALF).await;
    stream.shutdown().await.unwrap();
    is_problem(&to_end(&mut stream).await, 400, "malformed_request");
}

/// Returns true if the server accepts a connection and responds.
async fn is_alive(server: &Server) -> bool {
    let Ok(mut stream) = TcpStream::connect(server.addr).await else { return false };
    let mut answer = vec![0; 4096];
    stream.write_all(LIVE.as_bytes()).await.is_ok()
        && stream.read(&mut answer).await.is_ok_and(|length| answer[..length].ends_with(b"alive"))
}

#[tokio::test]
async fn a_client_that_is_gone_does_not_hold_a_connection() {
    let limits = Limits { connections: 1, per_address: 1, refusals: 0, ..Limits::default() };
    let server = start(limits).await;
    for _ in 0..3 {
        drop(sent(&server, "GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await);
        let freed = async {
            while !is_alive(&server).await {
                sleep(SLOW / 10).await;
            }
        };
        timeout(Duration::from_secs(5), freed).await.expect("the connection is free again");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_response_and_a_stalled_one_is_cut_off() {
    let limits = Limits { headers: SHORT, idle: SHORT, stalled: SHORT * 5, ..Limits::default() };
    let server = start(limits).await;
    let ask = "GET /large HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let mut slow = sent(&server, ask).await;
    let mut none = sent(&server, ask).await;
    let mut read = 0;
    let mut buffer = vec![0; LARGE / 20];
    loop {
        sleep(SHORT / 3).await;
        match slow.read(&mut buffer).await.unwrap() {
            0 => break,
            length => read += length,
        }
    }
    assert!(read > LARGE, "{read} bytes, where the body has {LARGE}");
    let mut read = Vec::new();
    let end = none.read_to_end(&mut read).await;
    assert!(end.is_err() || read.len() < LARGE, "{} bytes", read.len());
}
