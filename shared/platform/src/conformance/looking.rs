//! Looking: a job is what its run is, as far as we can tell, and nothing worse.

use super::rig::{Fault, Rig, RunIs};
use super::stage::Stage;
use domain::job::JobStatus;
use std::time::Duration;

pub(super) async fn a_run_is_followed_to_its_end<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    for (run, status) in
        [(RunIs::InProgress, JobStatus::InProgress), (RunIs::Successful, JobStatus::Successful)]
    {
        stage.rig.set(command.job.id, run).await;
        stage.look(&command).await;
        stage.expect(&command, status, 1).await;
        let once = stage.known(&command).await.sequence;
        assert_eq!(stage.look(&command).await.sequence, once, "no news is not recorded");
    }
}

pub(super) async fn unknown_words_are_kept_and_change_nothing<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::InProgress).await;
    let before = stage.look(&command).await;
    stage.rig.set(command.job.id, RunIs::Unheard).await;
    let after = stage.look(&command).await;
    assert_eq!(after.state.status(), JobStatus::InProgress);
    assert!(after.state.raw.is_some() && after.state.raw != before.state.raw, "{after:?}");
    assert!(after.state.message.is_some(), "people are told");
    assert_eq!(stage.look(&command).await.sequence, after.sequence, "told once");
    stage.rig.set(command.job.id, RunIs::Successful).await;
    stage.look(&command).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
}

pub(super) async fn a_missing_run_is_believed_only_after_a_while<R: Rig>(stage: &Stage<R>) {
    let (command, long_known) = (stage.started().await, stage.started().await);
    stage.rig.set(command.job.id, RunIs::Deleted).await;
    let absent = stage.look(&command).await;
    assert!(!absent.state.is_finished(), "it may not show yet: {absent:?}");
    let message = absent.state.message.as_deref().unwrap_or_default();
    assert!(message.contains("does not know the run"), "people are told: {message:?}");
    stage.pass(Duration::from_secs(30));
    assert_eq!(stage.look(&command).await.sequence, absent.sequence, "told once");
    stage.pass(Duration::from_secs(31));
    let known = stage.look(&command).await;
    assert_eq!(known.state.status(), JobStatus::ExternalRunNotFound);
    let message = known.state.message.unwrap_or_default();
    assert!(message.contains("does not know the run any more"), "it says why: {message:?}");
    // However long a run has been known: one look in vain proves nothing.
    stage.rig.set(long_known.job.id, RunIs::Deleted).await;
    let absent = stage.look(&long_known).await;
    assert!(!absent.state.is_finished(), "{absent:?}");
}

pub(super) async fn a_lost_credential_does_not_end_a_running_job<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::InProgress).await;
    stage.look(&command).await;
    stage.rig.fault(Fault::Unauthorized).await;
    let known = stage.look(&command).await;
    assert_eq!(known.state.status(), JobStatus::InProgress);
    let (message, words) = (known.state.message.unwrap_or_default(), stage.rig.says(Fault::Unauthorized));
    assert!(message.contains(words), "people are told, in the platform's words {words:?}: {message:?}");
    stage.rig.heal().await;
    stage.rig.set(command.job.id, RunIs::Successful).await;
    stage.look(&command).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
}
