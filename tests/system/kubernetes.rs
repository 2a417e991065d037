//! The whole way on Kubernetes: a push becomes a version, the version a Job, and every end comes back by a watch; by two replicas
//! of the agent, of which one is killed, under the permissions of production.

use crate::NODE;
use fake_kubernetes::{Ending, FakeKubernetes, Options as Cluster, User};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, no_secret_left_a_trace, tell};

const AGENT: &str = "agent-kubernetes-jobs";
const NAMESPACE: &str = "ci";
const TOKEN: &str = "planted-token-0123456789";

/// The basic catalog, with its jobs on Kubernetes.
fn catalog(cluster: &str) -> String {
    let on_kubernetes = BASIC.replace("jobAgents: [{ ref: github }]", "jobAgents: [{ ref: kubernetes }]");
    assert_ne!(on_kubernetes, BASIC);
    format!(
        "{on_kubernetes}{}",
        include_str!("../stories/kubernetes.yaml").replace("KUBERNETES_URL", cluster)
    )
}

/// The name of the only Job of that image that is not over, once it is there.
async fn job_of(fake: &FakeKubernetes, tag: &str) -> String {
    eventually("there is a Job of the version", Duration::from_secs(20), || async {
        let image = json!(format!("shop:{tag}"));
        let open = |job: &Value| {
            let conditions = job["status"]["conditions"].as_array();
            let over = |it: &Value| it["type"] == "Complete" || it["type"] == "Failed";
            job["spec"]["template"]["spec"]["containers"][0]["image"] == image
                && !conditions.into_iter().flatten().any(over)
        };
        let jobs: Vec<Value> = fake.jobs(NAMESPACE).into_iter().filter(open).collect();
        match jobs.as_slice() {
            [job] => Ok(job["metadata"]["name"].as_str().unwrap().to_owned()),
            other => Err(format!("{} such Jobs", other.len())),
        }
    })
    .await
}

async fn ends(fake: &FakeKubernetes, tag: &str, ending: Ending) {
    let job = job_of(fake, tag).await;
    assert!(fake.run(NAMESPACE, &job) && fake.end(NAMESPACE, &job, ending));
}

/// What the agent's replicas tell together.
async fn metrics(system: &System) -> String {
    let mut metrics = String::new();
    for process in system.processes.iter().filter(|process| process.service() == AGENT) {
        let url = format!("http://{}/metrics", process.address().await);
        metrics += &reqwest::get(url).await.unwrap().text().await.unwrap();
    }
    metrics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_goes_the_whole_way_to_finished_jobs() {
    let users = vec![User::admin(TOKEN)];
    let fake = FakeKubernetes::start(Cluster { users, ..Cluster::default() }).await.unwrap();
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let mut system = System::start(Options {
        catalog: catalog(&fake.base_url()),
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        replicas_of: vec![(AGENT, 2)],
        environment: vec![
            ("CTRLPLANE_SECRET_FOR_ACME_KUBE_TOKEN", TOKEN.to_owned()),
            // Only watches are quick enough for what follows.
            ("CTRLPLANE_SWEEP__FAST_SECONDS", "3600".to_owned()),
            ("CTRLPLANE_SWEEP__SLOW_SECONDS", "3600".to_owned()),
        ],
        ..Options::new(NODE)
    })
    .await;

    tell(&mut system, "push v1\nv1 is queued in staging on stage-1").await;
    let first = job_of(&fake, "v1").await;
    assert!(fake.run(NAMESPACE, &first));
    tell(&mut system, "v1 is in_progress in staging on stage-1").await;
    fake.cut_watches();
    assert!(fake.end(NAMESPACE, &first, Ending::Well));
    tell(&mut system, "v1 is successful in staging on stage-1\napprove v1 for production").await;
    ends(&fake, "v1", Ending::Well).await;
    tell(&mut system, "v1 is successful in production on prod-1").await;

    // One that fails says how, and runs again as another object.
    tell(&mut system, "push v2").await;
    ends(&fake, "v2", Ending::Exit(3)).await;
    tell(
        &mut system,
        "v2 is failure in staging on stage-1\nv2 tells in staging on stage-1 that \"exited with code 3\"",
    )
    .await;
    tell(&mut system, "retry v2 in staging on stage-1\nv2 is queued in staging on stage-1").await;
    ends(&fake, "v2", Ending::Well).await;
    tell(&mut system, "v2 is successful in staging on stage-1").await;

    // What a pod waits for is told; half of the agent dies; the cancellation suspends the Job and keeps its record.
    tell(&mut system, "push v3\nv3 is queued in staging on stage-1").await;
    let third = job_of(&fake, "v3").await;
    let waiting = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
    let waiting = json!({ "phase": "Pending", "containerStatuses": [{ "name": "main", "state": waiting }] });
    assert!(fake.pods_say(NAMESPACE, &third, &waiting));
    tell(&mut system, "v3 tells in staging on stage-1 that \"ImagePullBackOff\"").await;
    let metrics = metrics(&system).await;
    let budget = |line: &str| {
        line.starts_with("platform_budget_blocked_seconds{") && line.contains("platform=\"kubernetes-job\"")
    };
    assert!(metrics.lines().any(budget), "the budget is a metric: {metrics}");
    system.process(AGENT, 0).kill().await;
    tell(&mut system, "cancel v3 in staging on stage-1\nv3 is cancelled in staging on stage-1").await;
    assert_eq!(fake.job(NAMESPACE, &third).unwrap()["spec"]["suspend"], json!(true));

    let known = system.client.jobs().await.unwrap();
    let known: BTreeSet<String> = known.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    let label = |job: &Value| job["metadata"]["labels"]["ctrlplane.dev/job-id"].as_str().unwrap().to_owned();
    let objects = fake.jobs(NAMESPACE);
    assert_eq!(objects.len(), 5, "one object for each attempt");
    assert_eq!(objects.iter().map(label).collect::<BTreeSet<_>>(), known);
    assert!(system.github.runs().is_empty());
    no_secret_left_a_trace(&system, &[TOKEN]).await;
    let (logs, died) = (system.logs(), std::mem::take(&mut system.crashes));
    assert_eq!(died.iter().map(|(service, _)| service.as_str()).collect::<Vec<_>>(), [AGENT], "{logs}");
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}
