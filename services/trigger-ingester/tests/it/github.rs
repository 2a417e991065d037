//! Deliveries of GitHub: what is taken, what is turned away, and that nothing turned away is ever stored.

use reqwest::{Method, StatusCode};

use crate::rig::{PUSH, PUSHES, World, github_headers, logged, post, secrets_dir, signature, value_of};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_delivery_is_stored_once_as_it_came_with_what_is_known_of_it() {
    let world = World::start().await;
    let signature = signature(PUSH, "old");
    let mut headers = github_headers("72d3162e", "push", &signature).to_vec();
    headers.push(("traceparent", TRACEPARENT));
    world.post("github", &headers, PUSH).await.accepted(1, 0);

    let message = world.message(1, PUSHES).await;
    assert_eq!(message.payload, PUSH);
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "72d3162e"),
        ("ce-type", "push"),
        ("ce-source", "https://github.com/octo-org/shop"),
        ("ce-workspace", "acme"),
        ("ce-triggersource", "github"),
        ("ce-sourcekind", "github"),
        ("ce-traceparent", TRACEPARENT),
        ("content-type", "application/json"),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    assert!(header("ce-time").is_some());

    world.post("github", &headers, PUSH).await.accepted(0, 1);
    assert_eq!(world.stored().await, 1);
    // The same id at another door is another delivery.
    world.deliver("another", "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    assert_eq!(world.stored().await, 2);
    world.end().await;
}

#[tokio::test]
async fn what_is_turned_away_is_told_why_and_never_stored() {
    let world = World::start().await;
    let good = signature(PUSH, "old");
    let forged = signature(PUSH, "another");
    let not_json = signature(b"{", "old");
    let complete = github_headers("1", "push", &good);
    let without = |name: &str| complete.iter().copied().filter(|(n, _)| *n != name).collect::<Vec<_>>();
    for (what, headers, body, status) in [
        ("forged", github_headers("1", "push", &forged).to_vec(), PUSH, StatusCode::UNAUTHORIZED),
        ("changed on its way", complete.to_vec(), b"{}", StatusCode::UNAUTHORIZED),
        ("unsigned", without("x-hub-signature-256"), PUSH, StatusCode::UNAUTHORIZED),
        ("no JSON", github_headers("1", "push", &not_json).to_vec(), b"{", StatusCode::BAD_REQUEST),
        ("without id", without("x-github-delivery"), PUSH, StatusCode::BAD_REQUEST),
        ("without event", without("x-github-event"), PUSH, StatusCode::BAD_REQUEST),
    ] {
        let answer = world.post("github", &headers, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.json["status"], status.as_u16(), "{what}");
        assert!(!answer.json.to_string().contains("'s value"), "{what}: {answer:?}");
    }
    for path in ["acme/elsewhere", "nowhere/github", "acme/%2e%2e", "acme/a.b", "*/github"] {
        let request = world.http.post(format!("http://{}/webhooks/{path}", world.address));
        let answer = post(request, &complete, PUSH).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    let get = world.request(Method::GET, "github").send().await.unwrap();
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);

    assert_eq!(world.stored().await, 0);
    // None of them claimed the id either.
    world.post("github", &complete, PUSH).await.accepted(1, 0);
    world.end().await;
}

#[tokio::test]
async fn what_nobody_asked_for_is_answered_well_and_not_stored() {
    let world = World::start().await;
    for event in ["ping", "star", "Push"] {
        world.deliver(event, event, b"{}", "old").await.accepted(0, 0);
        let answer = world.deliver(event, event, b"{}", "another").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "only who is believed is answered well");
    }
    assert_eq!(world.stored().await, 0);
    world.end().await;
}

#[tokio::test]
async fn a_secret_is_changed_without_losing_a_delivery() {
    let world = World::start().await;
    world.deliver("1", "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    world.deliver("2", "repository_dispatch", PUSH, "new").await.accepted(1, 0);
    // The old one is taken away by writing the new one into its file: it counts from the next delivery on.
    std::fs::write(secrets_dir(&world.servers).join("old"), value_of("new")).unwrap();
    assert_eq!(world.deliver("3", "repository_dispatch", PUSH, "old").await.status, StatusCode::UNAUTHORIZED);
    world.deliver("4", "repository_dispatch", PUSH, "new").await.accepted(1, 0);
    assert_eq!(world.stored().await, 3);
    world.end().await;
}

#[tokio::test]
async fn a_source_whose_secret_is_missing_asks_to_come_again_and_warns_by_its_name_alone() {
    let (log, _guard) = logged();
    let world = World::start().await;
    let signature = signature(PUSH, "old");
    let headers = github_headers("1", "push", &signature);
    let answer = world.post("unready", &headers, PUSH).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.retry_after.as_deref(), Some("5"));
    assert!(!answer.json.to_string().contains("absent"), "the sender is not told of our secrets: {answer:?}");
    let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains(" WARN ")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("there is no secret absent"), "{text}");
    assert!(!text.contains("'s value") && !text.contains(&signature), "{text}");

    std::fs::write(secrets_dir(&world.servers).join("absent"), value_of("absent")).unwrap();
    world.post("unready", &headers, PUSH).await.accepted(1, 0);
    assert_eq!(world.stored().await, 1);
    world.end().await;
}

#[tokio::test]
async fn a_delivery_that_somebody_has_seen_is_not_believed_under_another_id() {
    let world = World::start().await;
    world.deliver("1", "push", PUSH, "old").await.accepted(1, 0);
    for replayed in ["2", "3"] {
        world.deliver(replayed, "push", PUSH, "old").await.accepted(0, 1);
    }
    assert_eq!(world.stored().await, 1);
    // Nor as another event that is told by its body.
    world.deliver("4", "workflow_run", PUSH, "old").await.accepted(0, 1);
    // What may be meant twice is taken twice.
    for id in ["5", "6"] {
        world.deliver(id, "repository_dispatch", PUSH, "old").await.accepted(1, 0);
    }
    world.end().await;
}
