//! The slow, regular look at all slots: at the start, after a change of an agent's limit, and every now and then.

use crate::handler::Dispatcher;
use bus::Failure;
use domain::id::{JobAgentId, JobId};
use domain::token::Slug;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Sweeps until the drain. A sweep that fails is tried again at the next tick: it only repairs.
pub(crate) async fn run(
    dispatcher: Arc<Dispatcher>,
    every: Duration,
    drain: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut agents = dispatcher.agents_changed.subscribe();
    loop {
        tokio::select! {
            () = drain.cancelled() => return Ok(()),
            _ = tick.tick() => {}
            changed = agents.changed() => if changed.is_err() { return Ok(()) },
        }
        dispatcher.sweep().await;
    }
}

impl Dispatcher {
    /// The slow, regular truth: slots of ended jobs are freed, whoever holds a slot is on his way, and whoever is frozen
    /// is so by right. What fails in one place keeps no other from it.
    async fn sweep(&self) {
        for workspace in self.workspaces() {
            if let Err(failure) = self.look_at_frozen(&workspace).await {
                warn!(%workspace, %failure, "the frozen jobs could not all be looked at");
            }
            for (agent, limit) in self.agents(&workspace) {
                if let Err(failure) = self.look_over(&workspace, agent, limit).await {
                    warn!(%workspace, %agent, %failure, "the slots could not be looked over");
                }
            }
        }
    }

    async fn look_over(
        &self,
        workspace: &Slug,
        agent: JobAgentId,
        limit: Option<usize>,
    ) -> Result<(), Failure> {
        let slots = self.queue.read(workspace, agent).await?;
        if slots.held.is_empty() && slots.waiting.is_empty() {
            return Ok(());
        }
        let mut over = Vec::new();
        for slot in slots.held.iter().chain(&slots.waiting) {
            match self.is_over(workspace, slot.job).await {
                Ok(true) => over.push(slot.job),
                Ok(false) => {}
                // It keeps its slot: it may be running.
                Err(failure) => warn!(job = %slot.job, %failure, "a job with a slot could not be looked at"),
            }
        }
        self.queue.release(workspace, agent, &over, limit).await?;
        for slot in self.queue.read(workspace, agent).await?.held {
            if let Err(failure) = self.see_to_all(workspace, vec![slot.job]).await {
                warn!(job = %slot.job, %failure, "a job that got a slot could not be seen to");
            }
        }
        Ok(())
    }

    async fn is_over(&self, workspace: &Slug, job: JobId) -> Result<bool, Failure> {
        let known = self.bus.jobs().load(workspace, job).await?;
        Ok(known.is_none_or(|known| known.state.is_finished()))
    }
}
