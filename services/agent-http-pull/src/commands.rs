//! Commands: a dispatched job enters the queue, a look tells how it stands, a wish to end it reaches its puller.

use crate::desk::Desk;
use crate::effects::{CANCEL_SENT, CLOSED, QUEUED, WISHED};
use crate::facts::is_current;
use crate::record::{Record, Stage};
use crate::store::{Place, StoreError, Stored};
use async_trait::async_trait;
use bus::topology::HTTP_PULL;
use bus::{Base, Delivery, Failure, Handler, Json, Known};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::job::{JobFact, JobState, Phase, Reason, TerminalStatus};
use std::convert::Infallible;
use std::sync::Arc;

/// How long a job that is under way may be without a record before it counts as lost.
const WITHOUT_RECORD: TimeDelta = TimeDelta::minutes(5);

/// Works the commands.
pub(crate) struct Commands(pub(crate) Arc<Desk>);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::retry(error)
    }
}

#[async_trait]
impl Handler for Commands {
    type Event = Json<AgentCommand>;

    async fn handle(&self, Json(command): Json<AgentCommand>, delivery: &Delivery) -> Result<(), Failure> {
        if command.platform.as_str() != HTTP_PULL {
            return Err(Failure::Reject(format!("a command to {} came to {HTTP_PULL}", command.platform)));
        }
        let known = self.0.jobs.load(&command.job.workspace, command.job.id).await?;
        let known = known.filter(|known| known.sequence >= command.after).ok_or_else(|| {
            Failure::retry(format!("the history of job {} ends before this command", command.job.id))
        })?;
        let cause = Some(format!("{} {}", delivery.subject, delivery.sequence));
        let place = Place::of(&command);
        match command.verb {
            Verb::Trigger => self.0.queue(place, command, known).await,
            Verb::Observe => self.0.observe(place, known, cause).await,
            Verb::Cancel => self.0.cancel(place, known, command.force, cause).await,
        }
    }
}

impl Desk {
    /// Puts a dispatched job into its agent's queue. A command of an earlier dispatch is dropped.
    async fn queue(&self, place: Place, command: AgentCommand, known: Known) -> Result<(), Failure> {
        let before = self.store.load(&place).await?;
        if let Some(stored) = &before
            && stored.record.command.after >= command.after
            && stored.record.stage != Stage::Withdrawn
        {
            self.see(&place, stored);
            return Ok(());
        }
        let (Some(assigned), Some(dispatched_at)) = (&known.state.assigned, known.state.dispatched_at) else {
            return Ok(());
        };
        let dispatch = &assigned.dispatch;
        let queue = TimeDelta::seconds(dispatch.deadlines.queue_seconds.into());
        let record = Record::queue(
            before.as_ref().map(|stored| &stored.record),
            command,
            dispatch.agent_name.clone(),
            known.state.external_attempt,
            dispatched_at + queue,
            self.clock.now(),
        );
        if !is_current(&known, &record) {
            tracing::info!(job = %place.job, "a command of an earlier dispatch is dropped");
            return Ok(());
        }
        let over = before.map(|stored| stored.revision);
        let stored = self.store.write(QUEUED, &place, record, over).await?;
        tracing::info!(job = %place.job, agent = stored.record.agent_name, fence = stored.record.fence, "queued");
        self.see(&place, &stored);
        Ok(())
    }

    /// Tells how a job stands: what a crash left untold is told here.
    async fn observe(&self, place: Place, known: Known, cause: Option<String>) -> Result<(), Failure> {
        if let Some(stored) = self.store.load(&place).await?.filter(|stored| is_ours(&stored.record)) {
            self.see(&place, &stored);
            self.tell(&place, &stored, cause).await?;
            return Ok(());
        }
        if has_lost_its_record(&known.state, self.clock.now()) {
            let why = "the queue of its agent has no record of it: whoever claimed it cannot report any more";
            let fact = JobFact::ended(TerminalStatus::ExternalRunNotFound, Some(Reason::Lost), why);
            self.end(known, fact, cause).await?;
        }
        Ok(())
    }

    /// Ends a job that nobody has; the puller of any other is told with its next heartbeat. By force nobody is waited for.
    async fn cancel(
        &self,
        place: Place,
        known: Known,
        force: bool,
        cause: Option<String>,
    ) -> Result<(), Failure> {
        let Phase::Cancelling(cancelling) = &known.state.phase else { return Ok(()) };
        let asked_before = cancelling.sent > 0;
        let wished = self.store.change(WISHED, &place, |record| Ok::<_, Infallible>(record.wish_end(force)));
        let stored: Option<Stored> = wished.await?.map(|Ok(stored)| stored);
        let Some(stored) = stored.filter(|stored| is_ours(&stored.record)) else {
            let fact = JobFact::ended(TerminalStatus::Cancelled, None, "cancelled; no puller has it");
            return self.end(known, fact, cause).await;
        };
        self.see(&place, &stored);
        self.tell(&place, &stored, cause.clone()).await?;
        if matches!(stored.record.stage, Stage::Claimed(_)) && !asked_before {
            let fact = JobFact::CancelSent { force };
            CANCEL_SENT.effect(self.jobs.record(&stored.record.command.job, fact, Base::Look, cause)).await?;
        }
        Ok(())
    }

    async fn end(&self, known: Known, fact: JobFact, cause: Option<String>) -> Result<(), Failure> {
        let job = known.state.job.clone();
        CLOSED.effect(self.jobs.record(&job, fact, Base::Known(Box::new(known)), cause)).await?;
        Ok(())
    }
}

/// Whether a job that is under way has been without a record for so long that none will come.
fn has_lost_its_record(state: &JobState, now: Timestamp) -> bool {
    let is_under_way = match &state.phase {
        Phase::Triggering { .. } | Phase::Unknown { .. } | Phase::Running { .. } => true,
        Phase::Cancelling(cancelling) => cancelling.fence.is_some(),
        Phase::Requested | Phase::Held { .. } | Phase::Dispatched | Phase::Finished { .. } => false,
    };
    is_under_way && now >= state.updated_at + WITHOUT_RECORD
}

/// Whether a job that is under way is so by this record.
fn is_ours(record: &Record) -> bool {
    match &record.stage {
        Stage::Waiting { .. } | Stage::Claimed(_) | Stage::Over { .. } => true,
        Stage::Withdrawn => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{
        DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId, derive,
    };
    use domain::job::{CancelReason, Dispatch, JobEvent, JobRef, evolve};
    use domain::target::TargetKey;
    use serde_json::{Map, Value};

    /// A job after these facts, each of them told at `at`.
    fn job(facts: impl IntoIterator<Item = JobFact>, at: Timestamp) -> JobState {
        let id = derive(&["pull"]);
        let (deployment, environment) = (DeploymentId(id), EnvironmentId(id));
        let job = JobRef {
            workspace: "acme".parse().unwrap(),
            id: JobId(id),
            target: TargetKey { deployment, environment, resource: ResourceId(id) },
            version: VersionId(id),
            tag: "v1".to_owned(),
            release: ReleaseId(id),
            attempt: 1,
            deployment: "web".parse().unwrap(),
            environment: "production".parse().unwrap(),
            purpose: Default::default(),
            content: None,
        };
        let dispatch = Dispatch {
            agent: JobAgentId(id),
            agent_name: "runner".to_owned(),
            platform: HTTP_PULL.parse().unwrap(),
            config: Map::new(),
            context: Value::Null,
            deadlines: Default::default(),
            secrets: Default::default(),
        };
        let first =
            [JobFact::Requested { catalog_revision: 1, grounds: None }, JobFact::Dispatched(dispatch)];
        let event = |fact| JobEvent { job: job.clone(), at, cause: None, traceparent: None, fact };
        let all = first.into_iter().chain(facts).map(event);
        all.fold(None, |state, event| Some(evolve(state, &event))).unwrap()
    }

    #[test]
    fn a_missing_record_is_believed_only_after_a_while_and_only_of_a_job_that_is_under_way() {
        let at = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        let (soon, late) = (at + WITHOUT_RECORD - TimeDelta::seconds(1), at + WITHOUT_RECORD);
        let started = || JobFact::TriggerStarted { fence: 1 };
        let wish = || JobFact::CancelRequested { by: "ada".to_owned(), reason: CancelReason::User };
        let over = || JobFact::ended(TerminalStatus::Successful, None, "well");
        for (facts, is_lost) in [
            (vec![], false),
            (vec![started()], true),
            (vec![started(), wish()], true),
            (vec![wish()], false),
            (vec![started(), over()], false),
        ] {
            let state = job(facts, at);
            assert!(!has_lost_its_record(&state, soon), "{state:?}");
            assert_eq!(has_lost_its_record(&state, late), is_lost, "{state:?}");
        }
    }
}
