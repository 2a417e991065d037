//! The calls that do not succeed: each says why, in words a person can act on, and none repeats a secret.

use crate::rig::{NAMESPACE, Rig, TOKEN, invalid, new_job, options, status, unauthorized};
use domain::job::JobStatus;
use fake_kubernetes::{Fault, FaultKind, Grant, Options, User};
use platform::CallError;
use serde_json::{Value, json};
use std::time::Duration;

fn answer(code: u16, message: &str) -> FaultKind {
    FaultKind::Answer { code, message: message.to_owned(), retry_after: None }
}

#[tokio::test]
async fn a_job_of_somebody_else_with_our_name_is_left_alone() {
    let rig = Rig::new().await;
    let job = new_job();
    let theirs = json!({ "metadata": { "name": format!("job-{job}"), "namespace": NAMESPACE }, "spec": { "template": {} } });
    rig.fake.put("jobs", theirs);
    let before = rig.object(&format!("job-{job}"));
    assert!(invalid(rig.trigger(job).await).contains("is not ours"));
    assert_eq!(rig.object(&format!("job-{job}")), before);
}

#[tokio::test]
async fn a_typo_is_refused_before_anything_is_made() {
    let rig = Rig::new().await;
    for (path, value, words) in [
        ("/spec/backofLimit", json!(1), "unknown field \"spec.backofLimit\""),
        ("/spec/template/spec/containers", json!([]), "containers: Required value"),
        ("/spec/backoffLimit", json!(-1), "must be greater than or equal to 0"),
        ("/kind", json!("Deployment"), "it must be Job"),
    ] {
        let mut manifest = rig.config["manifest"].clone();
        let (parent, field) = path.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[field] = value;
        let mut config = rig.config.clone();
        config.insert("manifest".to_owned(), manifest);
        let request = platform::TriggerRequest { job: new_job(), config: &config };
        let why = invalid(platform::Platform::trigger(&*rig.jobs, &request).await);
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(rig.fake.jobs(NAMESPACE), Vec::<Value>::new());
    assert!(rig.fake.calls().iter().all(|call| call.method == "POST" && call.target.contains("dryRun=All")));
}

#[tokio::test]
async fn a_missing_namespace_is_named() {
    let rig = Rig::new().await.with("namespace", json!("nowhere"));
    assert!(invalid(rig.trigger(new_job()).await).contains("namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn a_missing_verb_and_its_resource_are_named() {
    let all = [
        ("get", "jobs"),
        ("list", "jobs"),
        ("watch", "jobs"),
        ("create", "jobs"),
        ("patch", "jobs"),
        ("list", "pods"),
    ];
    for missing in [("patch", "jobs"), ("create", "jobs")] {
        let grants = all
            .into_iter()
            .filter(|grant| *grant != missing)
            .map(|(verb, resource)| Grant::new(verb, resource));
        let name = "system:serviceaccount:ci:agent".to_owned();
        let users = vec![User { token: TOKEN.to_owned(), name, grants: grants.collect() }];
        let rig = Rig::start(Options { users, ..options() }).await;
        let why = unauthorized(rig.trigger(new_job()).await);
        assert!(why.contains(&format!("cannot {} resource \"jobs\"", missing.0)), "{why}");
        assert!(why.contains("ci:agent") && why.contains("Role"), "{why}");
    }
}

#[tokio::test]
async fn without_a_look_at_pods_the_job_is_still_followed() {
    let grants = ["get", "create", "patch"].map(|verb| Grant::new(verb, "jobs")).to_vec();
    let users = vec![User { token: TOKEN.to_owned(), name: "agent".to_owned(), grants }];
    let rig = Rig::start(Options { users, ..options() }).await;
    let run = rig.run(new_job()).await;
    let seen = rig.snapshot(&run).await;
    let message = seen.message.as_deref().unwrap_or_default();
    assert_eq!(status(&seen), JobStatus::Queued);
    assert!(message.contains("cannot list resource \"pods\""), "{message}");
    rig.fake.run(NAMESPACE, &run.id);
    assert_eq!(status(&rig.snapshot(&run).await), JobStatus::InProgress);
}

#[tokio::test]
async fn a_quota_is_no_matter_of_credentials() {
    let rig = Rig::new().await;
    let words = "jobs.batch \"x\" is forbidden: exceeded quota: team, requested: count/jobs.batch=1, used: 5, limited: 5";
    rig.fake.inject(Fault::always("PATCH", "/jobs/", answer(403, words)));
    assert_eq!(invalid(rig.trigger(new_job()).await), words);
}

#[tokio::test]
async fn a_limit_is_waited_out_as_long_as_asked() {
    let rig = Rig::new().await;
    let limited =
        FaultKind::Answer { code: 429, message: "too many requests".to_owned(), retry_after: Some(7) };
    rig.fake.inject(Fault::once("PATCH", "/jobs/", limited));
    let refused = rig.trigger(new_job()).await;
    let after = Duration::from_secs(7);
    assert_eq!(refused, Err(CallError::RateLimited { after, why: "too many requests".to_owned() }));
}

#[tokio::test]
async fn only_a_start_in_earnest_may_have_had_its_effect() {
    let rig = Rig::new().await;
    rig.fake.inject(Fault::once("POST", "dryRun", answer(500, "etcd is away")));
    assert!(matches!(rig.trigger(new_job()).await, Err(CallError::Transient(_))));
    for kind in [answer(503, "shutting down"), FaultKind::DropAfterEffect, FaultKind::DropBefore] {
        rig.fake.inject(Fault::once_in_earnest("/jobs/", kind.clone()));
        let refused = rig.trigger(new_job()).await;
        assert!(matches!(refused, Err(CallError::Ambiguous(_))), "{kind:?}: {refused:?}");
    }
    let nobody = Rig::new().await;
    let mut config = nobody.config.clone();
    drop(nobody);
    config.insert("baseUrl".to_owned(), json!("http://127.0.0.1:9"));
    let request = platform::TriggerRequest { job: new_job(), config: &config };
    let refused = platform::Platform::trigger(&*rig.jobs, &request).await;
    assert!(matches!(refused, Err(CallError::Transient(_))), "nobody listens there: {refused:?}");
}

#[tokio::test]
async fn a_look_that_fails_says_nothing_of_the_run() {
    let rig = Rig::new().await;
    let run = rig.run(new_job()).await;
    rig.fake.inject(Fault::always("GET", "/jobs/", answer(500, "etcd is away")));
    assert!(matches!(rig.observe(&run).await, Err(CallError::Transient(_))));
    assert!(matches!(rig.find(new_job()).await, Err(CallError::Transient(_))));
}
