//! Secrets: only the claimer gets them, and nothing keeps them.

use crate::rig::{KEY, Rig, SECRET};
use agent_http_pull::Settings;
use bus::topology::{BUCKETS, STREAMS};
use domain::entity::Deadlines;
use domain::job::JobStatus;
use serde_json::json;
use std::collections::BTreeMap;

fn db() -> BTreeMap<String, String> {
    BTreeMap::from([("/env/DB".to_owned(), "db".to_owned())])
}

/// Everything the bus has stored, as text.
async fn stored(rig: &Rig) -> String {
    let buckets = BUCKETS.iter().map(|bucket| bucket.stream());
    let mut all = String::new();
    for name in STREAMS.iter().map(|stream| stream.name.to_owned()).chain(buckets) {
        let stream = rig.bus.jetstream().get_stream(&name).await.unwrap();
        let state = &stream.cached_info().state;
        for sequence in state.first_sequence..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                all.push_str(&String::from_utf8_lossy(&message.payload));
                all.push('\n');
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_claimer_gets_the_secrets_and_what_it_lets_slip_is_masked() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let job = rig.dispatch_with(json!({ "env": { "DB": null } }), db(), Deadlines::default()).await;
    rig.waiting(&job, 1).await;
    let listed = puller.get("/jobs").await.1.to_string();
    let claim = puller.claimed(&job, json!({ "by": "one" })).await;
    assert_eq!(claim["config"]["env"]["DB"], SECRET);
    let slip = json!({
        "fence": 1, "status": "inProgress", "message": format!("cannot reach db with {SECRET}"),
        "progress": SECRET, "externalId": SECRET, "url": format!("https://ci.example/?p={SECRET}"),
        "links": { SECRET: format!("https://ci.example/{SECRET}") },
    });
    assert_eq!(puller.report(&job, slip).await.0, 200);
    let release = json!({ "fence": 1, "message": format!("no {SECRET}") });
    assert_eq!(puller.post(&format!("/jobs/{}/release", job.id), release).await.0, 200);
    let got = puller.get(&format!("/jobs/{}", job.id)).await.1.to_string();
    let all = stored(&rig).await;
    assert!(
        all.contains(&job.id.to_string()) && all.contains("cannot reach db with ***"),
        "it was looked at"
    );
    for text in [&all, &listed, &got] {
        assert!(!text.contains(SECRET) && !text.contains(KEY), "a secret shows: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_not_there_ends_the_job_and_names_it() {
    let rig = Rig::start().await;
    let (_service, puller) = rig.replica(Settings::default()).await;
    let lost = BTreeMap::from([("/env/DB".to_owned(), "lost".to_owned())]);
    let job = rig.dispatch_with(json!({ "env": { "DB": null } }), lost, Deadlines::default()).await;
    rig.waiting(&job, 1).await;
    assert_eq!(puller.claim(&job, json!({})).await.0, 409);
    let known = rig.over(&job).await;
    assert_eq!(known.state.status(), JobStatus::InvalidIntegration);
    let message = known.state.message.unwrap();
    assert!(message.contains("lost") && message.contains("CTRLPLANE_SECRET_VAR_ACME_LOST"), "{message}");
}
