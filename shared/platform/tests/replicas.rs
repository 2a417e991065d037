//! Two agents on one bus and one platform: each job is started once, whoever gets which message how often, and both know
//! when the platform wants peace.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{COMMANDS, Service, agent_commands, needs_of};
use bus::{Base, Bus, ConnectOptions, Provision, Recorded};
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{Dispatch, JobFact, JobRef, Phase};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use futures::future::join_all;
use platform::agent::{Agent, AgentSettings};
use platform::budget::{BudgetKey, Budgets, Kind, Learned, RateLimit};
use platform::conformance::Rig;
use platform::{Clock, Platform};
use scripted::{Answers, Scripted};
use serde_json::{Map, Value};
use servers::TestServers;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_started_once_by_two_replicas_and_two_commands() {
    each_job_is_started_once(Answers::WithTheRun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_started_once_where_the_platform_names_no_run() {
    each_job_is_started_once(Answers::WithNothing).await;
}

async fn each_job_is_started_once(answers: Answers) {
    let servers = TestServers::start().await;
    let platform = Scripted::new(Clock::real(), answers);
    let drain = CancellationToken::new();
    let mut replicas = JoinSet::new();
    let bus = connect(&servers, Provision::Create).await;
    bus.ensure(&needs_of(Service::Admin)).await.expect("streams can be made");
    for _ in 0..2 {
        let bus = connect(&servers, Provision::Create).await;
        let agent = Agent::new(platform.platform(), &bus, AgentSettings::default());
        replicas.spawn(agent.run(drain.clone()));
    }

    let commands = join_all((0..40).map(|_| dispatched(&bus, &platform))).await;
    // Every command twice, as two messages: a repeated dispatch, handled by whoever is free.
    join_all(commands.iter().chain(&commands).map(|command| async {
        let subject = subject::command(&command.platform, command.agent, command.verb, command.job.id);
        bus.publish_json(subject, command, None).await.expect("published")
    }))
    .await;

    let consumer = agent_commands(&platform.name()).name;
    let all_settled = async {
        loop {
            let consumer = bus
                .jetstream()
                .get_consumer_from_stream::<async_nats::jetstream::consumer::pull::Config, _, _>(
                    &consumer,
                    COMMANDS.name,
                );
            // Until the first replica made it, there is none.
            let Ok(consumer) = consumer.await else { continue };
            let info = consumer.cached_info();
            if info.num_pending == 0 && info.num_ack_pending == 0 && info.delivered.consumer_sequence > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(WITHIN, all_settled).await.expect("every command is settled in time");
    drain.cancel();
    while let Some(ended) = replicas.join_next().await {
        ended.expect("no panic").expect("drains");
    }
    for command in &commands {
        assert_eq!(platform.runs(command.job.id).await, 1);
        let known =
            bus.jobs().load(&command.job.workspace, command.job.id).await.expect("loads").expect("is there");
        assert!(
            matches!(known.state.phase, Phase::Running { .. }) && known.state.external.is_some(),
            "{known:?}"
        );
    }
}

#[tokio::test]
async fn two_replicas_share_the_pace_of_writes() {
    let servers = TestServers::start().await;
    let (clock, hand) = Clock::movable();
    let (one, other) = budgets(&servers, &clock).await;
    let limit = RateLimit { writes_per_minute: 60, burst: 5 };
    let (mine, yours) = (one.of(&key(), limit), other.of(&key(), limit));
    let (mut admitted, mut waits) = (0, Vec::new());
    for _ in 0..10 {
        for budget in [&mine, &yours] {
            match budget.admit(Kind::Write).await {
                Ok(()) => admitted += 1,
                Err(limited) => waits.push(limited.after),
            }
        }
    }
    assert!((5..=6).contains(&admitted), "a burst of five over both, and one if a second passed: {admitted}");
    let longest = waits.iter().max().expect("the others wait");
    assert!(*longest > Duration::from_secs(5), "each caller is asked back at a time of its own: {waits:?}");
    hand.pass(Duration::from_secs(3));
    let mut admitted = 0;
    for budget in [&mine, &yours, &mine, &yours, &mine, &yours] {
        admitted += usize::from(budget.admit(Kind::Write).await.is_ok());
    }
    assert!((3..=4).contains(&admitted), "three seconds, three writes: {admitted}");
    assert!(mine.admit(Kind::Read).await.is_ok(), "reads are not paced");
}

#[tokio::test]
async fn a_pause_one_replica_was_asked_for_holds_for_the_other() {
    let servers = TestServers::start().await;
    let (clock, hand) = Clock::movable();
    let (one, other) = budgets(&servers, &clock).await;
    let (mine, yours) = (one.of(&key(), RateLimit::OFF), other.of(&key(), RateLimit::OFF));
    let drain = CancellationToken::new();
    let mut following = JoinSet::new();
    following.spawn(Arc::clone(&other).follow(drain.clone()));
    assert!(yours.admit(Kind::Read).await.is_ok());
    mine.learned(Learned { blocked_for: Some(Duration::from_secs(60)), ..Learned::default() }).await;
    let heard = async {
        while yours.admit(Kind::Read).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, heard).await.expect("the other hears of it");
    hand.pass(Duration::from_secs(61));
    assert!(yours.admit(Kind::Read).await.is_ok() && mine.admit(Kind::Write).await.is_ok());
    drain.cancel();
    following.join_next().await.expect("one").expect("no panic").expect("drains");
}

#[tokio::test]
async fn a_pause_holds_for_a_replica_that_uses_the_credential_for_the_first_time() {
    let servers = TestServers::start().await;
    let (clock, hand) = Clock::movable();
    let (one, restarted) = budgets(&servers, &clock).await;
    let pause = Learned { blocked_for: Some(Duration::from_secs(60)), ..Learned::default() };
    one.of(&key(), RateLimit::OFF).learned(pause).await;
    // What is written later is heard later: once this is heard, the pause is.
    let sign = BudgetKey { credential: "installation 2".to_owned(), ..key() };
    one.of(&sign, RateLimit::OFF).learned(pause).await;
    let signal = restarted.of(&sign, RateLimit::OFF);
    let drain = CancellationToken::new();
    let mut following = JoinSet::new();
    following.spawn(Arc::clone(&restarted).follow(drain.clone()));
    let heard = async {
        while signal.admit(Kind::Read).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, heard).await.expect("it hears what was written before it began");
    let budget = restarted.of(&key(), RateLimit::OFF);
    assert!(budget.admit(Kind::Read).await.is_err(), "the platform asked for a pause");
    hand.pass(Duration::from_secs(61));
    assert!(budget.admit(Kind::Read).await.is_ok());
    drain.cancel();
    following.join_next().await.expect("one").expect("no panic").expect("drains");
}

async fn budgets(servers: &TestServers, clock: &Clock) -> (Arc<Budgets>, Arc<Budgets>) {
    let (one, other) = (connect(servers, Provision::Create).await, connect(servers, Provision::Create).await);
    one.ensure(&needs_of(Service::Admin)).await.expect("buckets can be made");
    (Budgets::new(&one, clock.clone(), 10), Budgets::new(&other, clock.clone(), 10))
}

fn key() -> BudgetKey {
    BudgetKey {
        platform: "scripted".parse().unwrap(),
        host: "scripted.test".to_owned(),
        credential: "installation 1".to_owned(),
    }
}

async fn dispatched(bus: &Bus, platform: &Scripted) -> AgentCommand {
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
    let requested =
        jobs.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }, Base::New, None).await;
    let Ok(Recorded::Appended { sequence }) = requested else { panic!("{requested:?}") };
    let dispatch = Dispatch {
        agent,
        agent_name: "scripted".to_owned(),
        platform: platform.name(),
        config: Map::new(),
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
        config: Map::new(),
        after: sequence,
        rerun_of: None,
        force: false,
        freezes_seen: Default::default(),
        freeze_begins_at: None,
        secrets: Default::default(),
    }
}

async fn connect(servers: &TestServers, provision: Provision) -> Bus {
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: "replicas".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision,
    };
    Bus::connect(&options).await.expect("the server runs")
}
