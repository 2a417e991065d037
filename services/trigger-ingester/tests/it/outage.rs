//! A bus that is away, a service that is asked to stop, and two replicas that get the same at once.

use futures::future::join_all;
use reqwest::StatusCode;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{PUSH, PUSHES, WITHIN, World, github_headers, signature, until};

/// GitHub waits so long for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn while_the_bus_is_away_the_sender_is_asked_to_come_again_and_nothing_is_lost() {
    let mut world = World::start().await;
    world.servers.nats.kill().await;
    let asked_at = Instant::now();
    let answer = world.deliver("1", "push", PUSH, "old").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.retry_after.as_deref(), Some("5"));
    assert!(asked_at.elapsed() < PATIENCE, "the sender has hung up: {:?}", asked_at.elapsed());

    world.servers.nats.restart().await.unwrap();
    until("the redelivery is stored", async || {
        world.deliver("1", "push", PUSH, "old").await.status == StatusCode::ACCEPTED
    })
    .await;
    world.deliver("1", "push", PUSH, "old").await.accepted(0, 1);
    assert_eq!(world.message(1, PUSHES).await.payload, PUSH);
    assert_eq!(world.stored().await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_delivery_in_hand_is_stored_though_the_service_stops() {
    let world = World::start().await;
    let signature = signature(PUSH, "old");
    let mut head = format!(
        "POST /webhooks/acme/github HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nexpect: 100-continue\r\n",
        PUSH.len()
    );
    for (name, value) in github_headers("1", "push", &signature) {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    let stopped = world.supervisor.finish(WITHIN);
    let rest = async {
        world.supervisor.token().cancelled().await;
        stream.write_all(PUSH).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 202 "), "{}", String::from_utf8_lossy(&answer));
    };
    tokio::join!(stopped, rest).0.unwrap();
    assert_eq!(world.message(1, PUSHES).await.payload, PUSH);
    world.bus.drain().await;
}

#[tokio::test]
async fn two_replicas_that_get_the_same_at_once_store_it_once() {
    const ROUNDS: u64 = 50;
    let world = World::start().await;
    let replicas = [world.address, world.replica().await];
    for round in 1..=ROUNDS {
        let id = format!("delivery-{round}");
        let deliveries =
            [0, 1, 0, 1].map(|n| world.deliver_to(replicas[n], &id, "repository_dispatch", PUSH, "old"));
        let answers = join_all(deliveries).await;
        let new: u64 = answers
            .iter()
            .map(|answer| {
                assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
                answer.json["stored"].as_u64().unwrap()
            })
            .sum();
        assert_eq!(new, 1, "{answers:?}");
        assert_eq!(world.stored().await, round);
    }
    world.end().await;
}
