//! What the dispatcher makes of each fact: requested jobs go out, wishes to end are passed on, ended jobs free their slots.

use crate::freeze::{Look, Seen, look};
use crate::frozen::FrozenJobs;
use crate::queue::Queue;
use crate::thaw::Changed;
use bus::catalog::CatalogFold;
use bus::clock::Clock;
use bus::{Base, Bus, Delivery, Failure, Freezes, Handler, Json, Known, Recorded, crash_point};
use domain::Timestamp;
use domain::catalog::Applied;
use domain::command::{AgentCommand, Verb};
use domain::entity::{JobAgent, Kind, Record};
use domain::id::{JobAgentId, JobId};
use domain::job::{
    Dispatch, ExternalRef, HeldWhy, JobEvent, JobFact, JobRef, Phase, Purpose, TerminalStatus,
};
use domain::slots::Asked;
use domain::subject;
use domain::token::Slug;
use std::collections::{BTreeSet, VecDeque};
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
    pub(crate) frozen: FrozenJobs,
    pub(crate) freezes: Freezes,
    /// Where a freeze came or went.
    pub(crate) freezes_changed: Changed,
    /// Counts changes of job agents: a limit may have changed.
    pub(crate) agents_changed: watch::Sender<u64>,
    /// By which freezes begin and end.
    pub(crate) clock: Clock,
}

#[async_trait::async_trait]
impl Handler for Dispatcher {
    type Event = Json<JobEvent>;

    async fn handle(&self, Json(event): Json<JobEvent>, delivery: &Delivery) -> Result<(), Failure> {
        let job = &event.job;
        match &event.fact {
            JobFact::Requested { catalog_revision, .. } => {
                self.see_catalog(*catalog_revision).await?;
                // The hot path does not read. A repeated delivery does: the job may be long past this.
                if delivery.attempt > 1 {
                    return self.dispatch_if_due(job).await;
                }
                let got = self.dispatch(job, Base::After(delivery.sequence), None, Some(event.at)).await?;
                self.see_to_all(&job.workspace, got).await
            }
            JobFact::RetryRequested { .. } => self.dispatch_if_due(job).await,
            JobFact::CancelRequested { .. } => self.cancel(job, delivery.sequence).await,
            JobFact::Finished(_) => self.free(job, delivery).await,
            // An agent saw that a freeze came or went since the dispatch: it is looked at here.
            JobFact::Held { why: HeldWhy::Freeze { freeze: None, .. } } => self.dispatch_if_due(job).await,
            JobFact::Held { why: HeldWhy::Concurrency { .. } | HeldWhy::Freeze { .. } }
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
    /// Notes what a change of the catalog asks to be looked at.
    pub(crate) fn noticed(&self, applied: &Applied) {
        match &applied.key {
            Some(key) if key.kind == Kind::JobAgent => {
                self.agents_changed.send_modify(|changes| *changes += 1)
            }
            Some(key) if key.kind == Kind::Freeze => self.freezes_changed.put(key.workspace.clone()),
            Some(_) | None => {}
        }
    }

    pub(crate) async fn see_catalog(&self, revision: u64) -> Result<(), Failure> {
        if self.catalog.wait_for(revision, CATALOG_WAIT).await {
            return Ok(());
        }
        Err(Failure::Later {
            after: Duration::from_secs(1),
            why: format!("the catalog has not reached revision {revision} here"),
        })
    }

    /// Chooses the agent, renders its config, takes a slot, records the dispatch and sends the command. Answers who got a
    /// slot by that: somebody must see to them. `asked_at`: when the gates let the job go, where its config is made only now.
    async fn dispatch(
        &self,
        job: &JobRef,
        base: Base,
        rerun_of: Option<ExternalRef>,
        asked_at: Option<Timestamp>,
    ) -> Result<Vec<JobId>, Failure> {
        let changed_at = self.see_freezes(job).await?;
        // One instant for everything that is asked of the job here.
        let now = self.clock.now();
        let Chosen { dispatch, limit, freezes } = match self.choose(job, asked_at, now) {
            Ok(chosen) => chosen,
            Err(refusal) => {
                let fact = JobFact::ended(refusal.status, refusal.reason, refusal.message);
                crash_point("dispatcher.refused.before");
                let recorded = self.bus.jobs().record(job, fact, base, None).await?;
                crash_point("dispatcher.refused.after");
                note(job, "finished: it cannot be dispatched", &recorded);
                return Ok(Vec::new());
            }
        };
        if let Some(why) = freezes.held {
            return self.freeze(job, base, why, now).await;
        }
        let agent = dispatch.agent;
        if let Some(limit) = limit
            && let Asked::Waits { ahead } = self.queue.ask(&job.workspace, agent, job.id, limit, now).await?
        {
            let why = HeldWhy::Concurrency { agent, limit: count(limit), ahead };
            return self.hold(job, base, agent, why).await;
        }
        self.send(job, dispatch, base, rerun_of, Seen { changed_at, begins_at: freezes.begins_at }).await
    }

    fn choose(
        &self,
        job: &JobRef,
        asked_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Chosen, domain::dispatch::Undispatchable> {
        let catalog = self.catalog.read();
        let workspace = catalog
            .workspace(&job.workspace)
            .ok_or_else(|| domain::dispatch::Undispatchable::no_workspace(&job.workspace))?;
        if let Some(asked_at) = asked_at {
            domain::dispatch::as_asked_for(workspace, job, asked_at)?;
        }
        let dispatch = domain::dispatch::dispatch(workspace, job)?;
        // A verification is run by the system itself: it is no agent of the catalog's, and takes no slot.
        let limit = match job.purpose {
            Purpose::Deploy | Purpose::Workflow { .. } => {
                workspace.job_agent(dispatch.agent).and_then(limit_of)
            }
            Purpose::Verify { .. } => None,
        };
        Ok(Chosen { limit, dispatch, freezes: look(workspace, job, now) })
    }

    async fn hold(
        &self,
        job: &JobRef,
        base: Base,
        agent: JobAgentId,
        why: HeldWhy,
    ) -> Result<Vec<JobId>, Failure> {
        crash_point("dispatcher.held.before");
        let recorded = self.bus.jobs().record(job, JobFact::Held { why }, base, None).await?;
        crash_point("dispatcher.held.after");
        note(job, "held: no slot is free", &recorded);
        // A slot may have been given to it between asking and recording, when nobody could see it held.
        let got = self.queue.read(&job.workspace, agent).await?.holds(job.id);
        Ok(if got { vec![job.id] } else { Vec::new() })
    }

    async fn send(
        &self,
        job: &JobRef,
        dispatch: Dispatch,
        base: Base,
        rerun_of: Option<ExternalRef>,
        seen: Seen,
    ) -> Result<Vec<JobId>, Failure> {
        crash_point("dispatcher.dispatched.before");
        let recorded = self.bus.jobs().record(job, JobFact::Dispatched(dispatch.clone()), base, None).await?;
        crash_point("dispatcher.dispatched.after");
        note(job, "dispatched", &recorded);
        match recorded {
            Recorded::Appended { sequence } => {
                self.command(job, dispatch, Verb::Trigger, sequence, rerun_of, seen).await?;
                Ok(Vec::new())
            }
            Recorded::AlreadySo(known) => match (known.state.phase, known.state.assigned) {
                // We, or a replica, died between the record and the command.
                (Phase::Dispatched, Some(assigned)) => {
                    let rerun_of = known.state.external;
                    let sequence = known.sequence;
                    self.command(job, assigned.dispatch, Verb::Trigger, sequence, rerun_of, seen).await?;
                    Ok(Vec::new())
                }
                _ => Ok(Vec::new()),
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
        seen: Seen,
    ) -> Result<(), Failure> {
        let command = AgentCommand {
            verb,
            job: job.clone(),
            agent: dispatch.agent,
            platform: dispatch.platform,
            config: dispatch.config,
            secrets: dispatch.secrets,
            freezes_seen: seen.changed_at,
            freeze_begins_at: seen.begins_at,
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
                let got = self.dispatch_known(known).await?;
                self.see_to_all(&job.workspace, got).await
            }
            Phase::Triggering { .. }
            | Phase::Unknown { .. }
            | Phase::Running { .. }
            | Phase::Cancelling(_)
            | Phase::Finished { .. } => Ok(()),
        }
    }

    pub(crate) async fn dispatch_known(&self, known: Known) -> Result<Vec<JobId>, Failure> {
        let job = known.state.job.clone();
        let rerun_of = known.state.external.clone();
        // What was dispatched has its config already.
        let asked_at = (known.state.phase != Phase::Dispatched).then_some(known.state.created_at);
        self.dispatch(&job, Base::Known(Box::new(known)), rerun_of, asked_at).await
    }

    /// Passes a wish to end on to the agent; ends the job itself where no agent can have called a platform.
    /// One command per wish, however often it is heard of.
    async fn cancel(&self, job: &JobRef, wish: u64) -> Result<(), Failure> {
        let known = self.known(job).await?;
        let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
        match (cancelling.fence, &known.state.assigned) {
            (Some(_), Some(assigned)) => {
                let dispatch = assigned.dispatch.clone();
                self.command(job, dispatch, Verb::Cancel, wish, None, Seen::default()).await
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

    /// Gives back the slot of a job that took one too late, unless the job is on its way all the same. Answers who got it.
    pub(crate) async fn give_back(&self, job: &JobRef) -> Result<Vec<JobId>, Failure> {
        if !self.known(job).await?.state.is_finished() {
            return Ok(Vec::new());
        }
        self.release(job).await
    }

    /// Gives back whatever slot the job holds or waits for. Answers who got one by that.
    pub(crate) async fn release(&self, job: &JobRef) -> Result<Vec<JobId>, Failure> {
        let mut promoted = Vec::new();
        for (agent, limit) in self.limited_agents(&job.workspace) {
            if self.queue.read(&job.workspace, agent).await?.knows(job.id) {
                promoted.extend(self.queue.release(&job.workspace, agent, &[job.id], limit).await?);
            }
        }
        Ok(promoted)
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
            self.see_to_all(&job.workspace, promoted).await?;
        }
        Ok(())
    }

    /// Every workspace.
    pub(crate) fn workspaces(&self) -> BTreeSet<Slug> {
        self.catalog.read().workspaces().map(|workspace| workspace.slug().clone()).collect()
    }

    pub(crate) fn agents(&self, workspace: &Slug) -> Vec<(JobAgentId, Option<usize>)> {
        let catalog = self.catalog.read();
        let Some(workspace) = catalog.workspace(workspace) else { return Vec::new() };
        workspace.job_agents().map(|agent| (JobAgentId(agent.meta.id), limit_of(agent))).collect()
    }

    fn limited_agents(&self, workspace: &Slug) -> Vec<(JobAgentId, Option<usize>)> {
        self.agents(workspace).into_iter().filter(|(_, limit)| limit.is_some()).collect()
    }

    /// Sees to those who got a slot, and to those who get one by that: a job that may not use its slot gives it back.
    pub(crate) async fn see_to_all(&self, workspace: &Slug, got: Vec<JobId>) -> Result<(), Failure> {
        let mut next = VecDeque::from(got);
        while let Some(id) = next.pop_front() {
            next.extend(self.see_to(workspace, id).await?);
        }
        Ok(())
    }

    /// Dispatches a job that was held and need not be any more.
    async fn see_to(&self, workspace: &Slug, id: JobId) -> Result<Vec<JobId>, Failure> {
        let Some(known) = self.bus.jobs().load(workspace, id).await? else {
            warn!(job = %id, "a slot is held by a job without a history");
            return Ok(Vec::new());
        };
        if !matches!(known.state.phase, Phase::Held { .. }) {
            return Ok(Vec::new());
        }
        info!(job = %id, "its time has come");
        self.dispatch_known(known).await
    }

    async fn known(&self, job: &JobRef) -> Result<Known, Failure> {
        let known = self.bus.jobs().load(&job.workspace, job.id).await?;
        known.ok_or_else(|| Failure::Reject(format!("job {} has no history", job.id)))
    }
}

/// Who runs a job, and what keeps it from running.
struct Chosen {
    dispatch: Dispatch,
    limit: Option<usize>,
    freezes: Look,
}

fn limit_of(agent: &Record<JobAgent>) -> Option<usize> {
    agent.spec.max_concurrent.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(crate) fn note(job: &JobRef, what: &'static str, recorded: &Recorded) {
    match recorded {
        Recorded::Appended { sequence } => {
            info!(workspace = %job.workspace, job = %job.id, sequence, "{what}")
        }
        Recorded::AlreadySo(_) => debug!(job = %job.id, "already so: {what}"),
        Recorded::Refused(refusal, _) => debug!(job = %job.id, %refusal, "refused: {what}"),
    }
}
