//! Many jobs by two replicas on a cluster that misbehaves by seed: each job ends, and has exactly one object.

use crate::rig::{NAMESPACE, Rig, SOON, options};
use crate::support::{connect, dispatched, send};
use bus::Bus;
use domain::command::{AgentCommand, Verb};
use domain::job::JobStatus;
use fake_kubernetes::{Chaos, Ending, Options, Script};
use platform::agent::{Agent, AgentSettings};
use servers::{Nats, NatsOptions, test_binaries};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const JOBS: usize = 40;
/// How often the test asks for a look at what is not over, as the sweep would.
const SWEEP: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_ends_with_one_object_however_the_cluster_misbehaves() {
    let dir = tempfile::tempdir().unwrap();
    let nats =
        Nats::start(NatsOptions::new(&test_binaries().await.nats, dir.path().join("nats"))).await.unwrap();
    let bus = connect(&nats).await;
    let script = Script::Plays {
        starts_after: Duration::from_millis(200),
        runs_for: Duration::from_millis(400),
        ending: Ending::Well,
    };
    let chaos = Chaos { seed: 7, limited: 0.03, broken: 0.05, lost: 0.05, cut: 0.1, expired: 0.05 };
    let rig = Rig::start(Options { script, chaos, ..options() }).await;
    let drain = CancellationToken::new();
    let mut replicas = JoinSet::new();
    for _ in 0..2 {
        let bus = connect(&nats).await;
        replicas.spawn(Agent::new(rig.jobs.clone(), &bus, AgentSettings::default()).run(drain.clone()));
    }
    let mut commands = Vec::new();
    for _ in 0..JOBS {
        commands.push(dispatched(&bus, &rig.config).await);
    }
    for command in commands.iter().chain(&commands) {
        send(&bus, command).await;
    }
    let all_over = async {
        loop {
            let open = not_over(&bus, &commands).await;
            if open.is_empty() {
                return;
            }
            for (command, sequence) in open {
                send(&bus, &AgentCommand { verb: Verb::Observe, after: sequence, ..command }).await;
            }
            tokio::time::sleep(SWEEP).await;
        }
    };
    let ended = tokio::time::timeout(SOON * 3, all_over).await;
    assert!(ended.is_ok(), "still open: {:?}", not_over(&bus, &commands).await);
    drain.cancel();
    while let Some(ended) = replicas.join_next().await {
        ended.expect("no panic").expect("drains");
    }
    let mut objects: BTreeMap<String, usize> = BTreeMap::new();
    for object in rig.fake.jobs(NAMESPACE) {
        *objects.entry(object["metadata"]["name"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> =
        commands.iter().map(|command| (format!("job-{}", command.job.id), 1)).collect();
    assert_eq!(objects, expected);
    for command in &commands {
        let known = bus.jobs().load(&command.job.workspace, command.job.id).await.unwrap().unwrap();
        assert_eq!(known.state.status(), JobStatus::Successful, "{:?}", known.state);
    }
}

/// What is not known to be over: where a busy machine does not answer in time, it is asked again.
async fn not_over(bus: &Bus, commands: &[AgentCommand]) -> Vec<(AgentCommand, u64)> {
    let mut open = Vec::new();
    for command in commands {
        match bus.jobs().load(&command.job.workspace, command.job.id).await {
            Ok(Some(known)) if known.state.is_finished() => {}
            Ok(Some(known)) => open.push((command.clone(), known.sequence)),
            Ok(None) | Err(_) => open.push((command.clone(), command.after)),
        }
    }
    open
}
