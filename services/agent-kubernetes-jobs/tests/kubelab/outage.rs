//! The API server is killed while agents start Jobs, and comes back: every Job is there once, and its end is heard.

use crate::rig::{Secrets, Ways, config, exited, platform};
use crate::support::{connect, dispatched, send};
use bus::Bus;
use domain::command::AgentCommand;
use domain::job::{JobState, JobStatus};
use kubelab::{KubeLab, TOKEN};
use platform::agent::{Agent, AgentSettings};
use serde_json::Value;
use servers::{Nats, NatsOptions, test_binaries};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const JOBS: usize = 20;
const NAMESPACE: &str = "outage";
const SOON: Duration = Duration::from_secs(120);

pub(crate) async fn each_job_is_started_once_and_followed(mut lab: KubeLab) {
    lab.namespace(NAMESPACE).await;
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    let secrets = Secrets::default();
    secrets.set("token", TOKEN);
    secrets.set("ca", &lab.ca());
    let config = config(&lab, NAMESPACE);
    let drain = CancellationToken::new();
    let mut replicas = JoinSet::new();
    for _ in 0..2 {
        let bus = connect(&nats).await;
        let agent = Agent::new(platform(&secrets, Ways::default()), &bus, AgentSettings::default());
        replicas.spawn(agent.run(drain.clone()));
    }
    let mut commands = Vec::new();
    for _ in 0..JOBS {
        let command = dispatched(&bus, &config).await;
        send(&bus, &command).await;
        commands.push(command);
    }
    // In the middle of it: some Jobs are there, some calls are under way, some were not made.
    let some = async { while objects(&lab).await.is_empty() {} };
    tokio::time::timeout(SOON, some).await.expect("the first Jobs appear");
    lab.kill_server().await;
    lab.start_server().await;
    for command in &commands {
        until(&bus, command, |state| state.external.is_some()).await;
    }
    let mut names: Vec<String> = objects(&lab).await;
    names.sort();
    let mut expected: Vec<String> =
        commands.iter().map(|command| format!("job-{}", command.job.id)).collect();
    expected.sort();
    assert_eq!(names, expected, "each Job once, and no other");
    // Nobody asks for a look: the watches that broke were opened again.
    for command in &commands {
        let pod = lab.pods(NAMESPACE, &format!("job-{}", command.job.id), 1).await.remove(0);
        lab.pod_says(NAMESPACE, &pod, &exited(0, "Completed")).await;
    }
    for command in &commands {
        until(&bus, command, |state| state.status() == JobStatus::Successful).await;
    }
    drain.cancel();
    while let Some(ended) = replicas.join_next().await {
        ended.expect("no panic").expect("drains");
    }
    lab.stop().await;
}

async fn objects(lab: &KubeLab) -> Vec<String> {
    let list = lab.get(&format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs")).await;
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|job| job.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)).collect()
}

async fn until(bus: &Bus, command: &AgentCommand, is: impl Fn(&JobState) -> bool) {
    let give_up = tokio::time::Instant::now() + SOON;
    loop {
        let known = bus.jobs().load(&command.job.workspace, command.job.id).await.unwrap().unwrap();
        if is(&known.state) {
            return;
        }
        assert!(tokio::time::Instant::now() < give_up, "not in time: {:?}", known.state);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
