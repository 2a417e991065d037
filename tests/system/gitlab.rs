//! The whole way on GitLab: a push there becomes a version, the version a pipeline, and every end comes back by signed
//! webhooks; under the permissions of production.

use crate::NODE;
use fake_gitlab::{Ending, FakeGitlab, Hook, Plan, Project, Script, Token};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, no_secret_left_a_trace, tell};

const TOKEN: &str = "glpat-planted0access0token01";
const SIGNING_TOKEN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

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
    let project = Project {
        inputs: ["tag", "resource", "job_id"].map(str::to_owned).to_vec(),
        named_after: Some("job_id".to_owned()),
        takes_variables: false,
        ..Project::new("acme/shop")
    };
    let options = fake_gitlab::Options {
        tokens: vec![Token::new(TOKEN)],
        projects: vec![project],
        ..fake_gitlab::Options::default()
    };
    let fake = FakeGitlab::start(options).await.unwrap();
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let mut system = System::start(Options {
        catalog: catalog(&fake.subpath_url()),
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        environment: vec![
            ("CTRLPLANE_SECRET_FOR_ACME_GITLAB_TOKEN", TOKEN.to_owned()),
            ("CTRLPLANE_SECRET_FOR_ACME_GITLAB_WEBHOOK", SIGNING_TOKEN.to_owned()),
            // Only webhooks are quick enough for what follows.
            ("CTRLPLANE_SWEEP__FAST_SECONDS", "3600".to_owned()),
            ("CTRLPLANE_SWEEP__SLOW_SECONDS", "3600".to_owned()),
        ],
        ..Options::new(NODE)
    })
    .await;
    let url = format!("{}/webhooks/acme/gitlab", system.url_of("trigger-ingester").await);
    fake.set_hook(Some(Hook::signed(&url, SIGNING_TOKEN).and_jobs()));

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
    no_secret_left_a_trace(&system, &[TOKEN, SIGNING_TOKEN]).await;
    let logs = system.logs();
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
    assert!(system.crashes.is_empty(), "{:?}\n{logs}", system.crashes);
}
