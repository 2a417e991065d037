//! Live events: what is true now, what changes, and what a client missed; over dropped connections and restarts.

use crate::harness::{SHOP, WITHIN, World, until};
use domain::job::{JobFact, JobView, TerminalStatus};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const EVENTS: &str = "/api/v1/workspaces/acme/events";

struct Listener {
    response: Response,
    rest: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Heard {
    name: String,
    id: Option<u64>,
    data: String,
}

impl Listener {
    async fn start(world: &World, query: &str, last_id: Option<u64>) -> Self {
        let mut request = world.request(Method::GET, &format!("{EVENTS}{query}")).header("x-api-key", "vera");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = request.send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, rest: String::new() }
    }

    async fn next(&mut self) -> Heard {
        let event = async {
            loop {
                if let Some((block, rest)) = self.rest.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.rest = rest;
                    if let Some(heard) = parse(&block) {
                        return heard;
                    }
                    continue;
                }
                let chunk = self.response.chunk().await.expect("readable").expect("not the end");
                self.rest.push_str(std::str::from_utf8(&chunk).expect("text"));
            }
        };
        tokio::time::timeout(WITHIN, event).await.expect("an event in time")
    }

    /// The next event, which is about a job: its id and the view.
    async fn job(&mut self) -> (u64, JobView) {
        let heard = self.next().await;
        assert_eq!(heard.name, "job", "{heard:?}");
        (heard.id.expect("an id"), serde_json::from_str(&heard.data).expect("a view"))
    }

    async fn named(&mut self, name: &str) -> Heard {
        let heard = self.next().await;
        assert_eq!(heard.name, name, "{heard:?}");
        heard
    }
}

fn parse(block: &str) -> Option<Heard> {
    let mut heard = Heard { name: String::new(), id: None, data: String::new() };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", value)) => heard.name = value.to_owned(),
            Some(("id", value)) => heard.id = Some(value.parse().expect("a sequence")),
            Some(("data", value)) => heard.data.push_str(value),
            _ => {}
        }
    }
    (!heard.name.is_empty()).then_some(heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_what_is_true_then_what_changes_and_later_what_it_missed() {
    let world = World::with_shop().await;
    let (one, two) = (world.requested(1).await, world.requested(2).await);
    let first = world.view(&one).await;
    world.tell(&first).await;
    let at_two = world.tell(&world.view(&two).await).await;

    let mut listener = Listener::start(&world, "", None).await;
    assert_eq!(listener.job().await.1, first);
    assert_eq!(listener.job().await.0, at_two);
    assert_eq!(listener.named("live").await.id, Some(at_two));

    world
        .record(&one, JobFact::CancelRequested { by: "otto".into(), reason: domain::job::CancelReason::User })
        .await;
    let cancelling = world.view(&one).await;
    let at_cancelling = world.tell(&cancelling).await;
    assert_eq!(listener.job().await, (at_cancelling, cancelling));
    // A late writer tells what was true before: nobody hears it.
    world.tell(&first).await;
    world.record(&one, JobFact::ended(TerminalStatus::Cancelled, None, "never started")).await;
    let over = world.view(&one).await;
    let at_over = world.tell(&over).await;
    assert_eq!(listener.job().await, (at_over, over));

    drop(listener);
    let three = world.requested(3).await;
    let at_three = world.tell(&world.view(&three).await).await;
    world.record(&two, JobFact::ended(TerminalStatus::Failure, None, "broken")).await;
    let at_failed = world.tell(&world.view(&two).await).await;
    let mut listener = Listener::start(&world, "", Some(at_over)).await;
    assert_eq!(listener.job().await.0, at_three);
    assert_eq!(listener.job().await.0, at_failed);
    assert_eq!(listener.named("live").await.id, Some(at_failed));

    let mut up_to_date = Listener::start(&world, &format!("?lastEventId={at_failed}"), None).await;
    assert_eq!(up_to_date.named("live").await.id, Some(at_failed));
    let mut too_old = Listener::start(&world, "", Some(at_failed + 1_000)).await;
    too_old.named("reset").await;
    assert_eq!(too_old.job().await.0, at_over, "the last of each job");
    drop((listener, up_to_date, too_old));

    // What the stream keeps no more, memory may still have: nothing is lost on who comes back soon.
    let stream = world.bus.jetstream().get_stream("STATUS").await.unwrap();
    stream.purge().sequence(at_failed + 1).await.unwrap();
    let at_four = world.tell(&world.view(&world.requested(4).await).await).await;
    let mut expired = Listener::start(&world, "", Some(at_three)).await;
    assert_eq!(expired.job().await.0, at_failed);
    assert_eq!(expired.job().await.0, at_four);
    expired.named("live").await;
    drop(expired);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_what_is_told() {
    let world = World::with_shop().await;
    let (one, two) = (world.requested(1).await, world.requested(2).await);
    world.tell(&world.view(&one).await).await;
    world.record(&two, JobFact::ended(TerminalStatus::Failure, None, "broken")).await;
    let at_two = world.tell(&world.view(&two).await).await;
    let mut failed =
        Listener::start(&world, "?status=failure&deployment=web&environment=staging", None).await;
    assert_eq!(failed.job().await.0, at_two);
    failed.named("live").await;
    for nothing in ["?platform=github-actions", "?deployment=other", "?environment=production"] {
        Listener::start(&world, nothing, None).await.named("live").await;
    }
    let wrong = world.get("vera", &format!("{EVENTS}?status=asleep")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let wrong: Value = world.get("vera", &format!("{EVENTS}?lastEventId=x")).await.json;
    assert_eq!(wrong["errors"][0]["field"], "lastEventId");
    drop(failed);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_bus_leaves_no_gap() {
    let mut world = World::with_shop().await;
    let one = world.requested(1).await;
    world.tell(&world.view(&one).await).await;
    let mut listener = Listener::start(&world, "", None).await;
    listener.job().await;
    listener.named("live").await;
    for number in 2..=4 {
        world.servers.nats.kill().await;
        world.servers.nats.restart().await.expect("it starts again");
        let job = world.requested(number).await;
        let at = world.tell(&world.view(&job).await).await;
        let (heard_at, heard) = listener.job().await;
        assert_eq!((heard_at, heard.id), (at, job.id), "nothing in between, nothing twice");
    }
    drop(listener);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_read_what_is_true_hears_only_what_changes() {
    let world = World::with_shop().await;
    let old = world.requested(1).await;
    let last = world.tell(&world.view(&old).await).await;
    let mut listener = Listener::start(&world, "?snapshot=false", None).await;
    assert_eq!(listener.named("live").await.id, Some(last), "what was before is not told");
    let new = world.requested(2).await;
    let sequence = world.tell(&world.view(&new).await).await;
    let (id, view) = listener.job().await;
    assert_eq!((id, view.id), (sequence, new.id));
    world.end().await;
}

/// A client that stops reading is cut off, and goes on where it was: it has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_is_cut_off_and_goes_on_where_it_was() {
    /// More than the buffers of both sockets take.
    const EVENTS_SENT: u64 = 80;
    const BYTES_EACH: usize = 200_000;
    let world = World::started(|settings| {
        settings.events.clients_max = 1;
        settings.events.slow_client_seconds = 1;
    })
    .await;
    assert_eq!(world.apply("adam", SHOP, false).await.status, StatusCode::OK);
    let mut view = world.view(&world.requested(1).await).await;
    let first = world.tell(&view).await;

    let mut slow = tokio::net::TcpStream::connect(world.base.trim_start_matches("http://")).await.unwrap();
    // HTTP/1.0: the body is the events, without chunks around them.
    let request = format!("GET {EVENTS} HTTP/1.0\r\nX-API-Key: vera\r\nLast-Event-ID: {first}\r\n\r\n");
    slow.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"\r\n\r\n") {
        told.push(slow.read_u8().await.expect("the head of an answer"));
    }
    assert!(told.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&told));
    let mut last = first;
    for _ in 0..EVENTS_SENT {
        view.sequence += 1;
        view.message = Some("x".repeat(BYTES_EACH));
        last = world.tell(&view).await;
    }
    // The only place is free again once it is cut off.
    until("the slow client is cut off", || async {
        let request = world.request(Method::GET, EVENTS).header("x-api-key", "vera");
        let answer = request.send().await.expect("answered");
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;

    let mut told = Vec::new();
    let read = tokio::time::timeout(WITHIN, slow.read_to_end(&mut told)).await.expect("it ends");
    assert!(read.is_ok() || !told.is_empty(), "{read:?}");
    let body = String::from_utf8_lossy(&told);
    // What was under way when it was cut off may end in the middle.
    let (whole, _part) = body.rsplit_once("\n\n").expect("a whole event");
    let jobs = whole.split("\n\n").filter_map(parse).filter(|heard| heard.name == "job");
    let heard: Vec<u64> = jobs.filter_map(|heard| heard.id).collect();
    let reached = *heard.last().expect("something was heard");
    assert!(reached < last, "it was cut off before it had heard all");
    assert_eq!(heard, ((first + 1)..=reached).collect::<Vec<_>>());

    let mut again = Listener::start(&world, "", Some(reached)).await;
    for sequence in (reached + 1)..=last {
        assert_eq!(again.job().await.0, sequence);
    }
    assert_eq!(again.named("live").await.id, Some(last));
    drop(again);
    world.end().await;
}

/// Reads until the stream ends.
async fn ends(mut response: Response) {
    let end = async { while response.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(WITHIN, end).await.expect("the stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_any_more_hears_no_more() {
    let world = World::started(|settings| settings.events.recheck_seconds = 1).await;
    assert_eq!(world.apply("adam", SHOP, false).await.status, StatusCode::OK);
    let body = json!({ "name": "x", "roles": [{ "workspace": "acme", "role": "viewer" }] });
    let made = world.post("adam", "/api/v1/keys", body).await.json;
    let key = made["key"].as_str().unwrap();
    let by_key = world.request(Method::GET, EVENTS).header("x-api-key", key).send().await.unwrap();
    let login = world.request(Method::POST, "/api/v1/session").json(&json!({ "key": "otto" }));
    let login = login.send().await.unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let csrf = login.json::<Value>().await.unwrap()["csrf"].as_str().unwrap().to_owned();
    let by_cookie = world.request(Method::GET, EVENTS).header("cookie", &cookie).send().await.unwrap();
    let mut stays = Listener::start(&world, "", None).await;
    stays.named("live").await;
    assert_eq!((by_key.status(), by_cookie.status()), (StatusCode::OK, StatusCode::OK));

    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.ask("adam", Method::DELETE, &path, None).await.status, StatusCode::OK);
    ends(by_key).await;
    let end = world.request(Method::DELETE, "/api/v1/session").header("cookie", &cookie);
    assert_eq!(end.header("x-csrf-token", csrf).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    ends(by_cookie).await;
    // Who still may hears on.
    let at = world.tell(&world.view(&world.requested(1).await).await).await;
    assert_eq!(stays.job().await.0, at);
    drop(stays);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_not_take_every_place() {
    let world = World::started(|settings| settings.events.clients_each_max = 2).await;
    assert_eq!(world.apply("adam", SHOP, false).await.status, StatusCode::OK);
    let listen = |key: &'static str| world.request(Method::GET, EVENTS).header("x-api-key", key).send();
    let (first, second) = (listen("vera").await.unwrap(), listen("vera").await.unwrap());
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(listen("vera").await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(listen("otto").await.unwrap().status(), StatusCode::OK);
    drop(first);
    until("the place is free again", || async {
        (listen("vera").await.unwrap().status() == StatusCode::OK).then_some(())
    })
    .await;
    drop(second);
    world.end().await;
}
