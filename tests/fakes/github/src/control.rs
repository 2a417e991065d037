//! What a test or demo does to a running fake: look, decide how runs end, break things, push.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use chrono::TimeDelta;
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Call;
use crate::hooks::{self, Delivery, Hook, HookBody};
use crate::limits::Limits;
use crate::model::{Conclusion, Run, Status};
use crate::options::Webhook;
use crate::payload;
use crate::script::{Ending, Script};
use crate::server::FakeGithub;
use crate::shared::State;
use misbehaviour::Fault;
use misbehaviour::{HookChaos, HookFault};

/// Looking.
impl FakeGithub {
    /// All runs, oldest first.
    pub fn runs(&self) -> Vec<Run> {
        self.shared.stage.lock().runs.values().map(|r| r.run.clone()).collect()
    }

    pub fn run(&self, run_id: u64) -> Option<Run> {
        self.shared.stage.lock().runs.get(&run_id).map(|r| r.run.clone())
    }

    /// Dispatches that started a run, ever; deleting a run does not change it.
    pub fn dispatch_count(&self) -> u64 {
        self.shared.stage.lock().dispatches
    }

    /// The last calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.stage.lock().calls.iter().cloned().collect()
    }

    /// The last delivery attempts, oldest first.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.stage.lock().deliveries.iter().cloned().collect()
    }

    /// Waits until at least `n` runs exist.
    ///
    /// # Errors
    /// They did not within `timeout`.
    pub async fn wait_for_runs(&self, n: usize, timeout: Duration) -> anyhow::Result<Vec<Run>> {
        let all = |state: &State| {
            (state.runs.len() >= n).then(|| state.runs.values().map(|r| r.run.clone()).collect())
        };
        let found = self.shared.stage.wait(timeout, all).await;
        found.with_context(|| {
            format!("waiting for {n} runs, there are {}", self.shared.stage.lock().runs.len())
        })
    }

    /// Waits until the run has this status.
    ///
    /// # Errors
    /// It did not get there within `timeout`.
    pub async fn wait_for_status(
        &self,
        run_id: u64,
        status: Status,
        timeout: Duration,
    ) -> anyhow::Result<Run> {
        let there = |state: &State| {
            let record = state.runs.get(&run_id)?;
            (record.run.status == status).then(|| record.run.clone())
        };
        let found = self.shared.stage.wait(timeout, there).await;
        found.with_context(|| format!("waiting for run {run_id} to be {}", status.as_str()))
    }

    /// Waits until a call satisfies `pick`.
    ///
    /// # Errors
    /// None did within `timeout`.
    pub async fn wait_for_call(
        &self,
        timeout: Duration,
        pick: impl Fn(&Call) -> bool,
    ) -> anyhow::Result<Call> {
        let found =
            self.shared.stage.wait(timeout, |state| state.calls.iter().find(|c| pick(c)).cloned()).await;
        found.context("no such call came")
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

/// Deciding how runs go.
impl FakeGithub {
    /// Completes a run now, whatever was planned. `false`: no such run.
    pub fn finish(&self, run_id: u64, conclusion: Conclusion) -> bool {
        self.shared.stage.change(|state| state.put(run_id, Status::Completed, Some(conclusion)))
    }

    /// Puts a run into a status without conclusion; what was planned for it is void. `false`: no such run.
    pub fn set_status(&self, run_id: u64, status: Status) -> bool {
        self.shared.stage.change(|state| state.put(run_id, status, None))
    }

    /// Completes every run that is held or waiting and not completed; how many.
    pub fn complete_held(&self, conclusion: &Conclusion) -> usize {
        self.shared.stage.change(|state| {
            let held =
                |ending: &Ending| matches!(ending, Ending::Hold | Ending::HoldQueued | Ending::AwaitApproval);
            let ids: Vec<u64> = state
                .runs
                .values()
                .filter(|r| held(&r.plan.ending) && !r.run.is_completed())
                .map(|r| r.run.id)
                .collect();
            for id in &ids {
                state.put(*id, Status::Completed, Some(conclusion.clone()));
            }
            ids.len()
        })
    }

    /// Approves the pending deployment of a waiting run. `false`: it was not waiting.
    pub fn approve(&self, run_id: u64) -> bool {
        self.shared.stage.change(|state| state.approve(run_id))
    }

    /// Removes a run, as retention or a person would. `false`: no such run.
    pub fn delete_run(&self, run_id: u64) -> bool {
        self.shared.stage.change(|state| state.runs.remove(&run_id).is_some())
    }

    /// Another script for runs dispatched or re-run from now on. `false`: no such workflow.
    pub fn set_script(&self, repo: &str, workflow: &str, script: Script) -> bool {
        self.shared.stage.change(|state| {
            let found = state.repos.get_mut(&repo.to_ascii_lowercase());
            let Some(Ok(found)) = found.map(|r| r.workflow(workflow)) else { return false };
            found.options.script = script;
            true
        })
    }
}

/// Breaking things.
impl FakeGithub {
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

    /// Other limits from now on; what was used stays used.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.stage.change(|state| state.meter.limits = limits);
    }

    /// Moves the fake's clock forward: tokens expire, rate-limit windows pass.
    pub fn advance_clock(&self, by: TimeDelta) {
        self.shared.stage.change(|state| state.ahead += by);
    }

    /// Every token minted so far answers 401 from now on.
    pub fn expire_tokens(&self) {
        self.shared.stage.change(|state| {
            let now = state.now();
            state.tokens.values_mut().for_each(|t| t.expires_at = now);
        });
    }

    /// The account's owner suspends the App's installation: its tokens and new mints answer 403.
    pub fn suspend_installation(&self, installation_id: u64) {
        self.shared.stage.change(|state| state.suspended.insert(installation_id));
    }

    pub fn unsuspend_installation(&self, installation_id: u64) {
        self.shared.stage.change(|state| state.suspended.remove(&installation_id));
    }
}

/// Sending webhooks.
impl FakeGithub {
    /// Where deliveries go from now on; `None` subscribes nobody.
    pub fn set_webhook(&self, webhook: Option<Webhook>) {
        self.shared.stage.change(|state| state.webhook = webhook.map(std::sync::Arc::new));
    }

    /// A push of one commit to `git_ref` (`refs/heads/main` or `main`); the delivery's GUID and the
    /// receiver's HTTP status (0: no answer).
    ///
    /// # Errors
    /// The repository is not known or has no workflow, or there is no webhook.
    pub async fn push(
        &self,
        repo: &str,
        git_ref: &str,
        sha: &str,
        message: &str,
    ) -> anyhow::Result<(String, u16)> {
        let full_ref =
            if git_ref.starts_with("refs/") { git_ref.to_owned() } else { format!("refs/heads/{git_ref}") };
        let payload = self.shared.stage.change(|state| {
            let now = state.now();
            let found = state.repos.get_mut(&repo.to_ascii_lowercase());
            let found = found.with_context(|| format!("the fake has no repository {repo}"))?;
            let short = crate::runs::short_ref(&full_ref).to_owned();
            let before = found.head(&short);
            found.heads.insert(short.clone(), sha.to_owned());
            if !found.refs.is_empty() && !found.refs.contains(&short) {
                found.refs.push(short);
            }
            let place = &found.workflows.first().context("the repository has no workflow")?.place;
            let base = &self.shared.base_url;
            anyhow::Ok(payload::push_event(base, place, &full_ref, (&before, sha), message, now))
        })?;
        self.send_event("push", &payload).await
    }

    /// Any event, signed; the delivery's GUID and the receiver's HTTP status (0: no answer).
    ///
    /// # Errors
    /// There is no webhook.
    pub async fn send_event(&self, event: &str, payload: &Value) -> anyhow::Result<(String, u16)> {
        anyhow::ensure!(self.shared.stage.lock().webhook.is_some(), "no webhook is set");
        let hook = Hook {
            guid: Uuid::new_v4().to_string(),
            event: event.to_owned(),
            action: payload["action"].as_str().map(str::to_owned),
            run_id: payload["workflow_run"]["id"].as_u64(),
            body: HookBody::Ready(Bytes::from(payload.to_string())),
            redelivery: false,
            copies: 1,
        };
        let status = hooks::send(&self.shared, &hook).await;
        Ok((hook.guid, status))
    }

    /// Sends a delivery again with its old GUID; the receiver's HTTP status (0: no answer).
    ///
    /// # Errors
    /// No delivery with this GUID is remembered.
    pub async fn redeliver(&self, guid: &str) -> anyhow::Result<u16> {
        let hook = {
            let state = self.shared.stage.lock();
            let found = state.deliveries.iter().rev().find(|d| d.guid == guid);
            Hook::again(found.with_context(|| format!("no delivery {guid}"))?)
        };
        Ok(hooks::send(&self.shared, &hook).await)
    }
}
