//! What a watch says of a workflow, as signals.

use super::config::ArgoConfig;
use super::status::{self, Meaning};
use super::workflow::Workflow;
use super::{links, names};
use domain::job::{ExternalRef, Snapshot, SnapshotStatus, Source};
use domain::token::Slug;
use platform::{News, RunKey, Signal};

/// Where a config's workflows are, as it is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'c> {
    pub(super) platform: &'c Slug,
    pub(super) config: &'c ArgoConfig,
    pub(super) host: &'c str,
}

impl Scene<'_> {
    /// What names a workflow.
    pub(super) fn external(&self, workflow: &Workflow) -> ExternalRef {
        ExternalRef {
            platform: self.platform.clone(),
            host: self.host.to_owned(),
            scope: self.config.namespace.clone(),
            id: workflow.metadata.name.clone(),
            attempt: workflow.attempt(),
            url: self.config.ui.as_ref().map(|ui| links::page(ui, workflow)),
        }
    }

    /// How a workflow stands; `None` in words we do not know.
    pub(super) fn look(&self, workflow: &Workflow, source: Source) -> Option<Snapshot<SnapshotStatus>> {
        match status::meaning(workflow) {
            Meaning::Plain(plain) => {
                let (ui, external) = (self.config.ui.as_ref(), Some(self.external(workflow)));
                Some(status::snapshot(workflow, plain, source, ui, external))
            }
            Meaning::Unknown => None,
        }
    }

    /// What a watch says of a workflow; nothing where it is not one of ours. One whose object is gone before its end was seen, or
    /// that uses words we do not know, is to be looked at.
    fn signal(&self, workflow: &Workflow, deleted: bool) -> Option<Signal> {
        let job = workflow.job().filter(|job| names::of_job(*job) == workflow.metadata.name)?;
        let run = RunKey {
            host: self.host.to_owned(),
            scope: self.config.namespace.clone(),
            id: workflow.metadata.name.clone(),
        };
        let told = self.look(workflow, Source::Webhook);
        // The last sight of one that was over tells how it ended.
        let told = told.filter(|told| !deleted || matches!(told.status, SnapshotStatus::Terminal(_)));
        Some(Signal { run, job: Some(job), snapshot: told })
    }
}

/// Tells what a watch sees.
#[derive(Debug)]
pub(super) struct Teller<'c> {
    pub(super) scene: Scene<'c>,
    pub(super) news: &'c mut News,
}

impl Teller<'_> {
    /// Tells how a workflow is now, or that its object is gone.
    pub(super) async fn tell(&mut self, workflow: &Workflow, deleted: bool) {
        if let Some(signal) = self.scene.signal(workflow, deleted) {
            self.news.tell(signal).await;
        }
    }
}
