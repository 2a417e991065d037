//! The whole way on Argo Workflows: a push becomes a version, the version a workflow, and every end comes back by Argo Server's
//! stream; by two replicas of the agent, of which one is killed, under the permissions of production.

use crate::NODE;
use fake_argo::{FakeArgo, Options as Argo, Plan, Template, Workflow};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, eventually, no_secret_left_a_trace, tell};

const AGENT: &str = "agent-argo-workflows";
const NAMESPACE: &str = "ci";
const TOKEN: &str = "pl4nted-argo-token";

/// The basic catalog, with its jobs on Argo.
fn catalog(argo: &str) -> String {
    let on_argo = BASIC.replace("jobAgents: [{ ref: github }]", "jobAgents: [{ ref: argo }]");
    assert_ne!(on_argo, BASIC);
    format!("{on_argo}{}", include_str!("../stories/argo.yaml").replace("ARGO_URL", argo))
}

/// The name of the only workflow of that version that is not over, once it is there.
async fn workflow_of(fake: &FakeArgo, tag: &str) -> String {
    eventually("there is a workflow of the version", Duration::from_secs(20), || async {
        let over = |it: &Workflow| matches!(it.phase(), "Succeeded" | "Failed" | "Error");
        let open = |it: &Workflow| it.parameter("version") == Some(tag) && !over(it);
        let open: Vec<Workflow> = fake.workflows().into_iter().filter(open).collect();
        match open.as_slice() {
            [workflow] => Ok(workflow.name().to_owned()),
            other => Err(format!("{} such workflows", other.len())),
        }
    })
    .await
}

async fn ends(fake: &FakeArgo, tag: &str, phase: &str, message: &str) {
    let name = workflow_of(fake, tag).await;
    assert!(fake.finish(NAMESPACE, &name, phase, message, message));
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
async fn a_push_goes_the_whole_way_to_finished_workflows() {
    let template = Template::new(NAMESPACE, "deploy").parameter("version", None).parameter("resource", None);
    let options = Argo {
        tokens: vec![TOKEN.to_owned()],
        templates: vec![template.plan(Plan::hold())],
        ..Argo::default()
    };
    let fake = FakeArgo::start(options).await.unwrap();
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let mut system = System::start(Options {
        catalog: catalog(&fake.base_url()),
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        replicas_of: vec![(AGENT, 2)],
        environment: vec![
            ("CTRLPLANE_SECRET_FOR_ACME_ARGO_TOKEN", TOKEN.to_owned()),
            // Only streams are quick enough for what follows.
            ("CTRLPLANE_SWEEP__FAST_SECONDS", "3600".to_owned()),
            ("CTRLPLANE_SWEEP__SLOW_SECONDS", "3600".to_owned()),
        ],
        ..Options::new(NODE)
    })
    .await;

    tell(&mut system, "push v1\nv1 is queued in staging on stage-1").await;
    let first = workflow_of(&fake, "v1").await;
    assert!(fake.begin(NAMESPACE, &first));
    tell(&mut system, "v1 is in_progress in staging on stage-1").await;
    assert!(fake.suspend(NAMESPACE, &first));
    tell(&mut system, "v1 is action_required in staging on stage-1").await;
    fake.cut_streams();
    assert!(fake.finish(NAMESPACE, &first, "Succeeded", "", ""));
    tell(&mut system, "v1 is successful in staging on stage-1\napprove v1 for production").await;
    ends(&fake, "v1", "Succeeded", "").await;
    tell(&mut system, "v1 is successful in production on prod-1").await;

    // One that fails says how, and runs again as the same workflow.
    tell(&mut system, "push v2").await;
    ends(&fake, "v2", "Failed", "exit code 3").await;
    tell(
        &mut system,
        "v2 is failure in staging on stage-1\nv2 tells in staging on stage-1 that \"exit code 3\"",
    )
    .await;
    tell(&mut system, "retry v2 in staging on stage-1").await;
    ends(&fake, "v2", "Succeeded", "").await;
    tell(&mut system, "v2 is successful in staging on stage-1").await;

    // Half of the agent dies; the cancellation stops the workflow all the same.
    tell(&mut system, "push v3").await;
    let third = workflow_of(&fake, "v3").await;
    assert!(fake.begin(NAMESPACE, &third));
    tell(&mut system, "v3 is in_progress in staging on stage-1").await;
    let metrics = metrics(&system).await;
    let budget = |line: &str| {
        line.starts_with("platform_budget_blocked_seconds{") && line.contains("platform=\"argo-workflow\"")
    };
    assert!(metrics.lines().any(budget), "the budget is a metric: {metrics}");
    system.process(AGENT, 0).kill().await;
    tell(&mut system, "cancel v3 in staging on stage-1\nv3 is cancelled in staging on stage-1").await;

    let known = system.client.jobs().await.unwrap();
    let known: BTreeSet<String> = known.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    let workflows = fake.workflows();
    assert_eq!((workflows.len(), fake.submitted()), (4, 4), "one workflow each");
    let label = |it: &Workflow| it.label("ctrlplane.dev/job-id").unwrap().to_owned();
    assert_eq!(workflows.iter().map(label).collect::<BTreeSet<_>>(), known);
    assert!(system.github.runs().is_empty());
    no_secret_left_a_trace(&system, &[TOKEN]).await;
    let (logs, died) = (system.logs(), std::mem::take(&mut system.crashes));
    assert_eq!(died.iter().map(|(service, _)| service.as_str()).collect::<Vec<_>>(), [AGENT], "{logs}");
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}
