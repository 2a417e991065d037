//! The suite holds for a scripted platform in memory, on a real bus: one that names its runs and one that does not.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::job::{JobFact, JobStatus, Reason};
use platform::conformance::{Rig as _, RunIs, Stage, Webhook};
use platform::{Clock, Platform as _, TriggerRequest};
use scripted::{Answers, Scripted};
use servers::TestServers;
use std::time::Duration;

#[tokio::test]
async fn a_platform_that_names_its_runs_conforms() {
    let (_servers, bus) = bus().await;
    platform::conformance::all(&bus, async |clock| Scripted::new(clock, Answers::WithTheRun)).await;
}

#[tokio::test]
async fn a_platform_that_names_no_run_conforms() {
    let (_servers, bus) = bus().await;
    platform::conformance::all(&bus, async |clock| Scripted::new(clock, Answers::WithNothing)).await;
}

#[tokio::test]
async fn a_run_that_was_accepted_and_shows_late_is_waited_for_and_never_asked_for_again() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithNothing);
    stage.rig.hide_for(Duration::from_secs(120));
    let command = stage.dispatched().await;
    stage.settle(&command).await;
    let facts = stage.facts(&command).await;
    assert_eq!(facts.iter().filter(|fact| **fact == "triggerStarted").count(), 1, "{facts:?}");
    stage.expect(&command, JobStatus::Queued, 1).await;
    assert!(stage.known(&command).await.state.external.is_some());
}

#[tokio::test]
async fn a_run_that_never_shows_is_called_lost() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithNothing);
    stage.rig.hide_for(Duration::from_secs(86_400));
    let command = stage.dispatched().await;
    stage.settle(&command).await;
    stage.expect(&command, JobStatus::ExternalRunNotFound, 1).await;
    assert_eq!(stage.known(&command).await.state.reason, Some(Reason::Lost));
}

#[tokio::test]
async fn a_cancelled_job_whose_run_shows_late_is_waited_for() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    stage.rig.hide_for(Duration::from_secs(20));
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let request = TriggerRequest { job: command.job.id, config: &command.config };
    stage.rig.trigger(&request).await.expect("nothing is wrong");
    let known = stage.cancel(&command).await;
    assert!(known.state.external.is_some() && !known.state.is_finished(), "{known:?}");
    assert!(stage.facts(&command).await.contains(&"cancelSent"));
}

#[tokio::test]
async fn a_platform_that_cannot_be_reached_is_tried_ever_more_slowly() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    stage.rig.unreachable_for(4);
    let command = stage.dispatched().await;
    let settled = stage.settle(&command).await;
    assert_eq!((settled.retries, settled.put_off), (0, [1, 2, 4, 8].map(Duration::from_secs).to_vec()));
    stage.expect(&command, JobStatus::Queued, 1).await;
}

#[tokio::test]
async fn a_platform_that_cannot_be_reached_until_the_queue_deadline_ends_the_job() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    stage.rig.unreachable_for(u32::MAX);
    let command = stage.dispatched().await;
    stage.pass(Duration::from_secs(86_401));
    stage.settle(&command).await;
    stage.expect(&command, JobStatus::Failure, 0).await;
    assert_eq!(stage.known(&command).await.state.reason, Some(Reason::TimedOut));
}

#[tokio::test]
async fn what_stood_in_the_way_of_a_start_is_said_when_it_is_too_late() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    stage.rig.unreachable_for(u32::MAX);
    let command = stage.dispatched().await;
    let too_late = async {
        // The second try begins after the first one was put off.
        while stage.facts(&command).await.iter().filter(|fact| **fact == "triggerStarted").count() < 2 {
            tokio::task::yield_now().await;
        }
        stage.pass(Duration::from_secs(86_401));
    };
    tokio::join!(stage.settle(&command), too_late);
    stage.expect(&command, JobStatus::Failure, 0).await;
    let message = stage.known(&command).await.state.message.unwrap_or_default();
    assert!(message.contains("before its queue deadline passed; last: connection refused"), "{message}");
}

#[tokio::test]
async fn people_hear_why_it_cannot_be_looked_up_whether_a_run_was_started() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let unknown = JobFact::TriggerUnknown { fence: 1, message: "connection reset".to_owned() };
    stage.record(&command.job, unknown).await;
    stage.rig.unsearchable_for(60);
    stage.pass(Duration::from_secs(30));
    stage.settle(&command).await;
    let messages = stage.unknowns(&command).await;
    let told = messages.iter().filter(|message| message.contains("the search is too wide")).count();
    assert_eq!(told, 1, "said once while it stays so: {messages:?}");
    stage.expect(&command, JobStatus::Queued, 1).await;
}

#[tokio::test]
async fn a_run_that_shows_again_was_not_missing() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    let command = stage.started().await;
    stage.rig.vanish(command.job.id, true);
    stage.look(&command).await;
    stage.rig.vanish(command.job.id, false);
    assert_eq!(stage.look(&command).await.state.message, None, "it is there");
    stage.rig.vanish(command.job.id, true);
    stage.pass(Duration::from_secs(61));
    let known = stage.look(&command).await;
    assert!(!known.state.is_finished(), "this absence is another: {known:?}");
}

#[tokio::test]
async fn a_crowd_of_missing_runs_is_not_called_missing() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    let mut commands = Vec::new();
    for _ in 0..8 {
        commands.push(stage.started().await);
    }
    for command in &commands {
        stage.rig.vanish(command.job.id, true);
        stage.look(command).await;
    }
    let over = async || {
        let mut over = 0;
        for command in &commands {
            over += usize::from(stage.look(command).await.state.is_finished());
        }
        over
    };
    stage.pass(Duration::from_secs(61));
    assert_eq!(over().await, 5);
    assert_eq!(over().await, 5, "nor a moment later");
    for command in &commands {
        stage.rig.vanish(command.job.id, false);
    }
    stage.pass(Duration::from_secs(600));
    assert_eq!(over().await, 5, "the others were there all the time");
}

#[tokio::test]
async fn a_run_elsewhere_that_carries_a_job_s_id_does_not_become_its_run() {
    let (_servers, bus) = bus().await;
    let stage = stage(&bus, Answers::WithTheRun);
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let request = TriggerRequest { job: command.job.id, config: &command.config };
    stage.rig.trigger(&request).await.expect("nothing is wrong");
    stage.rig.set(command.job.id, RunIs::Successful).await;
    let webhook = stage.webhook(&command).await.expect("it has webhooks");
    let mut run: serde_json::Value = serde_json::from_slice(&webhook.payload).unwrap();
    run["elsewhere"] = true.into();
    let before = stage.known(&command).await.sequence;
    stage.tell(&Webhook { payload: run.to_string().into(), ..webhook.clone() }).await;
    assert_eq!(stage.known(&command).await.sequence, before, "anybody may name a run so");
    stage.tell(&webhook).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
}

fn stage(bus: &Bus, answers: Answers) -> Stage<Scripted> {
    let (clock, hand) = Clock::movable();
    Stage::new(bus, Scripted::new(clock.clone(), answers), clock, hand)
}

async fn bus() -> (TestServers, Bus) {
    let servers = TestServers::start().await;
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: "conformance".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    let bus = Bus::connect(&options).await.expect("the server runs");
    bus.ensure(&needs_of(Service::Admin)).await.expect("streams can be made");
    (servers, bus)
}
