//! Large payloads: those that fit no message, and those that are too large.

use bus::PAYLOAD_BYTES_MAX;
use futures::{StreamExt as _, stream};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{PUSHES, World, value_of};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_payload_larger_than_a_message_is_kept_beside_it_and_read_back_as_it_came() {
    let world = World::start().await;
    let body = format!("{{\"text\":\"{}\"}}", "0123456789abcdef".repeat(3 * MIB / 16)).into_bytes();
    assert!(body.len() > world.bus.max_payload_bytes(), "it would fit");
    world.deliver("large", "push", &body, "old").await.accepted(1, 0);
    world.deliver("large", "push", &body, "old").await.accepted(0, 1);
    assert_eq!(world.stored().await, 1);
    let event = world.event(1, PUSHES).await;
    assert!(event.attributes.dataref.as_deref().is_some_and(|name| name.starts_with("object:acme.github.")));
    assert!(world.message(1, PUSHES).await.payload.is_empty());
    assert!(event.payload(&world.bus).await.unwrap() == body, "the payload changed");
    world.end().await;
}

#[tokio::test]
async fn what_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /webhooks/acme/github HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        PAYLOAD_BYTES_MAX + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(world.stored().await, 0);
    world.end().await;
}

#[tokio::test]
async fn what_becomes_too_large_on_its_way_is_refused() {
    let world = World::start().await;
    let parts = stream::repeat(vec![b'x'; MIB]).take(PAYLOAD_BYTES_MAX / MIB);
    let parts = parts.chain(stream::iter([vec![b'x']])).map(Ok::<_, std::io::Error>);
    let request = world.request(Method::POST, "token").header("x-token", value_of("old"));
    let answer = request.body(reqwest::Body::wrap_stream(parts)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.stored().await, 0);
    world.end().await;
}
