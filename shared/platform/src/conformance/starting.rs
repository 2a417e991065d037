//! Starting: one run per job, whatever goes wrong.

use super::rig::{Fault, Rig, RunIs};
use super::stage::Stage;
use crate::config::of_workspace;
use crate::platform::{Platform, TriggerRequest};
use domain::command::AgentCommand;
use domain::job::{JobFact, JobStatus, Phase};
use std::time::Duration;

/// How long a platform may go on with a request that nobody waits for any more: a minute is the usual end of one.
const WORKS_ON_FOR: Duration = Duration::from_secs(55);

pub(super) async fn a_job_is_started_once_however_often_it_is_asked_for<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    for _ in 0..3 {
        stage.settle(&command).await;
    }
    stage.expect(&command, JobStatus::Queued, 1).await;
    stage.rig.set(command.job.id, RunIs::Successful).await;
    stage.look(&command).await;
    stage.settle(&command).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
}

pub(super) async fn a_crash_before_the_call_leads_to_one_run<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let settled = stage.settle(&command).await;
    assert!(!settled.put_off.is_empty(), "the call may be under way elsewhere: nobody repeats it at once");
    stage.expect(&command, JobStatus::Queued, 1).await;
}

pub(super) async fn a_crash_after_the_call_leads_to_one_run<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let platform = stage.rig.platform();
    let config = of_workspace(command.config.clone(), &command.job.workspace);
    platform.ready(&config).await.expect("nothing limits the first call");
    let request = TriggerRequest { job: command.job.id, config: &config };
    platform.trigger(&request).await.expect("nothing is wrong");
    let settled = stage.settle(&command).await;
    assert_eq!(settled.retries, 0, "finding a run is no failure");
    let known = stage.known(&command).await;
    assert!(matches!(known.state.phase, Phase::Running { .. }), "{known:?}");
    assert_eq!(stage.rig.runs(command.job.id).await, 1);
}

pub(super) async fn an_answer_that_was_lost_is_looked_up_and_not_asked_for_again<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.rig.fault(Fault::AnswerLost).await;
    let settled = stage.settle(&command).await;
    assert_eq!(settled.retries, 0, "an unknown outcome is no failure");
    let facts = stage.facts(&command).await;
    assert_eq!(facts.iter().filter(|fact| **fact == "triggerStarted").count(), 1, "{facts:?}");
    let known = stage.known(&command).await;
    assert!(known.state.external.is_some(), "{known:?}");
    assert_eq!(stage.rig.runs(command.job.id).await, 1);
}

pub(super) async fn an_effect_that_comes_after_the_call_was_given_up_leads_to_one_run<R: Rig>(
    stage: &Stage<R>,
) {
    let command = stage.dispatched().await;
    if !stage.rig.cut_off().await {
        return;
    }
    let settled = stage.settle_late(&command, WORKS_ON_FOR).await;
    stage.rig.let_it_happen().await;
    assert_eq!(settled.retries, 0, "an unknown outcome is no failure");
    assert_eq!(stage.rig.runs(command.job.id).await, 1, "put off {:?}", settled.put_off);
    let known = stage.known(&command).await;
    assert!(known.state.external.is_some(), "{known:?}");
}

pub(super) async fn a_rate_limit_is_waited_out_and_costs_no_attempt<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    let after = Duration::from_secs(70);
    stage.rig.fault(Fault::RateLimited { after }).await;
    let settled = stage.settle(&command).await;
    assert_eq!(settled.retries, 0, "waiting is no failure");
    let waited: Duration = settled.put_off.iter().sum();
    // Whole seconds travel in the header, and the answer takes a moment.
    assert!(waited + Duration::from_secs(2) >= after, "waited {waited:?} of {after:?}");
    assert!(settled.put_off.len() <= 4, "it waits, it does not knock: {:?}", settled.put_off);
    stage.expect(&command, JobStatus::Queued, 1).await;
}

pub(super) async fn a_refused_credential_ends_the_job_and_says_so<R: Rig>(stage: &Stage<R>) {
    refused(stage, Fault::Unauthorized, JobStatus::InvalidIntegration).await;
}

pub(super) async fn a_refused_request_ends_the_job_and_says_so<R: Rig>(stage: &Stage<R>) {
    refused(stage, Fault::Invalid, JobStatus::InvalidJobAgent).await;
}

async fn refused<R: Rig>(stage: &Stage<R>, fault: Fault, status: JobStatus) {
    stage.rig.fault(fault).await;
    let command = stage.dispatched().await;
    let settled = stage.settle(&command).await;
    assert_eq!(settled.retries, 0, "what can never succeed is not tried again");
    stage.expect(&command, status, 0).await;
    let message = stage.known(&command).await.state.message.unwrap_or_default();
    let words = stage.rig.says(fault);
    assert!(message.contains(words), "it says why, in the platform's words {words:?}: {message:?}");
    stage.rig.heal().await;
    stage.settle(&command).await;
    stage.expect(&command, status, 0).await;
}

pub(super) async fn a_retry_after_a_refusal_whose_answer_was_lost_leads_to_one_run<R: Rig>(stage: &Stage<R>) {
    for refusal in [Fault::Unauthorized, Fault::Invalid] {
        stage.rig.fault(refusal).await;
        let command = stage.dispatched().await;
        stage.settle(&command).await;
        assert!(stage.known(&command).await.state.is_finished(), "{refusal:?} ends the job");
        stage.rig.heal().await;
        let again = stage.dispatched_again(&command).await;
        stage.rig.fault(Fault::AnswerLost).await;
        stage.settle(&again).await;
        let known = stage.known(&again).await;
        assert!(
            known.state.external.is_some(),
            "what a try of the last dispatch did says nothing: {known:?}"
        );
        assert_eq!(stage.rig.runs(again.job.id).await, 1, "{refusal:?}");
    }
}

pub(super) async fn a_finished_job_runs_again_as_the_next_attempt_of_its_run<R: Rig>(stage: &Stage<R>) {
    let again = finished_and_dispatched_again(stage).await;
    stage.settle(&again).await;
    stage.settle(&again).await;
    second_attempt(stage, &again).await;
}

pub(super) async fn a_repeat_whose_answer_was_lost_is_not_asked_for_again<R: Rig>(stage: &Stage<R>) {
    let again = finished_and_dispatched_again(stage).await;
    stage.rig.fault(Fault::AnswerLost).await;
    let settled = stage.settle(&again).await;
    assert_eq!(settled.retries, 0, "an unknown outcome is no failure");
    second_attempt(stage, &again).await;
}

pub(super) async fn a_crash_before_a_repeat_does_not_take_the_old_attempt_for_the_new<R: Rig>(
    stage: &Stage<R>,
) {
    let again = finished_and_dispatched_again(stage).await;
    stage.record(&again.job, JobFact::TriggerStarted { fence: 1 }).await;
    stage.settle(&again).await;
    second_attempt(stage, &again).await;
}

async fn finished_and_dispatched_again<R: Rig>(stage: &Stage<R>) -> AgentCommand {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::Successful).await;
    let first = stage.look(&command).await;
    assert_eq!(first.state.status(), JobStatus::Successful);
    stage.dispatched_again(&command).await
}

async fn second_attempt<R: Rig>(stage: &Stage<R>, again: &AgentCommand) {
    if !stage.rig.runs_again() {
        stage.expect(again, JobStatus::InvalidJobAgent, 1).await;
        let message = stage.known(again).await.state.message.unwrap_or_default();
        assert!(message.contains("retr"), "it says that there are no retries: {message:?}");
        return;
    }
    stage.rig.set(again.job.id, RunIs::InProgress).await;
    let known = stage.look(again).await;
    assert_eq!(known.state.status(), JobStatus::InProgress, "{known:?}");
    let run = known.state.external.as_ref().expect("a run");
    assert_eq!(Some(&run.id), again.rerun_of.as_ref().map(|run| &run.id), "the same run");
    assert_eq!(run.attempt, 2, "repeated once");
    assert_eq!(stage.rig.runs(again.job.id).await, 1);
}
