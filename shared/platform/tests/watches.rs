//! News by watches: two replicas watch one place, each tells everything twice, and every fact is recorded once; a watch that
//! breaks tells what was missed; what is not ours changes nothing; a place nobody speaks of is left.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Base, Bus, ConnectOptions, Provision, Recorded};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, JobFact, JobRef, JobState, JobStatus};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use platform::agent::{Agent, AgentSettings};
use platform::conformance::{Rig, RunIs};
use platform::{Clock, Platform, TriggerRequest};
use scripted::{Answers, Scripted};
use serde_json::{Value, json};
use servers::TestServers;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(30);

struct World {
    _servers: TestServers,
    bus: Bus,
    platform: Scripted,
    drain: CancellationToken,
    replicas: JoinSet<Result<(), bus::BusError>>,
}

impl World {
    async fn with(replicas: usize, watch_idle: Duration) -> Self {
        let servers = TestServers::start().await;
        let config = json!({ "place": "somewhere" });
        let platform = Scripted::new(Clock::real(), Answers::WithTheRun).with_config(&config, &[], &[]);
        let bus = connect(&servers).await;
        bus.ensure(&needs_of(Service::Admin)).await.expect("streams can be made");
        let mut world = Self {
            _servers: servers,
            bus,
            platform,
            drain: CancellationToken::new(),
            replicas: JoinSet::new(),
        };
        for _ in 0..replicas {
            let bus = connect(&world._servers).await;
            let settings = AgentSettings { watch_idle, ..AgentSettings::default() };
            let agent = Agent::new(world.platform.platform(), &bus, settings);
            world.replicas.spawn(agent.run(world.drain.clone()));
        }
        world
    }

    async fn ended(mut self) {
        self.drain.cancel();
        while let Some(ended) = self.replicas.join_next().await {
            ended.expect("no panic").expect("drains");
        }
        assert_eq!(self.platform.watching(), 0, "a drained agent watches nothing");
    }

    async fn send(&self, command: &AgentCommand) {
        let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
        self.bus.publish_json(subject, command, None).await.expect("published");
    }

    /// Jobs that run, until so many replicas got a command and watch.
    async fn running(&self, watching: usize) -> Vec<AgentCommand> {
        let mut commands = Vec::new();
        let all_watch = async {
            while self.platform.watching() < watching {
                let command = self.dispatched().await;
                self.send(&command).await;
                self.until(&command, |state| state.external.is_some()).await;
                commands.push(command);
            }
        };
        tokio::time::timeout(WITHIN, all_watch).await.expect("each replica gets a command in time");
        commands
    }

    async fn until(&self, command: &AgentCommand, is: impl Fn(&JobState) -> bool) {
        let seen = async {
            while !is(&self.state(command).await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(WITHIN, seen).await;
        assert!(seen.is_ok(), "not in time: {:?}", self.state(command).await);
    }

    async fn status(&self, command: &AgentCommand, status: JobStatus) {
        self.until(command, |state| state.status() == status).await;
    }

    async fn state(&self, command: &AgentCommand) -> JobState {
        let known = self.bus.jobs().load(&command.job.workspace, command.job.id).await;
        known.expect("loads").expect("is there").state
    }

    async fn facts(&self, command: &AgentCommand) -> Vec<&'static str> {
        let events = self.bus.jobs().events(&command.job.workspace, command.job.id).await.expect("loads");
        events.iter().map(|(_, event)| event.fact.name()).collect()
    }

    async fn dispatched(&self) -> AgentCommand {
        let (bus, platform) = (&self.bus, &self.platform);
        let job = JobRef {
            workspace: "acme".parse().unwrap(),
            id: JobId(Uuid::new_v4()),
            target: TargetKey {
                deployment: DeploymentId(Uuid::new_v4()),
                environment: EnvironmentId(Uuid::new_v4()),
                resource: ResourceId(Uuid::new_v4()),
            },
            version: VersionId(Uuid::new_v4()),
            tag: "v1".to_owned(),
            release: ReleaseId(Uuid::new_v4()),
            attempt: 1,
            deployment: Slug::of_name("web"),
            environment: Slug::of_name("production"),
            purpose: Default::default(),
            content: None,
        };
        let agent = JobAgentId(Uuid::new_v4());
        let jobs = bus.jobs();
        let requested = jobs
            .record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }, Base::New, None)
            .await;
        let Ok(Recorded::Appended { sequence }) = requested else { panic!("{requested:?}") };
        let dispatch = Dispatch {
            agent,
            agent_name: "scripted".to_owned(),
            platform: platform.name(),
            config: platform.config(),
            context: Value::Null,
            deadlines: Default::default(),
            secrets: Default::default(),
        };
        let dispatched = jobs.record(&job, JobFact::Dispatched(dispatch), Base::After(sequence), None).await;
        let Ok(Recorded::Appended { sequence }) = dispatched else { panic!("{dispatched:?}") };
        AgentCommand {
            verb: Verb::Trigger,
            job,
            agent,
            platform: platform.name(),
            config: platform.config(),
            after: sequence,
            rerun_of: None,
            force: false,
            freezes_seen: Default::default(),
            freeze_begins_at: None,
            secrets: Default::default(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_hear_everything_twice_record_it_once() {
    let world = World::with(2, Duration::from_secs(600)).await;
    let commands = world.running(2).await;
    for (is, status) in
        [(RunIs::InProgress, JobStatus::InProgress), (RunIs::Successful, JobStatus::Successful)]
    {
        for command in &commands {
            world.platform.set(command.job.id, is).await;
        }
        world.platform.tell();
        world.platform.tell();
        for command in &commands {
            world.status(command, status).await;
        }
    }
    for command in &commands {
        let facts = world.facts(command).await;
        let told = |name: &str| facts.iter().filter(|fact| **fact == name).count();
        assert_eq!((told("triggered"), told("finished")), (1, 1), "{facts:?}");
        assert!(told("observed") <= 2, "queued and in progress at most: {facts:?}");
    }
    world.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_broke_tells_what_was_missed() {
    let world = World::with(1, Duration::from_secs(600)).await;
    let commands = world.running(1).await;
    let command = &commands[0];
    world.platform.set(command.job.id, RunIs::Successful).await;
    world.platform.break_watches();
    world.status(command, JobStatus::Successful).await;
    world.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_watch_says_only_that_something_changed_the_run_is_looked_at() {
    let world = World::with(1, Duration::from_secs(600)).await;
    let commands = world.running(1).await;
    let command = &commands[0];
    // How it was queued is known before the watch becomes quiet about such things.
    world.status(command, JobStatus::Queued).await;
    world.platform.tell_no_more_than_that();
    world.platform.set(command.job.id, RunIs::InProgress).await;
    world.platform.tell();
    world.status(command, JobStatus::InProgress).await;
    world.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_nobody_recorded_yet_is_introduced_and_a_stranger_changes_nothing() {
    let world = World::with(1, Duration::from_secs(600)).await;
    let commands = world.running(1).await;
    // Another job was started by a process that died before it could say so.
    let orphan = world.dispatched().await;
    let started = JobFact::TriggerStarted { fence: 1 };
    world.bus.jobs().record(&orphan.job, started, Base::Look, None).await.expect("recorded");
    for job in [JobId(Uuid::new_v4()), orphan.job.id] {
        let request = TriggerRequest { job, config: &orphan.config };
        world.platform.trigger(&request).await.expect("nothing is wrong");
    }
    world.platform.set(orphan.job.id, RunIs::Successful).await;
    world.platform.tell();
    world.status(&orphan, JobStatus::Successful).await;
    // The stranger came first and stopped nobody.
    world.platform.set(commands[0].job.id, RunIs::Successful).await;
    world.platform.tell();
    world.status(&commands[0], JobStatus::Successful).await;
    world.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_no_command_speaks_of_is_left_and_found_again() {
    let world = World::with(1, Duration::from_millis(400)).await;
    let commands = world.running(1).await;
    let left = async {
        while world.platform.watching() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, left).await.expect("the watch is closed");
    let command = &commands[0];
    world.platform.set(command.job.id, RunIs::Successful).await;
    // The sweep asks for another job of the place: the watch is opened and tells of all.
    let other = world.dispatched().await;
    world.send(&other).await;
    world.status(command, JobStatus::Successful).await;
    world.ended().await;
}

async fn connect(servers: &TestServers) -> Bus {
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: "watches".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    Bus::connect(&options).await.expect("the server runs")
}
