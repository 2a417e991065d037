//! The ready steps for CI: each publishes a version to a running system, waits, and ends as the rollout did.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::process::Command;

use crate::rig::{Ended, Rig, ended, repository};

#[derive(Deserialize)]
struct Action {
    inputs: BTreeMap<String, Input>,
    runs: Runs,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    required: bool,
    default: Option<String>,
}

#[derive(Deserialize)]
struct Runs {
    using: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    shell: String,
    env: BTreeMap<String, String>,
    run: String,
}

#[derive(Deserialize)]
struct Job {
    variables: BTreeMap<String, String>,
    script: Vec<String>,
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect("it is there")
}

/// Runs the steps of the action as a runner does, with these inputs.
async fn action(rig: &Rig, given: &[(&str, &str)], environment: &[(&str, &str)]) -> Ended {
    let action: Action =
        serde_yaml_ng::from_str(&text_of("docs/ci/github-action/action.yml")).expect("an action");
    assert_eq!(action.runs.using, "composite");
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, input) in &action.inputs {
        let value = given.iter().find(|(given, _)| given == name).map(|(_, value)| *value);
        let value = value.or(input.default.as_deref());
        assert!(value.is_some() || !input.required, "{name} is needed");
        values.insert(name, value.unwrap_or_default());
    }
    assert!(given.iter().all(|(name, _)| values.contains_key(name)), "an input that there is not");
    let [step] = action.runs.steps.as_slice() else { panic!("one step") };
    assert_eq!(step.shell, "bash");
    let mut command = rig.shell(&["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", &step.run]);
    command.env("GITHUB_ACTION_PATH", repository().join("docs/ci/github-action"));
    for (name, expression) in &step.env {
        let input = expression.strip_prefix("${{ inputs.").and_then(|rest| rest.strip_suffix(" }}"));
        command.env(name, values[input.expect("an input")]);
    }
    command.envs(environment.iter().copied());
    ended(command).await
}

async fn pipeline(rig: &Rig, commit: &str, environment: &[(&str, &str)]) -> Ended {
    let jobs: BTreeMap<String, Job> =
        serde_yaml_ng::from_str(&text_of("docs/ci/gitlab/ctrlplane.yml")).expect("a template");
    let job = &jobs[".ctrlplane-publish"];
    let mut command: Command = rig.shell(&["sh", "-ec", &job.script.join("\n")]);
    for (name, value) in &job.variables {
        command.env(name, value.replace("$CI_COMMIT_SHA", commit));
    }
    command
        .env("CTRLPLANE_URL", &rig.url)
        .env("CTRLPLANE_API_KEY", &rig.key)
        .env("CTRLPLANE_WORKSPACE", "acme")
        .env("CTRLPLANE_DEPLOYMENT", "pulled")
        .envs(environment.iter().copied());
    ended(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_from_ci_publishes_waits_and_ends_as_the_rollout_did() {
    let mut rig = Rig::start().await;
    rig.pull();
    let (url, key) = (rig.url.clone(), rig.key.clone());
    let inputs = |version: &'static str| {
        vec![
            ("url", url.as_str()),
            ("api-key", key.as_str()),
            ("workspace", "acme"),
            ("deployment", "pulled"),
            ("version", version),
        ]
    };

    let mut with_config = inputs("a1");
    with_config.push(("config", "image=shop/web:a1\nnote=he said \"so\"\\"));
    let good = action(&rig, &with_config, &[]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.out.contains("pulled:a1 is published") && good.out.contains("is everywhere"), "{good:?}");
    let (version, _) = rig.run("ctrlplane get version pulled:a1 -o json", 0).await;
    let version: serde_json::Value = serde_json::from_str(&version).expect("JSON");
    assert_eq!(version["spec"]["config"]["note"], "he said \"so\"\\");
    assert_eq!(version["spec"]["config"]["image"], "shop/web:a1");
    let bad = action(&rig, &inputs("bad-a2"), &[]).await;
    assert_eq!(bad.code, Some(3), "{bad:?}");
    assert!(bad.err.contains("the rollout failed") && bad.err.contains("live eu-1"), "{bad:?}");
    let mut unknown = inputs("a3");
    unknown[3].1 = "nothing";
    assert_eq!(action(&rig, &unknown, &[]).await.code, Some(1));
    let mut stranger = inputs("a3");
    stranger[1].1 = "not-a-key";
    let stranger = action(&rig, &stranger, &[]).await;
    assert_eq!(stranger.code, Some(1), "{stranger:?}");
    let mut away = inputs("a3");
    away[0].1 = "http://127.0.0.1:9";
    let away = action(&rig, &away, &[("CTRLPLANE_TRIES", "1")]).await;
    assert_eq!(away.code, Some(5), "{away:?}");

    let good = pipeline(&rig, "b1", &[]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = pipeline(&rig, "bad-b2", &[]).await;
    assert_eq!(bad.code, Some(3), "{bad:?}");

    let page = text_of("docs/ci/README.md");
    let line = page.lines().find(|line| line.starts_with("    curl ")).expect("a line of curl");
    let (line, version) = (line.trim().replace("deployments/web/", "deployments/pulled/"), "v1.5.0");
    let line = line.replace("deployment-versions/web:", "deployment-versions/pulled:");
    rig.run(&line, 0).await;
    rig.run(&line.replace(version, "bad-c2"), 22).await;
    rig.run("ctrlplane version create pulled d1 --wait --timeout 60s", 0).await;

    // Nothing starts during a freeze: time is over before it is done.
    rig.run("ctrlplane freeze stop --reason incident", 0).await;
    let mut slow = inputs("a4");
    slow.push(("timeout", "1"));
    let slow = action(&rig, &slow, &[]).await;
    assert_eq!(slow.code, Some(4), "{slow:?}");
    let slow = pipeline(&rig, "b4", &[("CTRLPLANE_TIMEOUT", "1"), ("CTRLPLANE_LOOK", "1")]).await;
    assert_eq!(slow.code, Some(4), "{slow:?}");
    let mut only = inputs("a5");
    only.push(("wait", "false"));
    assert_eq!(action(&rig, &only, &[]).await.code, Some(0));
    rig.end().await;
}
