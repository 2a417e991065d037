//! The whole way on GitLab: a push there becomes a version, the version a pipeline, and every end comes back by signed
//! webhooks; under the permissions of production.

use crate::NODE;
use fake_gitlab::{Ending, FakeGitlab, Plan, Script};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, gitlab, no_secret_left_a_trace, tell};

/// The basic catalog, with its jobs on GitLab.
fn catalog(gitlab: &str) -> String {
    let on_gitlab = BASIC.replace("jobAgents: [{ ref: github }]", "jobAgents: [{ ref: gitlab }]");
    assert_ne!(on_gitlab, BASIC);
    format!("{on_gitlab}{}", include_str!("../stories/gitlab.yaml").replace("GITLAB_URL", gitlab))
}

async fn push(fake: &FakeGitlab, tag: &str) {
    eventually("the push is taken in", Duration::from_secs(20), || async {
        match fake.push("acme/shop", "refs/heads/main", tag).await {
            Ok(202) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_goes_the_whole_way_to_finished_pipelines() {
    let fake = gitlab::shop().await;
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let sweeps = ["CTRLPLANE_SWEEP__FAST_SECONDS", "CTRLPLANE_SWEEP__SLOW_SECONDS"];
    let sweeps = sweeps.map(|sweep| (sweep, "3600".to_owned())).to_vec();
    let mut system = System::start(Options {
        catalog: catalog(&fake.subpath_url()),
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        // Only webhooks are quick enough for what follows.
        environment: [gitlab::secrets(), sweeps].concat(),
        ..Options::new(NODE)
    })
    .await;
    gitlab::attach(&fake, &system).await;

    push(&fake, "v1").await;
    tell(&mut system, "v1 is successful in staging on stage-1").await;
    let first = fake.pipelines().remove(0);
    assert_eq!((&first.inputs["tag"], &first.inputs["resource"]), (&"v1".into(), &"stage-1".into()));

    fake.set_script("acme/shop", Script::failure().and_again(Plan::new(Ending::Hold)));
    push(&fake, "v2").await;
    tell(&mut system, "v2 is failure in staging on stage-1\nretry v2 in staging on stage-1\nv2 is in_progress in staging on stage-1").await;
    let second = fake.pipelines().pop().unwrap().id;
    fake.set_status(second, "success");
    tell(&mut system, "v2 is successful in staging on stage-1").await;

    fake.set_script("acme/shop", Script::hold());
    push(&fake, "v3").await;
    tell(&mut system, "v3 is in_progress in staging on stage-1\ncancel v3 in staging on stage-1\nv3 is cancelled in staging on stage-1").await;

    let jobs: BTreeSet<String> = system
        .client
        .jobs()
        .await
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    let carried: Vec<String> =
        fake.pipelines().iter().map(|p| p.inputs["job_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(carried.len(), 3, "one pipeline each");
    assert_eq!(carried.into_iter().collect::<BTreeSet<_>>(), jobs);
    assert!(system.github.runs().is_empty());
    no_secret_left_a_trace(&system, &[gitlab::TOKEN, gitlab::SIGNING_TOKEN]).await;
    let logs = system.logs();
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
    assert!(system.crashes.is_empty(), "{:?}\n{logs}", system.crashes);
}
