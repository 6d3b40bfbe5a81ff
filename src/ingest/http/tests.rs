//! The client against a real server on the loopback interface.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use super::*;

fn client(clock: &Arc<ManualClock>, change: impl FnOnce(&mut HttpSettings)) -> Client {
    let mut settings = HttpSettings { rate_per_s: 0.0, ..HttpSettings::default() };
    change(&mut settings);
    Client::new(settings, clock.clone()).expect("a client")
}

fn clock() -> Arc<ManualClock> {
    ManualClock::at("2025-02-27T02:00:00Z")
}

#[tokio::test]
async fn rate_limited_twice_then_answered() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "7"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "Thu, 27 Feb 2025 02:00:40 GMT"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).insert_header("etag", "\"x\"").set_body_string("{}"))
        .mount(&server)
        .await;
    let clock = clock();
    let request = Request::get("melon", server.uri());
    let response = client(&clock, |_| ()).send(&request).await.expect("an answer");
    // 7 s as told; then until :40, of which 7 s have passed
    assert_eq!(clock.slept(), [Duration::from_secs(7), Duration::from_secs(33)]);
    assert_eq!(response.body, "{}");
    let raw = response.into_raw("2025-02-27", &request, clock.now());
    assert!(raw.headers.contains(r#""etag":"\"x\"""#), "{}", raw.headers);
}

#[tokio::test]
async fn server_errors_end_with_what_came_back() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(500).set_body_string("<b>oh\n no</b> s3cret"))
        .expect(3)
        .mount(&server)
        .await;
    let clock = clock();
    let request = Request::get("bugs", format!("{}/x", server.uri())).secret_query("key", "s3cret");
    let error = client(&clock, |s| s.retry.retries = 2).send(&request).await.expect_err("a failure");
    assert_eq!(clock.slept(), [Duration::from_millis(500), Duration::from_secs(1)]);
    assert!(error.transient);
    assert_eq!(error.code, "ingest/http-status");
    let expect = format!(
        "`bugs` gave nothing for `GET {}/x?key=***` after 3 attempts: it answered 500 Internal Server Error: <b>oh no</b> ***",
        server.uri()
    );
    assert_eq!(error.message, expect);
}

#[tokio::test]
async fn what_retrying_cannot_mend_is_asked_once() {
    for (status, repeatable, accepted, code) in [
        (404, true, false, "ingest/http-status"),
        (403, true, false, "ingest/not-authorized"),
        (500, false, false, "ingest/http-status"),
        (404, true, true, ""),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(status)).expect(1).mount(&server).await;
        let mut request = Request::post("genie", server.uri()).form("pgSize", "200");
        if repeatable {
            request = request.repeatable();
        }
        if accepted {
            request = request.accept(status);
        }
        let result = client(&clock(), |_| ()).send(&request).await;
        assert_eq!(result.err().map(|e| e.code).unwrap_or_default(), code, "{status}");
    }
}

#[tokio::test]
async fn a_slow_server_times_out() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(5));
    Mock::given(method("GET")).respond_with(slow).expect(2).mount(&server).await;
    let client = client(&clock(), |s| {
        s.timeout = Duration::from_millis(100);
        s.retry.retries = 1;
    });
    let error = client.send(&Request::get("flo", server.uri())).await.expect_err("a time-out");
    assert_eq!(error.code, "ingest/http-timeout");
    assert!(error.message.ends_with("after 2 attempts: no complete answer in time (`timeout_s` is 0.1, `read_timeout_s` 20)"), "{error}");
    assert!(error.transient);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        for body in ["{\"half\":", "{}"] {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 1024];
            assert!(socket.read(&mut asked).await.expect("a request") > 0);
            let length = if body == "{}" { 2 } else { 100 };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            socket.write_all(head.as_bytes()).await.expect("written");
            socket.shutdown().await.expect("closed");
        }
    });
    let clock = clock();
    let client = client(&clock, |_| ());
    let request = Request::get("vibe", format!("http://{address}/"));
    assert_eq!(client.send(&request).await.expect("the second answer").body, "{}");
    assert_eq!(clock.slept().len(), 1);
    // nobody listens any more
    let error = client.send(&request).await.expect_err("no connection");
    assert_eq!((error.code, error.transient), ("ingest/http-connect", true));
}

#[tokio::test]
async fn limits_hold() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_string("x".repeat(2000))).mount(&server).await;
    let clock = clock();
    let client = client(&clock, |s| {
        s.max_response_bytes = 1999;
        s.rate_per_s = 1.0;
    });
    for _ in 0..3 {
        let error = client.send(&Request::get("vibe", server.uri())).await.expect_err("too large");
        assert_eq!((error.code, error.transient), ("ingest/response-too-large", false));
    }
    assert_eq!(clock.slept(), [Duration::from_secs(1), Duration::from_secs(1)]);
}

#[test]
fn bodies_are_decoded_by_their_charset() {
    let (euc, _, _) = encoding_rs::EUC_KR.encode("아이브");
    assert_eq!(decode(euc.into_owned(), Some("text/html; charset=EUC-KR")), "아이브");
    assert_eq!(decode("아이브".into(), Some("application/json")), "아이브");
}
