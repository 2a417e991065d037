//! The last look before a start: a freeze that came, went or began since the dispatch sends the job back, as long as no
//! intent to start it is recorded.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Freezes, Provision};
use domain::command::AgentCommand;
use domain::id::{JobId, PolicyId};
use domain::job::{ExternalRef, HeldWhy, JobFact, JobRef, JobStatus, Phase, Purpose, Reason, TerminalStatus};
use platform::Clock;
use platform::conformance::{Fault, Rig, Stage};
use scripted::{Answers, Scripted};
use servers::TestServers;
use std::time::Duration;
use uuid::Uuid;

struct World {
    stage: Stage<Scripted>,
    freezes: Freezes,
    clock: Clock,
    _servers: TestServers,
}

impl World {
    async fn start() -> Self {
        let servers = TestServers::start().await;
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "freezes".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.unwrap();
        bus.ensure(&needs_of(Service::Admin)).await.unwrap();
        let (clock, hand) = Clock::movable();
        let rig = Scripted::new(clock.clone(), Answers::WithTheRun);
        let stage = Stage::new(&bus, rig, clock.clone(), hand);
        Self { stage, freezes: Freezes::new(&bus), clock, _servers: servers }
    }

    async fn note(&self, job: &JobRef, revision: u64) {
        self.freezes.note(&job.workspace, revision).await.unwrap();
    }

    async fn sent_back(&self, command: &AgentCommand, said: &str) {
        self.stage.settle(command).await;
        let known = self.stage.known(command).await;
        let Phase::Held { why: HeldWhy::Freeze { freeze: None, reason, until: None } } = &known.state.phase
        else {
            panic!("{known:?}")
        };
        assert!(reason.contains(said), "{reason}");
        assert_eq!(known.state.reason, Some(Reason::Frozen));
        assert_eq!(self.stage.rig.runs(command.job.id).await, 0);
    }
}

#[tokio::test]
async fn a_freeze_that_came_since_the_dispatch_sends_the_job_back_until_it_is_dispatched_anew() {
    let world = World::start().await;
    let command = world.stage.dispatched().await;
    world.note(&command.job, 7).await;
    world.sent_back(&command, "declared or lifted").await;
    // Delivered once more, late: it was of another dispatch.
    world.stage.settle(&command).await;
    assert_eq!(world.stage.facts(&command).await, ["requested", "dispatched", "held"]);

    let anew = AgentCommand { freezes_seen: 7, ..world.stage.dispatch(&command.job, None).await };
    world.stage.settle(&command).await;
    assert_eq!(world.stage.facts(&command).await, ["requested", "dispatched", "held", "dispatched"]);
    world.stage.settle(&anew).await;
    world.stage.expect(&anew, JobStatus::Queued, 1).await;
}

#[tokio::test]
async fn a_freeze_that_began_since_the_dispatch_sends_the_job_back() {
    let world = World::start().await;
    let dispatched = world.stage.dispatched().await;
    let begins = world.clock.now() + chrono::TimeDelta::seconds(30);
    let command = AgentCommand { freeze_begins_at: Some(begins), ..dispatched };
    world.stage.pass(Duration::from_secs(31));
    world.sent_back(&command, "began").await;
    let other = AgentCommand {
        freeze_begins_at: Some(world.clock.now() + chrono::TimeDelta::hours(1)),
        ..world.stage.dispatched().await
    };
    world.stage.settle(&other).await;
    world.stage.expect(&other, JobStatus::Queued, 1).await;
}

/// The platform keeps the agent waiting before any intent, and a freeze comes meanwhile.
#[tokio::test]
async fn a_freeze_that_comes_while_the_command_waits_is_seen_at_its_next_delivery() {
    let world = World::start().await;
    let command = world.stage.dispatched().await;
    world.note(&command.job, 7).await;
    // Old enough that it is looked up, as after a wait or a crash.
    world.stage.pass(Duration::from_secs(60));
    world.sent_back(&command, "declared or lifted").await;
}

#[tokio::test]
async fn what_has_started_is_not_touched_by_a_freeze() {
    let world = World::start().await;
    let running = world.stage.started().await;
    // The intent is recorded and its call was told to wait: it goes on.
    let command = world.stage.dispatched().await;
    world.stage.rig.fault(Fault::RateLimited { after: Duration::from_secs(20) }).await;
    world.stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    world.note(&command.job, 7).await;
    world.stage.settle(&running).await;
    world.stage.settle(&command).await;
    for command in [&running, &command] {
        world.stage.expect(command, JobStatus::Queued, 1).await;
        assert!(!world.stage.facts(command).await.contains(&"held"));
    }
}

#[tokio::test]
async fn a_run_is_not_run_again_under_a_freeze() {
    let world = World::start().await;
    let command = world.stage.started().await;
    world.stage.record(&command.job, JobFact::ended(TerminalStatus::Failure, None, "")).await;
    let again = world.stage.dispatched_again(&command).await;
    assert!(again.rerun_of.as_ref().is_some_and(|run: &ExternalRef| run.attempt == 1));
    world.note(&command.job, 7).await;
    world.stage.settle(&again).await;
    let known = world.stage.known(&again).await;
    assert!(matches!(known.state.phase, Phase::Held { .. }), "{known:?}");
    assert_eq!(
        known.state.external.map(|run| run.attempt),
        Some(1),
        "its run is still known, to be run again"
    );
}

#[tokio::test]
async fn a_verification_and_another_workspace_know_no_freeze() {
    let world = World::start().await;
    let mut command = world.stage.dispatched().await;
    world.freezes.note(&"elsewhere".parse().unwrap(), 7).await.unwrap();
    world.stage.settle(&command).await;
    world.stage.expect(&command, JobStatus::Queued, 1).await;

    let (of, policy) = (JobId(Uuid::nil()), PolicyId(Uuid::nil()));
    command = world.stage.dispatched().await;
    command.job.purpose = Purpose::Verify { of, policy, rule_index: 0 };
    world.note(&command.job, 7).await;
    world.stage.settle(&command).await;
    world.stage.expect(&command, JobStatus::Queued, 1).await;
}
