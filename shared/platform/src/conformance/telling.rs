//! Telling: webhooks are news only when they are new, and only where they belong. A platform without webhooks has nothing
//! to hold here.

use super::rig::{Rig, RunIs, Webhook};
use super::stage::Stage;
use crate::config::of_workspace;
use crate::platform::{Platform, TriggerRequest};
use domain::job::{JobFact, JobStatus};
use domain::token::Slug;

pub(super) async fn a_webhook_is_news<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    for (run, status) in
        [(RunIs::InProgress, JobStatus::InProgress), (RunIs::Successful, JobStatus::Successful)]
    {
        stage.rig.set(command.job.id, run).await;
        let Some(webhook) = stage.webhook(&command).await else { return };
        stage.tell(&webhook).await;
        stage.expect(&command, status, 1).await;
        let once = stage.known(&command).await.sequence;
        stage.tell(&webhook).await;
        assert_eq!(stage.known(&command).await.sequence, once, "a repeated webhook is no news");
    }
}

pub(super) async fn a_late_webhook_does_not_change_a_finished_job<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    stage.rig.set(command.job.id, RunIs::InProgress).await;
    let Some(late) = stage.webhook(&command).await else { return };
    stage.rig.set(command.job.id, RunIs::Successful).await;
    let over = stage.look(&command).await;
    assert_eq!(over.state.status(), JobStatus::Successful);
    stage.tell(&late).await;
    assert_eq!(stage.known(&command).await.sequence, over.sequence, "nothing was recorded");
}

pub(super) async fn a_webhook_of_another_workspace_changes_nothing<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    let before = stage.known(&command).await.sequence;
    for run in [RunIs::InProgress, RunIs::Successful] {
        stage.rig.set(command.job.id, run).await;
        let Some(webhook) = stage.webhook(&command).await else { return };
        stage.tell_in(&Slug::of_name("somebody-else"), &webhook).await;
        assert_eq!(stage.known(&command).await.sequence, before);
    }
}

pub(super) async fn a_webhook_that_a_source_of_another_kind_let_in_changes_nothing<R: Rig>(stage: &Stage<R>) {
    let command = stage.started().await;
    let before = stage.known(&command).await.sequence;
    stage.rig.set(command.job.id, RunIs::Successful).await;
    let Some(webhook) = stage.webhook(&command).await else { return };
    for kind in ["hmac", "token", "cloudevents"] {
        stage.tell(&Webhook { source_kind: Slug::of_name(kind), ..webhook.clone() }).await;
        assert_eq!(stage.known(&command).await.sequence, before, "let in by a source of the kind {kind}");
    }
}

pub(super) async fn a_webhook_faster_than_our_own_record_leads_to_one_run<R: Rig>(stage: &Stage<R>) {
    let command = stage.dispatched().await;
    stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    let platform = stage.rig.platform();
    let config = of_workspace(command.config.clone(), &command.job.workspace);
    platform.ready(&config).await.expect("nothing limits the first call");
    let request = TriggerRequest { job: command.job.id, config: &config };
    platform.trigger(&request).await.expect("nothing is wrong");
    stage.rig.set(command.job.id, RunIs::Successful).await;
    if let Some(webhook) = stage.webhook(&command).await {
        stage.tell(&webhook).await;
    }
    stage.settle(&command).await;
    stage.expect(&command, JobStatus::Successful, 1).await;
    let facts = stage.facts(&command).await;
    assert_eq!(facts.iter().filter(|fact| **fact == "triggered").count(), 1, "{facts:?}");
}
