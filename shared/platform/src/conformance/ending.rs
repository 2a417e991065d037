//! Ending: a wish to end is carried out once, wherever the job stands.

use super::rig::{Rig, RunIs};
use super::stage::Stage;
use crate::config::of_workspace;
use crate::platform::{Platform, TriggerRequest};
use domain::job::{JobFact, JobStatus, Phase, Reason};

pub(super) async fn a_job_that_was_not_started_ends_without_a_call<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.cancel(&command).await;
    stage.expect(&command, JobStatus::Cancelled, 0).await;
    stage.settle(&command).await;
    stage.expect(&command, JobStatus::Cancelled, 0).await;
}

pub(super) async fn a_running_job_is_cancelled_and_ends_when_the_platform_says_so<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::InProgress).await;
    stage.look(&command).await;
    stage.cancel(&command).await;
    let known = stage.pass_on_the_wish(&command).await;
    let facts = stage.facts(&command).await;
    let asked = facts.iter().filter(|fact| **fact == "cancelSent").count();
    assert_eq!(asked, 1, "a wish that is heard of twice is one wish: {facts:?}");
    if matches!(known.state.phase, Phase::Cancelling(_)) {
        stage.rig.set(command.job.id, RunIs::Cancelled).await;
        stage.look(&command).await;
    }
    stage.expect(&command, JobStatus::Cancelled, 1).await;
    assert_eq!(stage.known(&command).await.state.reason, Some(Reason::CancelledByUser));
}

pub(super) async fn the_cancellation_of_a_finished_run_tells_how_it_ended<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::Successful).await;
    stage.cancel(&command).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
}

pub(super) async fn a_run_that_nobody_recorded_is_found_and_cancelled<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let platform = stage.rig.platform();
    let config = of_workspace(command.config.clone(), &command.job.workspace);
    platform.ready(&config).await.expect("nothing limits the first call");
    let request = TriggerRequest { job: command.job.id, config: &config };
    platform.trigger(&request).await.expect("nothing is wrong");
    let known = stage.cancel(&command).await;
    assert!(known.state.external.is_some(), "the run was found: {known:?}");
    let facts = stage.facts(&command).await;
    assert!(facts.contains(&"cancelSent") || known.state.is_finished(), "{facts:?}");
    if matches!(known.state.phase, Phase::Cancelling(_)) {
        stage.rig.set(command.job.id, RunIs::Cancelled).await;
        stage.look(&command).await;
    }
    stage.expect(&command, JobStatus::Cancelled, 1).await;
}
