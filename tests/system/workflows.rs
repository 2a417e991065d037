//! One workflow over two platforms: a build on GitHub, deployments on GitLab by region, and a clean-up on GitHub that always
//! runs. Begun over the API and by a webhook, under the permissions of production, while the evaluator dies in between.

use crate::NODE;
use fake_github::Workflow;
use fake_gitlab::{FakeGitlab, Project, Script, Token};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use system_tests::{BASIC, Options, System, gitlab};

const WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

async fn begun(crash_at: Option<&str>) -> (System, FakeGitlab) {
    let gitlab = gitlab::shop().await;
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let catalog = include_str!("../stories/workflow.yaml").replace("GITLAB_URL", &gitlab.subpath_url());
    let crash = crash_at.map(|point| ("policy-evaluator", "CTRLPLANE_CRASH_AT", point.to_owned()));
    let system = System::start(Options {
        catalog: format!("{BASIC}{catalog}"),
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        environment: gitlab::secrets(),
        environment_of: crash.into_iter().collect(),
        ..Options::new(NODE)
    })
    .await;
    gitlab::attach(&gitlab, &system).await;
    (system, gitlab)
}

/// Asks until the run is so; whoever died is started again.
async fn until(system: &mut System, what: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let give_up = tokio::time::Instant::now() + WITHIN;
    loop {
        system.revive().await;
        let seen = system.client.get(path).await;
        if let Ok((200, run)) = &seen
            && is_so(run)
        {
            return run.clone();
        }
        assert!(tokio::time::Instant::now() < give_up, "{what}: {seen:#?}\n{}", system.logs());
        tokio::time::sleep(LOOK).await;
    }
}

fn told(run: &Value) -> Vec<String> {
    let jobs = run["jobs"].as_array().into_iter().flatten();
    jobs.map(|job| format!("{} {}", job["name"], job["status"]).replace('"', "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_spans_two_platforms_and_survives_a_death_of_the_evaluator() {
    let (mut system, gitlab) = begun(Some("policy-evaluator.run-job.after#2")).await;
    let path = "/api/v1/workspaces/acme/workflows/slug/ship/runs";
    let (status, run) = system.client.post(path, &json!({ "inputs": { "tag": "v1" } })).await.unwrap();
    assert_eq!(status, 202, "{run:#}");
    let ids: BTreeSet<String> =
        run["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    let path = format!("/api/v1/workspaces/acme/workflow-runs/{}", run["id"].as_str().unwrap());
    let run = until(&mut system, "the run succeeds", &path, |run| run["status"] == "successful").await;
    assert_eq!(
        told(&run),
        ["build successful", "deploy[0] successful", "deploy[1] successful", "clean-up successful"]
    );
    let pipelines = gitlab.pipelines();
    let regions: BTreeSet<String> =
        pipelines.iter().map(|p| p.inputs["resource"].as_str().unwrap().to_owned()).collect();
    assert_eq!(regions, ["eu".to_owned(), "us".to_owned()].into());
    assert_eq!((pipelines.len(), system.github.runs().len()), (2, 2), "one run each");
    let told_of: BTreeSet<String> = system
        .client
        .jobs()
        .await
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told_of, ids, "the jobs are those that were told when the run began");
    let died: Vec<&str> = system.crashes.iter().map(|(service, _)| service.as_str()).collect();
    assert_eq!(died, ["policy-evaluator"], "{}", system.logs());
    let logs = system.logs();
    assert!(!logs.to_lowercase().contains("permissions violation"), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_begins_a_run_whose_failure_is_cleaned_up_after() {
    let (mut system, gitlab) = begun(None).await;
    gitlab.set_script("acme/shop", Script::failure());
    let pushed = system.github.push("acme/shop", "refs/heads/ship", "v2", "a change").await.unwrap();
    assert_eq!(pushed.1, 202);
    let runs = "/api/v1/workspaces/acme/workflow-runs?workflow=ship";
    let list = until(&mut system, "the run begins", runs, |list| list["total"] == 1).await;
    let run = &list["items"][0];
    assert_eq!(run["begunBy"]["trigger"]["name"], "ship-on-push");
    let path = format!("/api/v1/workspaces/acme/workflow-runs/{}", run["id"].as_str().unwrap());
    let run = until(&mut system, "the run fails", &path, |run| run["status"] == "failure").await;
    assert_eq!(told(&run), ["build successful", "deploy[0] failure", "clean-up successful"]);
    assert_eq!(gitlab.pipelines()[0].inputs["resource"], "ap");
}

/// An example of the documentation, whose platforms are the stand-ins.
fn example(name: &str, github: &str, gitlab: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.replace("    appId: \"123456\"\n", &format!("    appId: \"4711\"\n    baseUrl: {github}\n")).replace(
        "    tokenSecret: gitlab-token\n",
        &format!("    tokenSecret: gitlab-token\n    baseUrl: {gitlab}\n"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_a_workflow_runs_beside_the_examples_of_its_platforms() {
    let project = Project {
        inputs: ["tag", "region", "job_id"].map(str::to_owned).to_vec(),
        takes_variables: false,
        ..gitlab::project()
    };
    let (tokens, projects) = (vec![Token::new(gitlab::TOKEN)], vec![project]);
    let options = fake_gitlab::Options { tokens, projects, ..fake_gitlab::Options::default() };
    let gitlab = FakeGitlab::start(options).await.unwrap();
    let gitlab_url = gitlab.subpath_url();
    let mut system = System::start(Options {
        catalog: example("github.yaml", "GITHUB_URL", &gitlab_url),
        environment: gitlab::secrets(),
        workflows: ["build.yml", "clean-up.yml"].map(|file| Workflow::new(file).inputs(&["tag"])).into(),
        ..Options::new(NODE)
    })
    .await;
    gitlab::attach(&gitlab, &system).await;
    let github_url = system.github.base_url();
    system.client.apply(&example("gitlab.yaml", &github_url, &gitlab_url)).await;
    let applied = system.client.apply(&example("workflow.yaml", &github_url, &gitlab_url)).await;
    let became: Vec<String> = applied["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["kind"], one["name"], one["action"]).replace('"', ""))
        .collect();
    assert_eq!(
        became,
        ["JobAgent github unchanged", "JobAgent gitlab unchanged", "Workflow ship created"],
        "it is applied beside the others, and changes nothing of them"
    );
    let path = "/api/v1/workspaces/acme/workflows/slug/ship/runs";
    let (status, run) = system.client.post(path, &json!({ "inputs": { "tag": "v1.4.0" } })).await.unwrap();
    assert_eq!(status, 202, "{run:#}");
    let path = format!("/api/v1/workspaces/acme/workflow-runs/{}", run["id"].as_str().unwrap());
    let over = |run: &Value| ["successful", "failure", "cancelled"].iter().any(|end| run["status"] == *end);
    let run = until(&mut system, "the run ends", &path, over).await;
    assert_eq!(
        told(&run),
        ["build successful", "test[0] successful", "test[1] successful", "clean-up successful"],
        "{run:#}"
    );
    let regions: BTreeSet<String> =
        gitlab.pipelines().iter().map(|p| p.inputs["region"].as_str().unwrap().to_owned()).collect();
    assert_eq!(regions, ["eu".to_owned(), "us".to_owned()].into());
    assert_eq!(system.github.runs().len(), 2, "build and clean-up");
}
