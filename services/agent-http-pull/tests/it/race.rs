//! Exactly one puller gets each job.

use crate::rig::Rig;
use agent_http_pull::Settings;
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pullers_race_a_hundred_times_over_two_replicas_and_one_wins_each_time() {
    let rig = Rig::start().await;
    let (_one, first) = rig.replica(Settings::default()).await;
    let (_two, second) = rig.replica(Settings::default()).await;
    let mut wins = [0, 0];
    for _ in 0..100 {
        let job = rig.dispatch().await;
        rig.waiting(&job, 1).await;
        let (one, two) = tokio::join!(
            first.claim(&job, json!({ "by": "first" })),
            second.claim(&job, json!({ "by": "second" }))
        );
        let (winner, loser) = match (one.0, two.0) {
            (200, _) => (0, two),
            (_, 200) => (1, one),
            neither => panic!("nobody got it: {neither:?}"),
        };
        wins[winner] += 1;
        assert_eq!((loser.0, &loser.1["code"]), (409, &json!("claimed")), "{}", loser.1);
        let facts = rig.names(&job).await;
        assert_eq!(facts, ["requested", "dispatched", "triggerStarted", "observed"]);
    }
    assert_eq!(wins[0] + wins[1], 100, "{wins:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pullers_that_take_whatever_comes_share_the_jobs_and_get_none_twice() {
    let rig = Rig::start().await;
    let (_one, first) = rig.replica(Settings::default()).await;
    let (_two, second) = rig.replica(Settings::default()).await;
    let mut expected = BTreeSet::new();
    for _ in 0..30 {
        expected.insert(rig.dispatch().await.id.to_string());
    }
    let pull = async |puller: crate::rig::Puller| {
        let mut got = Vec::new();
        loop {
            let (status, claim) = puller.post("/claim", json!({ "waitSeconds": 2 })).await;
            match status {
                200 => got.push(claim["job"]["id"].as_str().unwrap().to_owned()),
                204 => return got,
                other => panic!("{other}: {claim}"),
            }
        }
    };
    let (a, b, c) = tokio::join!(pull(first.clone()), pull(second), pull(first));
    let all = [a, b, c].concat();
    assert_eq!(all.len(), 30, "none twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
}
