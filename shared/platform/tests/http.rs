//! The HTTP client against a server that misbehaves in each way that matters.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

use http::{HeaderMap, StatusCode};
use platform::CallError;
use platform::http::{Call, Effect, HttpClient, HttpOptions, SendError};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A server that gives each request the next answer, and the requests it got. An answer of `None` never comes.
struct Server {
    url: String,
    serving: JoinSet<Vec<String>>,
}

impl Server {
    async fn start(answers: Vec<Option<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (mut requests, mut silent) = (Vec::new(), Vec::new());
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request ends early");
                }
                requests.push(String::from_utf8_lossy(&request).into_owned());
                match answer {
                    Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    None => silent.push(stream),
                }
            }
            requests
        });
        Self { url, serving }
    }

    async fn requests(mut self) -> Vec<String> {
        self.serving.join_next().await.unwrap().unwrap()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

fn client() -> HttpClient {
    let options = HttpOptions {
        deadline: Duration::from_millis(400),
        body_bytes_max: 64,
        user_agent: "ctrlplane-test".to_owned(),
        ..HttpOptions::default()
    };
    HttpClient::new(&options).unwrap()
}

#[tokio::test]
async fn what_was_not_sent_had_no_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    drop(listener);
    let error = client().send(Call::post(url, HeaderMap::new(), &json!({}))).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
    assert!(!error.to_string().contains("/secret"), "an error shows no URL: {error}");
    assert!(matches!(error.for_effect(Effect::Write), CallError::Transient(_)));
    let error = client().send(Call::get("not a url", HeaderMap::new())).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_may_have_had_its_effect() {
    let server = Server::start(vec![None]).await;
    let error = client().send(Call::post(&server.url, HeaderMap::new(), &json!({}))).await.unwrap_err();
    assert!(matches!(error, SendError::Ambiguous(_)), "{error:?}");
    assert!(matches!(error.clone().for_effect(Effect::Write), CallError::Ambiguous(_)));
    assert!(matches!(error.for_effect(Effect::Read), CallError::Transient(_)));
    assert_eq!(server.requests().await.len(), 1, "a write is never repeated");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_too_large_is_no_answer() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\nhalf".to_owned();
    let chunks = "5\r\nhello\r\n".repeat(20);
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunks}0\r\n\r\n"
    );
    let server =
        Server::start(vec![Some(broken), answer("200 OK", "", &"x".repeat(65)), Some(endless)]).await;
    for _ in 0..3 {
        let error = client().send(Call::get(&server.url, HeaderMap::new())).await.unwrap_err();
        assert!(matches!(error, SendError::Ambiguous(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_error_is_sorted_by_what_was_asked() {
    let server = Server::start(vec![answer(
        "502 Bad Gateway",
        "",
        "token ghs_0123456789012345678901234567890123456789",
    )])
    .await;
    let outcome = client().send(Call::post(&server.url, HeaderMap::new(), &json!({}))).await.unwrap();
    let error = outcome.clone().no_server_error(Effect::Write).unwrap_err();
    assert!(matches!(error, CallError::Ambiguous(_)) && !error.to_string().contains("ghs_0"), "{error}");
    assert!(matches!(outcome.no_server_error(Effect::Read), Err(CallError::Transient(_))));
}

#[tokio::test]
async fn redirects_are_answers_and_requests_name_us() {
    let server = Server::start(vec![answer("302 Found", "location: http://127.0.0.1:1/\r\n", "")]).await;
    let outcome = client().send(Call::get(&server.url, HeaderMap::new())).await.unwrap();
    assert_eq!(outcome.status, StatusCode::FOUND);
    let requests = server.requests().await;
    assert!(requests[0].to_ascii_lowercase().contains("user-agent: ctrlplane-test"), "{requests:?}");
}

#[tokio::test]
async fn an_answer_that_still_holds_comes_from_memory_for_its_own_credential_only() {
    let server = Server::start(vec![
        answer("200 OK", "etag: \"one\"\r\nx-ratelimit-remaining: 10\r\n", "first"),
        answer("304 Not Modified", "etag: \"one\"\r\nx-ratelimit-remaining: 9\r\n", ""),
        answer("200 OK", "etag: \"two\"\r\n", "second"),
        answer("200 OK", "etag: \"three\"\r\n", "for another"),
    ])
    .await;
    let client = client();
    let url = server.url.clone();
    let read = async |credential| client.read(credential, Call::get(&url, HeaderMap::new())).await.unwrap();
    let first = read("a").await;
    assert_eq!((&first.body[..], first.unchanged), (&b"first"[..], false));
    let kept = read("a").await;
    assert_eq!((kept.status, &kept.body[..], kept.unchanged), (StatusCode::OK, &b"first"[..], true));
    assert_eq!(kept.headers["x-ratelimit-remaining"], "9", "the newer headers count");
    assert_eq!(&read("a").await.body[..], b"second");
    assert_eq!(&read("b").await.body[..], b"for another");
    let asked: Vec<Option<String>> = server
        .requests()
        .await
        .iter()
        .map(|request| {
            let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with("if-none-match"));
            line.map(|line| line.split_once(": ").unwrap().1.to_owned())
        })
        .collect();
    assert_eq!(asked, [None, Some("\"one\"".to_owned()), Some("\"one\"".to_owned()), None]);
}
