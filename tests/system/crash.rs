//! For every step between a webhook and a finished job: the process dies right before and right after it, as by
//! kill -9, is started again, and the story ends with exactly one run and no job left hanging.

use crate::NODE;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{
    BASIC, LIMITED, Options, System, impatient, superseding, tell, unrenderable, without_workflow,
};

const WHOLE_WAY: &str = include_str!("../stories/push_to_production.story");
const CANCEL: &str = include_str!("../stories/cancel_a_run.story");
const ONE_SLOT: &str = include_str!("../stories/one_slot_three_jobs.story");
const CANCEL_WAITING: &str = include_str!("../stories/cancel_a_job_that_waits.story");
const SUPERSEDE: &str = include_str!("../stories/a_newer_version_supersedes_a_running_one.story");
const TOO_LONG: &str = include_str!("../stories/a_run_takes_too_long.story");
const LOST_ANSWER: &str = include_str!("../stories/an_answer_is_lost.story");
const NO_NAME: &str = include_str!("../stories/github_names_no_run.story");
const SILENCE: &str = include_str!("../stories/webhooks_stop.story");
const NO_WORKFLOW: &str = include_str!("../stories/the_workflow_is_missing.story");
const FREEZE: &str = include_str!("../stories/a_freeze_holds_a_retry.story");
const NO_CONFIG: &str = include_str!("../stories/the_config_cannot_be_rendered.story");

/// A service, a step of it, and the story that passes the step. Steps written `x#n` die at the n-th passing.
struct Step {
    service: &'static str,
    step: &'static str,
    passing: &'static str,
    story: &'static str,
}

const fn step(service: &'static str, step: &'static str, story: &'static str) -> Step {
    Step { service, step, passing: "", story }
}

/// The first writes of the api apply the catalog of the test; the one after them is the approval.
const APPROVAL: &str = "#12";

const INGESTER: [Step; 2] = [
    step("trigger-ingester", "trigger-ingester.claim", WHOLE_WAY),
    step("trigger-ingester", "trigger-ingester.publish", WHOLE_WAY),
];
const EVALUATOR: [Step; 5] = [
    step("policy-evaluator", "policy-evaluator.version", WHOLE_WAY),
    step("policy-evaluator", "policy-evaluator.hint", WHOLE_WAY),
    step("policy-evaluator", "policy-evaluator.decision", WHOLE_WAY),
    step("policy-evaluator", "policy-evaluator.requested", WHOLE_WAY),
    step("policy-evaluator", "policy-evaluator.superseded", SUPERSEDE),
];
const DISPATCHER: [Step; 8] = [
    step("dispatcher", "dispatcher.noted", FREEZE),
    step("dispatcher", "dispatcher.frozen", FREEZE),
    step("dispatcher", "dispatcher.dispatched", WHOLE_WAY),
    step("dispatcher", "dispatcher.command", WHOLE_WAY),
    step("dispatcher", "dispatcher.slots", ONE_SLOT),
    step("dispatcher", "dispatcher.held", ONE_SLOT),
    step("dispatcher", "dispatcher.refused", NO_CONFIG),
    step("dispatcher", "dispatcher.cancelled", CANCEL_WAITING),
];
const AGENT: [Step; 10] = [
    step("agent-github-actions", "agent.started", WHOLE_WAY),
    step("agent-github-actions", "agent.call", WHOLE_WAY),
    step("agent-github-actions", "agent.triggered", WHOLE_WAY),
    step("agent-github-actions", "agent.run", WHOLE_WAY),
    step("agent-github-actions", "agent.snapshot", WHOLE_WAY),
    step("agent-github-actions", "agent.accepted", NO_NAME),
    step("agent-github-actions", "agent.unknown", LOST_ANSWER),
    step("agent-github-actions", "agent.ended", NO_WORKFLOW),
    step("agent-github-actions", "agent.cancel", CANCEL),
    step("agent-github-actions", "agent.cancelsent", CANCEL),
];
const SYNCER: [Step; 6] = [
    step("status-syncer", "status-syncer.status", WHOLE_WAY),
    step("status-syncer", "status-syncer.view", WHOLE_WAY),
    step("status-syncer", "status-syncer.observe", SILENCE),
    step("status-syncer", "status-syncer.timed-out", TOO_LONG),
    step("status-syncer", "status-syncer.farewell", ONE_SLOT),
    step("status-syncer", "status-syncer.rebuild", WHOLE_WAY),
];
const API: [Step; 4] = [
    step("api", "api.freeze", FREEZE),
    Step { service: "api", step: "api.catalog", passing: APPROVAL, story: WHOLE_WAY },
    Step { service: "api", step: "api.audit", passing: APPROVAL, story: WHOLE_WAY },
    step("api", "api.wish", CANCEL),
];

/// Steps beside the way from a webhook to a finished job, at which nothing dies here: two of them come only after minutes
/// or hours of a platform's silence, one is an operator's, and two are about who may call: each of these is one write to one
/// bucket, and who saw no answer makes another.
const BESIDE_THE_WAY: [&str; 5] =
    ["status-syncer.force-cancel", "status-syncer.over", "api.redrive", "api.key", "api.session"];

/// Steps of runs of workflows: the evaluator dies at each in its own tests; that of their stories is in `workflows`.
const RUNS: [&str; 3] =
    ["policy-evaluator.run-job", "policy-evaluator.run-cancelled", "policy-evaluator.run-ended"];

/// Steps of measuring: the agent dies at each in its own tests, with a measured server and a clock that need no platform.
const MEASURING: [&str; 3] = ["verification.claimed", "verification.measured", "verification.told"];

/// Steps of the queues of pull agents: the service dies at each in its own tests, with pullers of their own.
const PULLING: [&str; 12] = [
    "pull.queued",
    "pull.claimed",
    "pull.started",
    "pull.told",
    "pull.renewed",
    "pull.reported",
    "pull.released",
    "pull.lost",
    "pull.wished",
    "pull.cancelsent",
    "pull.held",
    "pull.closed",
];

/// A freeze between a dispatch and its start: no story can be told so fast. The agents' own tests have it.
const BETWEEN: [&str; 1] = ["agent.held"];

fn catalog_of(story: &str) -> String {
    match story {
        ONE_SLOT | CANCEL_WAITING => LIMITED.to_owned(),
        SUPERSEDE => superseding(),
        TOO_LONG => impatient(),
        NO_WORKFLOW => without_workflow(),
        NO_CONFIG => unrenderable(),
        _ => BASIC.to_owned(),
    }
}

/// A death is seen within this.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(25);

async fn dies_at(step: &Step, side: &str) {
    let point = format!("{}.{side}{}", step.step, step.passing);
    let mut system = System::start(Options {
        catalog: catalog_of(step.story),
        names_runs: step.story != NO_NAME,
        environment_of: vec![(step.service, "CTRLPLANE_CRASH_AT", point.clone())],
        ..Options::new(NODE)
    })
    .await;
    tell(&mut system, step.story).await;
    // What dies at its last step may be seen to be dead only after the story has come true.
    let seen = async {
        while system.crashes.is_empty() {
            system.revive().await;
            tokio::time::sleep(LOOK).await;
        }
    };
    let seen = tokio::time::timeout(SEEN_WITHIN, seen).await;
    assert!(seen.is_ok(), "{point} is passed by its story\n{}", system.logs());
    let died: Vec<&str> = system.crashes.iter().map(|(service, _)| service.as_str()).collect();
    assert_eq!(
        died,
        [step.service],
        "{point} must be passed by its story, and only there\n{}",
        system.logs()
    );
}

async fn each(steps: &[Step]) {
    for step in steps {
        for side in ["before", "after"] {
            dies_at(step, side).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ingester_dies_at_every_step() {
    each(&INGESTER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_evaluator_dies_at_every_step() {
    each(&EVALUATOR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatcher_dies_at_every_step() {
    each(&DISPATCHER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_dies_at_every_step() {
    each(&AGENT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_syncer_dies_at_every_step() {
    each(&SYNCER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_dies_at_every_step() {
    each(&API).await;
}

#[test]
fn no_step_is_forgotten() {
    let declared: BTreeSet<&str> = [
        trigger_ingester::CRASH_POINTS,
        policy_evaluator::CRASH_POINTS,
        dispatcher::CRASH_POINTS,
        agent_github_actions::CRASH_POINTS,
        agent_http_pull::CRASH_POINTS,
        agent_gitlab_ci::CRASH_POINTS,
        agent_kubernetes_jobs::CRASH_POINTS,
        agent_argo_workflows::CRASH_POINTS,
        agent_verification::CRASH_POINTS,
        status_syncer::CRASH_POINTS,
        api::CRASH_POINTS,
    ]
    .concat()
    .into_iter()
    .collect();
    let all: [&[Step]; 6] = [&INGESTER, &EVALUATOR, &DISPATCHER, &AGENT, &SYNCER, &API];
    let stories = all.into_iter().flatten().map(|step| step.step);
    let steps = stories.chain(BESIDE_THE_WAY).chain(RUNS).chain(MEASURING).chain(PULLING).chain(BETWEEN);
    let tried: BTreeSet<String> =
        steps.flat_map(|step| [format!("{step}.before"), format!("{step}.after")]).collect();
    let declared: BTreeSet<String> = declared.into_iter().map(str::to_owned).collect();
    assert_eq!(declared, tried, "declared and tried");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut written = BTreeSet::new();
    for folder in ["services", "shared/platform"] {
        collect(&root.join(folder), &mut written);
    }
    assert_eq!(written, declared, "written in the code and declared");
}

/// The crash points a folder's code passes: the texts given to `crash_point(` and `Around(`.
fn collect(folder: &Path, points: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, points);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for call in ["crash_point(", "Around("] {
                for (at, _) in text.match_indices(call) {
                    let arguments = text[at + call.len()..].split(')').next().unwrap_or_default();
                    let quoted = arguments.split('"').skip(1).step_by(2);
                    points.extend(quoted.filter(|name| name.contains('.')).map(str::to_owned));
                }
            }
        }
    }
}
