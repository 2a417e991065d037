//! What a test or demo does to a running fake: look, decide how pipelines end, break things, push.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use chrono::TimeDelta;
use uuid::Uuid;

use crate::gate::Call;
use crate::hooks::{self, Delivery, Hook as Outgoing};
use crate::model::Pipeline;
use crate::options::Hook;
use crate::payload;
use crate::script::Script;
use crate::server::FakeGitlab;
use crate::shared::State;
use misbehaviour::Fault;
use misbehaviour::{HookChaos, HookFault};

/// Looking.
impl FakeGitlab {
    /// All pipelines but children, oldest first.
    pub fn pipelines(&self) -> Vec<Pipeline> {
        let state = self.shared.stage.lock();
        let all = state.pipelines.values().map(|record| &record.pipeline);
        all.filter(|pipeline| pipeline.source != "parent_pipeline").cloned().collect()
    }

    pub fn pipeline(&self, id: u64) -> Option<Pipeline> {
        self.shared.stage.lock().pipelines.get(&id).map(|record| record.pipeline.clone())
    }

    /// Pipelines that were started by a call, ever; deleting one does not change it.
    pub fn start_count(&self) -> u64 {
        self.shared.stage.lock().starts
    }

    /// The last calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.stage.lock().calls.iter().cloned().collect()
    }

    /// The last delivery attempts, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.stage.lock().deliveries.iter().cloned().collect()
    }

    /// Waits until the pipeline has this status.
    ///
    /// # Errors
    /// It did not get there within `timeout`.
    pub async fn wait_for_status(
        &self,
        id: u64,
        status: &str,
        timeout: Duration,
    ) -> anyhow::Result<Pipeline> {
        let there = |state: &State| {
            let pipeline = &state.pipelines.get(&id)?.pipeline;
            (pipeline.status == status).then(|| pipeline.clone())
        };
        let found = self.shared.stage.wait(timeout, there).await;
        found.with_context(|| format!("waiting for pipeline {id} to be {status}"))
    }

    /// Waits until a delivery attempt satisfies `pick`.
    ///
    /// # Errors
    /// None did within `timeout`.
    pub async fn wait_for_delivery(
        &self,
        timeout: Duration,
        pick: impl Fn(&Delivery) -> bool,
    ) -> anyhow::Result<Delivery> {
        let found =
            self.shared.stage.wait(timeout, |state| state.deliveries.iter().find(|d| pick(d)).cloned()).await;
        found.context("no such delivery went out")
    }
}

/// Deciding how pipelines go.
impl FakeGitlab {
    /// Puts a pipeline and its jobs into a status; what was planned for it is void. `false`: no such pipeline.
    pub fn set_status(&self, id: u64, status: &str) -> bool {
        self.shared.stage.change(|state| state.put(id, status))
    }

    /// Fails these jobs for these reasons, and with them the pipeline. `false`: no such pipeline.
    pub fn fail_jobs(&self, id: u64, failing: &[(&str, &str)]) -> bool {
        self.shared.stage.change(|state| {
            let Some(record) = state.pipelines.get_mut(&id) else { return false };
            for job in record.pipeline.jobs.iter_mut().filter(|job| !job.retried) {
                if let Some((_, reason)) = failing.iter().find(|(name, _)| *name == job.name) {
                    job.status = "failed".to_owned();
                    job.failure_reason = Some((*reason).to_owned());
                }
            }
            state.put(id, "failed")
        })
    }

    /// Puts one job of a pipeline into a status, and nothing else. `false`: no such job.
    pub fn set_job(&self, id: u64, name: &str, status: &str) -> bool {
        self.shared.stage.change(|state| {
            let Some(record) = state.pipelines.get_mut(&id) else { return false };
            let mut jobs = record.pipeline.jobs.iter_mut();
            let Some(job) = jobs.find(|job| job.name == name && !job.retried) else { return false };
            job.status = status.to_owned();
            true
        })
    }

    /// A person retries what failed or was cancelled.
    pub fn retry(&self, id: u64) {
        self.shared.stage.change(|state| state.retry(id));
    }

    /// Removes a pipeline, as retention or a person would. `false`: no such pipeline.
    pub fn delete(&self, id: u64) -> bool {
        self.shared.stage.change(|state| state.pipelines.remove(&id).is_some())
    }

    /// Another script for pipelines started or retried from now on. `false`: no such project.
    pub fn set_script(&self, path: &str, script: Script) -> bool {
        self.shared.stage.change(|state| {
            let Some(project) = state.projects.values_mut().find(|project| project.path == path) else {
                return false;
            };
            project.script = script;
            true
        })
    }
}

/// Breaking things.
impl FakeGitlab {
    pub fn inject(&self, fault: Fault) {
        self.shared.stage.change(|state| state.faults.add(fault));
    }

    pub fn inject_hook(&self, fault: HookFault) {
        self.shared.stage.change(|state| state.hook_faults.add(fault));
    }

    /// Chances for deliveries to go wrong from now on.
    pub fn set_hook_chaos(&self, chaos: HookChaos) {
        self.shared.stage.change(|state| state.hook_faults.chaos = chaos);
    }

    /// Effects that are still to come after their calls were cut off come now; they are there when this returns.
    pub async fn hurry_late_effects(&self) {
        self.shared.late.hurry().await;
    }

    /// No more faults of any kind.
    pub fn clear_faults(&self) {
        self.shared.stage.change(|state| {
            state.faults.clear();
            state.hook_faults.clear();
        });
    }

    /// Moves the fake's clock forward: rate-limit windows pass, stamps are later.
    pub fn advance_clock(&self, by: TimeDelta) {
        self.shared.stage.change(|state| state.ahead += by);
    }
}

/// Sending webhooks.
impl FakeGitlab {
    /// Where deliveries go from now on; `None` subscribes nobody.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.shared.stage.change(|state| state.hook = hook.map(std::sync::Arc::new));
    }

    /// A push of one commit; the receiver's HTTP status (0: no answer).
    ///
    /// # Errors
    /// The project is not known, or there is no hook.
    pub async fn push(&self, path: &str, git_ref: &str, sha: &str) -> anyhow::Result<u16> {
        let payload = {
            let state = self.shared.stage.lock();
            anyhow::ensure!(state.hook.is_some(), "no hook is set");
            let project = state.projects.iter().find(|(_, project)| project.path == path);
            let (id, _) = project.with_context(|| format!("the fake has no project {path}"))?;
            payload::push_hook(&self.shared.base_url, (*id, path), git_ref, sha, "a change")
        };
        let hook = Outgoing {
            key: Uuid::new_v4().to_string(),
            event: "Push Hook".to_owned(),
            told: String::new(),
            pipeline_id: None,
            payload: Bytes::from(payload.to_string()),
            copies: 1,
        };
        Ok(hooks::send(&self.shared, &hook).await)
    }
}
