//! What the dispatcher makes of each fact: requested jobs go out, wishes to end are passed on, ended jobs free their slots.

use crate::queue::Queue;
use crate::slots::Asked;
use bus::catalog::CatalogFold;
use bus::{Base, Bus, Delivery, Failure, Handler, Json, Known, Recorded, crash_point};
use domain::command::{AgentCommand, Verb};
use domain::entity::{JobAgent, Record};
use domain::id::{JobAgentId, JobId};
use domain::job::{
    Dispatch, ExternalRef, HeldWhy, JobEvent, JobFact, JobRef, Phase, Purpose, TerminalStatus,
};
use domain::subject;
use domain::token::Slug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How long a request may wait for this replica's catalog to catch up before it is tried again.
const CATALOG_WAIT: Duration = Duration::from_secs(5);

/// Works the facts of all jobs.
pub(crate) struct Dispatcher {
    pub(crate) bus: Bus,
    pub(crate) catalog: Arc<CatalogFold>,
    pub(crate) queue: Queue,
    /// Counts changes of job agents: a limit may have changed.
    pub(crate) agents_changed: watch::Sender<u64>,
}

#[async_trait::async_trait]
impl Handler for Dispatcher {
    type Event = Json<JobEvent>;

    async fn handle(&self, Json(event): Json<JobEvent>, delivery: &Delivery) -> Result<(), Failure> {
        let job = &event.job;
        match &event.fact {
            JobFact::Requested { catalog_revision } => {
                self.see_catalog(*catalog_revision).await?;
                // The hot path does not read. A repeated delivery does: the job may be long past this.
                if delivery.attempt > 1 {
                    return self.dispatch_if_due(job).await;
                }
                self.dispatch(job, Base::After(delivery.sequence), None).await
            }
            JobFact::RetryRequested { .. } => self.dispatch_if_due(job).await,
            JobFact::CancelRequested { .. } => self.cancel(job).await,
            JobFact::Finished(_) => self.free(job, delivery).await,
            JobFact::Held { .. }
            | JobFact::Dispatched(_)
            | JobFact::TriggerStarted { .. }
            | JobFact::Triggered { .. }
            | JobFact::TriggerUnknown { .. }
            | JobFact::Observed(_)
            | JobFact::CancelSent { .. } => Ok(()),
        }
    }
}

impl Dispatcher {
    async fn see_catalog(&self, revision: u64) -> Result<(), Failure> {
        if self.catalog.wait_for(revision, CATALOG_WAIT).await {
            return Ok(());
        }
        Err(Failure::Later {
            after: Duration::from_secs(1),
            why: format!("the catalog has not reached revision {revision} here"),
        })
    }

    /// Chooses the agent, renders its config, takes a slot, records the dispatch and sends the command.
    async fn dispatch(&self, job: &JobRef, base: Base, rerun_of: Option<ExternalRef>) -> Result<(), Failure> {
        let (dispatch, limit) = match self.choose(job) {
            Ok(chosen) => chosen,
            Err(refusal) => {
                let fact = JobFact::ended(refusal.status, refusal.reason, refusal.message);
                crash_point("dispatcher.refused.before");
                let recorded = self.bus.jobs().record(job, fact, base, None).await?;
                crash_point("dispatcher.refused.after");
                note(job, "finished: it cannot be dispatched", &recorded);
                return Ok(());
            }
        };
        let agent = dispatch.agent;
        if let Some(limit) = limit
            && let Asked::Waits { ahead } = self.queue.ask(&job.workspace, agent, job.id, limit).await?
        {
            let why = HeldWhy::Concurrency { agent, limit: count(limit), ahead };
            return self.hold(job, base, agent, why).await;
        }
        self.send(job, dispatch, base, rerun_of).await
    }

    fn choose(&self, job: &JobRef) -> Result<(Dispatch, Option<usize>), domain::dispatch::Undispatchable> {
        let catalog = self.catalog.read();
        let workspace = catalog
            .workspace(&job.workspace)
            .ok_or_else(|| domain::dispatch::Undispatchable::no_workspace(&job.workspace))?;
        let dispatch = domain::dispatch::dispatch(workspace, job)?;
        // A verification is run by the system itself: it is no agent of the catalog's, and takes no slot.
        let limit = match job.purpose {
            Purpose::Deploy => workspace.job_agent(dispatch.agent).and_then(limit_of),
            Purpose::Verify { .. } => None,
        };
        Ok((dispatch, limit))
    }

    async fn hold(&self, job: &JobRef, base: Base, agent: JobAgentId, why: HeldWhy) -> Result<(), Failure> {
        crash_point("dispatcher.held.before");
        let recorded = self.bus.jobs().record(job, JobFact::Held { why }, base, None).await?;
        crash_point("dispatcher.held.after");
        note(job, "held: no slot is free", &recorded);
        // A slot may have been given to it between asking and recording, when nobody could see it held.
        if self.queue.read(&job.workspace, agent).await?.holds(job.id) {
            self.see_to(&job.workspace, job.id).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        job: &JobRef,
        dispatch: Dispatch,
        base: Base,
        rerun_of: Option<ExternalRef>,
    ) -> Result<(), Failure> {
        crash_point("dispatcher.dispatched.before");
        let recorded = self.bus.jobs().record(job, JobFact::Dispatched(dispatch.clone()), base, None).await?;
        crash_point("dispatcher.dispatched.after");
        note(job, "dispatched", &recorded);
        match recorded {
            Recorded::Appended { sequence } => {
                self.command(job, dispatch, Verb::Trigger, sequence, rerun_of).await
            }
            Recorded::AlreadySo(known) => match (known.state.phase, known.state.assigned) {
                // We, or a replica, died between the record and the command.
                (Phase::Dispatched, Some(assigned)) => {
                    let rerun_of = known.state.external;
                    self.command(job, assigned.dispatch, Verb::Trigger, known.sequence, rerun_of).await
                }
                _ => Ok(()),
            },
            // Cancelled or finished meanwhile. That fact may have been worked before the slot was taken: give it back.
            Recorded::Refused(..) => self.give_back(job).await,
        }
    }

    async fn command(
        &self,
        job: &JobRef,
        dispatch: Dispatch,
        verb: Verb,
        after: u64,
        rerun_of: Option<ExternalRef>,
    ) -> Result<(), Failure> {
        let command = AgentCommand {
            verb,
            job: job.clone(),
            agent: dispatch.agent,
            platform: dispatch.platform,
            config: dispatch.config,
            secrets: dispatch.secrets,
            freezes_seen: 0,
            after,
            rerun_of,
            force: false,
        };
        let subject = subject::command(&command.platform, command.agent, verb, job.id);
        let id = format!("{}-{verb}-{after}", job.id);
        crash_point("dispatcher.command.before");
        self.bus.publish_json(subject, &command, Some(&id)).await?;
        crash_point("dispatcher.command.after");
        Ok(())
    }

    /// Dispatches the job if its history says that this is what comes next.
    async fn dispatch_if_due(&self, job: &JobRef) -> Result<(), Failure> {
        let known = self.known(job).await?;
        match &known.state.phase {
            Phase::Requested | Phase::Held { .. } | Phase::Dispatched => {
                let rerun_of = known.state.external.clone();
                self.dispatch(job, Base::Known(Box::new(known)), rerun_of).await
            }
            Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => Ok(()),
        }
    }

    /// Passes a wish to end on to the agent; ends the job itself where no agent can have called a platform.
    async fn cancel(&self, job: &JobRef) -> Result<(), Failure> {
        let known = self.known(job).await?;
        let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
        match (cancelling.fence, &known.state.assigned) {
            (Some(_), Some(assigned)) => {
                let dispatch = assigned.dispatch.clone();
                self.command(job, dispatch, Verb::Cancel, known.sequence, None).await
            }
            (None, _) | (Some(_), None) => {
                let fact = JobFact::ended(
                    TerminalStatus::Cancelled,
                    None,
                    "cancelled before it reached the platform",
                );
                crash_point("dispatcher.cancelled.before");
                let recorded = self.bus.jobs().record(job, fact, Base::Known(Box::new(known)), None).await?;
                crash_point("dispatcher.cancelled.after");
                note(job, "cancelled", &recorded);
                Ok(())
            }
        }
    }

    /// Gives back the slot of a job that took one too late, unless the job is on its way all the same.
    async fn give_back(&self, job: &JobRef) -> Result<(), Failure> {
        if !self.known(job).await?.state.is_finished() {
            return Ok(());
        }
        for (agent, limit) in self.limited_agents(&job.workspace) {
            for promoted in self.queue.release(&job.workspace, agent, &[job.id], limit).await? {
                self.see_to(&job.workspace, promoted).await?;
            }
        }
        Ok(())
    }

    /// Frees the slot of an ended job and dispatches those who got one by that.
    async fn free(&self, job: &JobRef, delivery: &Delivery) -> Result<(), Failure> {
        for (agent, limit) in self.limited_agents(&job.workspace) {
            let slots = self.queue.read(&job.workspace, agent).await?;
            let promoted = if slots.knows(job.id) {
                self.queue.release(&job.workspace, agent, &[job.id], limit).await?
            } else if delivery.attempt > 1 {
                // An earlier delivery may have died between the release and the dispatch of those it promoted.
                slots.held.iter().map(|slot| slot.job).collect()
            } else {
                continue;
            };
            for promoted in promoted {
                self.see_to(&job.workspace, promoted).await?;
            }
        }
        Ok(())
    }

    /// The slow, regular truth: slots of ended jobs are freed, and whoever holds a slot is on his way.
    pub(crate) async fn sweep(&self) -> Result<(), Failure> {
        let workspaces: Vec<Slug> = self.catalog.read().workspaces().map(|w| w.slug().clone()).collect();
        for workspace in workspaces {
            for (agent, limit) in self.agents(&workspace) {
                let slots = self.queue.read(&workspace, agent).await?;
                let mut over = Vec::new();
                for slot in slots.held.iter().chain(&slots.waiting) {
                    let known = self.bus.jobs().load(&workspace, slot.job).await?;
                    if known.is_none_or(|known| known.state.is_finished()) {
                        over.push(slot.job);
                    }
                }
                if slots.held.is_empty() && slots.waiting.is_empty() {
                    continue;
                }
                self.queue.release(&workspace, agent, &over, limit).await?;
                for slot in self.queue.read(&workspace, agent).await?.held {
                    self.see_to(&workspace, slot.job).await?;
                }
            }
        }
        Ok(())
    }

    fn agents(&self, workspace: &Slug) -> Vec<(JobAgentId, Option<usize>)> {
        let catalog = self.catalog.read();
        let Some(workspace) = catalog.workspace(workspace) else { return Vec::new() };
        workspace.job_agents().map(|agent| (JobAgentId(agent.meta.id), limit_of(agent))).collect()
    }

    fn limited_agents(&self, workspace: &Slug) -> Vec<(JobAgentId, Option<usize>)> {
        self.agents(workspace).into_iter().filter(|(_, limit)| limit.is_some()).collect()
    }

    /// Dispatches a job that holds a slot and was held without one.
    async fn see_to(&self, workspace: &Slug, id: JobId) -> Result<(), Failure> {
        let Some(known) = self.bus.jobs().load(workspace, id).await? else {
            warn!(job = %id, "a slot is held by a job without a history");
            return Ok(());
        };
        if !matches!(known.state.phase, Phase::Held { .. }) {
            return Ok(());
        }
        info!(job = %id, "a slot is free");
        let job = known.state.job.clone();
        let rerun_of = known.state.external.clone();
        Box::pin(self.dispatch(&job, Base::Known(Box::new(known)), rerun_of)).await
    }

    async fn known(&self, job: &JobRef) -> Result<Known, Failure> {
        let known = self.bus.jobs().load(&job.workspace, job.id).await?;
        known.ok_or_else(|| Failure::Reject(format!("job {} has no history", job.id)))
    }
}

fn limit_of(agent: &Record<JobAgent>) -> Option<usize> {
    agent.spec.max_concurrent.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn note(job: &JobRef, what: &'static str, recorded: &Recorded) {
    match recorded {
        Recorded::Appended { sequence } => {
            info!(workspace = %job.workspace, job = %job.id, sequence, "{what}")
        }
        Recorded::AlreadySo(_) => debug!(job = %job.id, "already so: {what}"),
        Recorded::Refused(refusal, _) => debug!(job = %job.id, %refusal, "refused: {what}"),
    }
}
