//! Starting, refusals, ways in, TTL and watches, as a real server has them.

use crate::rig::{
    ACCOUNT, Rig, Secrets, Ways, exited, invalid, new_job, platform, run_of, running, unauthorized,
};
use domain::job::{JobStatus, SnapshotStatus, TerminalStatus};
use futures::StreamExt as _;
use kubelab::TOKEN;
use platform::{CallError, Found, News, Platform as _, Seen, TriggerRequest};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn a_start_that_is_repeated_meets_the_first(rig: Rig) {
    let job = new_job();
    let run = run_of(rig.trigger(job).await);
    let uid = rig.object(&run.id).await["metadata"]["uid"].clone();
    assert_eq!(run_of(rig.trigger(job).await), run);
    let mut other = rig.config.clone();
    other["manifest"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("shop:2");
    let changed = rig.jobs.trigger(&TriggerRequest { job, config: &other }).await;
    assert_eq!(run_of(changed), run, "the template cannot be changed, but the run is there");
    let object = rig.object(&run.id).await;
    assert_eq!(object["metadata"]["uid"], uid);
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "shop:1.2.3");
    let key = platform::CorrelationKey { job, config: &rig.config };
    let Ok(Found::Run { external, .. }) = rig.jobs.find(&key, bus::clock::now()).await else {
        panic!("it is there")
    };
    assert_eq!(external, run);
}

pub(crate) async fn a_job_of_somebody_else_is_left_alone(rig: Rig) {
    let job = new_job();
    let name = format!("job-{job}");
    let mut theirs = rig.config["manifest"].clone();
    theirs["metadata"] = json!({ "name": name });
    (theirs["apiVersion"], theirs["kind"]) = (json!("batch/v1"), json!("Job"));
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", rig.namespace);
    rig.lab.must("POST", &path, &theirs).await;
    assert!(invalid(rig.trigger(job).await).contains("is not ours"));
    let object = rig.object(&name).await;
    assert_eq!(object["metadata"]["labels"].get("ctrlplane.dev/job-id"), None);
    let key = platform::CorrelationKey { job, config: &rig.config };
    assert_eq!(rig.jobs.find(&key, bus::clock::now()).await, Ok(Found::None));
}

pub(crate) async fn a_typo_is_refused_and_nothing_is_made(rig: Rig) {
    for (pointer, field, value, words) in [
        ("/spec", "backofLimit", json!(1), "unknown field"),
        ("/spec/template/spec", "containers", json!([]), "Required value"),
        ("/spec", "backoffLimit", json!(-1), "greater than or equal to 0"),
        ("/spec/template/spec", "restartPolicy", json!("Always"), "restartPolicy"),
    ] {
        let mut config = rig.config.clone();
        config["manifest"].pointer_mut(pointer).unwrap()[field] = value;
        let job = new_job();
        let why = invalid(rig.jobs.trigger(&TriggerRequest { job, config: &config }).await);
        assert!(why.contains(words), "{why}");
        assert_eq!(rig.object(&format!("job-{job}")).await, Value::Null);
    }
}

pub(crate) async fn a_finished_job_is_deleted_by_its_ttl(rig: Rig) {
    let run = rig.run().await;
    // No manifest of ours may say so.
    let path = format!("/apis/batch/v1/namespaces/{}/jobs/{}", rig.namespace, run.id);
    rig.lab.must("MERGE", &path, &json!({ "spec": { "ttlSecondsAfterFinished": 1 } })).await;
    let pod = rig.pod(&run).await;
    rig.says(&pod, &exited(0, "Completed")).await;
    let give_up = tokio::time::Instant::now() + SOON;
    while rig.see(&run).await != Seen::Gone {
        rig.lab.pods_go(&rig.namespace, &run.id).await;
        assert!(
            tokio::time::Instant::now() < give_up,
            "its TTL does not delete it: {:?}",
            rig.see(&run).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn without_its_role_an_agent_is_told_what_is_missing(rig: Rig) {
    rig.run().await;
    let binding =
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings/{ACCOUNT}", rig.namespace);
    rig.lab.must("DELETE", &binding, &json!({})).await;
    // The server's own view of roles follows in a moment: until then all may pass, or the first of the two calls of a start.
    let give_up = tokio::time::Instant::now() + SOON;
    let why = loop {
        let tried = rig.trigger(new_job()).await;
        if tried.is_err() {
            let why = unauthorized(tried);
            if why.contains("cannot create") {
                break why;
            }
        }
        assert!(tokio::time::Instant::now() < give_up, "it may still start Jobs");
    };
    let account = format!("system:serviceaccount:{}:{ACCOUNT}", rig.namespace);
    for words in ["cannot create resource \"jobs\"", account.as_str(), "Role"] {
        assert!(why.contains(words), "{why}");
    }
}

pub(crate) async fn there_are_three_ways_in(rig: Rig) {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets::default();
    secrets.set("kube", &rig.lab.kubeconfig(&rig.token));
    secrets.set("admin", &rig.lab.kubeconfig(TOKEN));
    secrets.set("wrong", &rig.lab.kubeconfig("not-a-token"));
    let ways = Ways { server: rig.lab.url(), service_account_dir: dir.path().to_owned(), ..Ways::default() };
    let jobs = platform(&secrets, ways);
    let mut config = rig.config.clone();
    for key in ["baseUrl", "tokenSecret", "caSecret"] {
        config.remove(key);
    }
    std::fs::write(dir.path().join("ca.crt"), rig.lab.ca()).unwrap();
    std::fs::write(dir.path().join("token"), &rig.token).unwrap();
    run_of(jobs.trigger(&TriggerRequest { job: new_job(), config: &config }).await);
    config.insert("kubeconfigSecret".to_owned(), json!("kube"));
    run_of(jobs.trigger(&TriggerRequest { job: new_job(), config: &config }).await);
    config.insert("kubeconfigSecret".to_owned(), json!("wrong"));
    let why = unauthorized(jobs.trigger(&TriggerRequest { job: new_job(), config: &config }).await);
    assert!(why.contains("secret wrong") && !why.contains("not-a-token"), "{why}");
    config.insert("kubeconfigSecret".to_owned(), json!("admin"));
    config.insert("namespace".to_owned(), json!("nowhere"));
    let why = invalid(jobs.trigger(&TriggerRequest { job: new_job(), config: &config }).await);
    assert!(why.contains("namespaces \"nowhere\" not found"), "{why}");
    // A server whose certificate is of another CA is not spoken to.
    let other = Secrets::default();
    other.set("token", &rig.token);
    other.set("ca", include_str!("../ca.pem"));
    let jobs = platform(&other, Ways::default());
    let key = platform::CorrelationKey { job: new_job(), config: &rig.config };
    let refused = jobs.find(&key, bus::clock::now()).await;
    assert!(unauthorized(refused).contains("certificate"));
}

pub(crate) async fn a_watch_tells_of_jobs_and_pods(rig: Rig) {
    let (mut news, mut told) = News::channel(100);
    let (jobs, config) = (rig.jobs.clone(), rig.config.clone());
    let mut watching: JoinSet<CallError> = JoinSet::new();
    watching.spawn(async move { jobs.watch(&config, &mut news).await });
    let job = new_job();
    let run = run_of(rig.trigger(job).await);
    let pod = rig.pod(&run).await;
    rig.says(&pod, &running()).await;
    rig.status(&run, JobStatus::InProgress).await;
    rig.says(&pod, &exited(0, "Completed")).await;
    let ended = async {
        loop {
            let signal = told.next().await.expect("the watch goes on");
            assert_eq!((signal.job, &signal.run.id, &signal.run.scope), (Some(job), &run.id, &run.scope));
            let status = signal.snapshot.map(|snapshot| snapshot.status);
            if status == Some(SnapshotStatus::Terminal(TerminalStatus::Successful)) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, ended).await.expect("the end is told");
    assert!(watching.try_join_next().is_none(), "the watch goes on");
}
