//! A job log, an agent and a stand-in, and what a case does with them.

use super::rig::{Rig, Webhook};
use crate::agent::{Agent, AgentSettings, Commands, Events};
use crate::platform::Platform;
use crate::secrets::{NoSecrets, SecretSource};
use bus::clock::{Clock, ClockHand};
use bus::{Base, Bus, Delivery, Failure, Handler, HeaderMap, JobLog, Json, Known, Recorded, TriggerEvent};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::command::{AgentCommand, Verb};
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{CancelReason, Dispatch, ExternalRef, JobFact, JobRef, JobStatus};
use domain::target::TargetKey;
use domain::token::Slug;
use domain::trigger::TriggerAttributes;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// A message that is not settled after so many deliveries never will be.
const DELIVERIES_MAX: u64 = 200;

/// One case's world.
#[derive(Debug)]
pub struct Stage<R: Rig> {
    /// The platform's stand-in.
    pub rig: R,
    hand: ClockHand,
    clock: Clock,
    jobs: JobLog,
    workspace: Slug,
    agent: Arc<Agent<R::Platform>>,
    /// Every job of the case.
    seen: Mutex<Vec<JobRef>>,
    /// When the effect of a call comes that was cut off.
    late: Mutex<Option<Timestamp>>,
}

/// What became of a message.
#[derive(Debug, Default)]
pub struct Settled {
    /// How often it had to be tried again because something failed.
    pub retries: usize,
    /// For how long it was put off each time.
    pub put_off: Vec<Duration>,
    /// Why it was put off each time.
    pub said: Vec<String>,
}

impl<R: Rig> Stage<R> {
    /// A stage for one case. The stand-in and its platform go by the same clock, whose hand is given too.
    pub fn new(bus: &Bus, rig: R, clock: Clock, hand: ClockHand) -> Self {
        Self::with_secrets(bus, rig, clock, hand, Arc::new(NoSecrets))
    }

    /// A stage whose agent has secrets for jobs.
    pub fn with_secrets(
        bus: &Bus,
        rig: R,
        clock: Clock,
        hand: ClockHand,
        secrets: Arc<dyn SecretSource>,
    ) -> Self {
        // A run that does not show is looked for on our clock, not in real time.
        let settings = AgentSettings { find_within: Duration::from_millis(600), ..AgentSettings::default() };
        let agent = Agent::with_secrets(rig.platform(), bus, settings, clock.clone(), secrets);
        let workspace = Slug::of_name(&format!("conformance-{}", Uuid::new_v4()));
        Self {
            rig,
            hand,
            clock,
            jobs: bus.jobs(),
            workspace,
            agent,
            seen: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// A job that was dispatched to this platform, and its trigger command.
    pub async fn dispatched(&self) -> AgentCommand {
        let job = JobRef {
            workspace: self.workspace.clone(),
            id: JobId(Uuid::new_v4()),
            target: TargetKey {
                deployment: DeploymentId(Uuid::new_v4()),
                environment: EnvironmentId(Uuid::new_v4()),
                resource: ResourceId(Uuid::new_v4()),
            },
            version: VersionId(Uuid::new_v4()),
            tag: "v1".to_owned(),
            release: ReleaseId(Uuid::new_v4()),
            attempt: 1,
            deployment: Slug::of_name("web"),
            environment: Slug::of_name("production"),
            purpose: Default::default(),
            content: None,
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(job.clone());
        self.record(&job, JobFact::Requested { catalog_revision: 1, grounds: None }).await;
        self.dispatch(&job, None).await
    }

    /// Dispatches a job that was requested, anew or again.
    pub async fn dispatch(&self, job: &JobRef, rerun_of: Option<ExternalRef>) -> AgentCommand {
        let agent = JobAgentId(Uuid::new_v4());
        let platform = self.rig.platform().name();
        let dispatch = Dispatch {
            agent,
            agent_name: "conformance".to_owned(),
            platform: platform.clone(),
            config: self.rig.config(),
            context: Value::Null,
            deadlines: Default::default(),
            secrets: self.rig.secret_places(),
        };
        let after = self.record(job, JobFact::Dispatched(dispatch)).await;
        AgentCommand {
            verb: Verb::Trigger,
            job: job.clone(),
            agent,
            platform,
            config: self.rig.config(),
            after,
            rerun_of,
            force: false,
            freezes_seen: Default::default(),
            freeze_begins_at: None,
            secrets: self.rig.secret_places(),
        }
    }

    /// A person asks for another attempt of a finished job, and it is dispatched.
    pub async fn dispatched_again(&self, command: &AgentCommand) -> AgentCommand {
        self.record(&command.job, JobFact::RetryRequested { by: "ada".to_owned() }).await;
        let run = self.known(command).await.state.external;
        self.dispatch(&command.job, run).await
    }

    /// Appends a fact as another service would.
    pub async fn record(&self, job: &JobRef, fact: JobFact) -> u64 {
        let name = fact.name();
        match self.jobs.record(job, fact, Base::Look, None).await {
            Ok(Recorded::Appended { sequence }) => sequence,
            other => panic!("{name} is not admitted: {other:?}"),
        }
    }

    /// Hands a command to the agent until it is settled.
    pub async fn settle(&self, command: &AgentCommand) -> Settled {
        let commands = Commands(Arc::clone(&self.agent));
        self.deliver(|delivery| {
            let commands = &commands;
            let command = command.clone();
            async move { commands.handle(Json(command), &delivery).await }
        })
        .await
    }

    /// Hands a command to the agent until it is settled, while the effect of a call that was cut off comes after that time.
    pub async fn settle_late(&self, command: &AgentCommand, after: Duration) -> Settled {
        let after = TimeDelta::from_std(after).expect("a short time");
        *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now() + after);
        self.settle(command).await
    }

    /// Starts a job and leaves it with a known run.
    pub async fn started(&self) -> AgentCommand {
        let command = self.dispatched().await;
        self.settle(&command).await;
        let known = self.known(&command).await;
        assert!(known.state.external.is_some(), "a started job has a run: {known:?}");
        command
    }

    /// Asks the agent to look at the job's run.
    pub async fn look(&self, command: &AgentCommand) -> Known {
        let after = self.known(command).await.sequence;
        self.settle(&AgentCommand { verb: Verb::Observe, after, ..command.clone() }).await;
        self.known(command).await
    }

    /// A person wishes the job to end, and the agent is told.
    pub async fn cancel(&self, command: &AgentCommand) -> Known {
        let wish = JobFact::CancelRequested { by: "ada".to_owned(), reason: CancelReason::User };
        self.record(&command.job, wish).await;
        self.pass_on_the_wish(command).await
    }

    /// The agent is told that somebody wishes the job to end, perhaps not for the first time.
    pub async fn pass_on_the_wish(&self, command: &AgentCommand) -> Known {
        let after = self.known(command).await.sequence;
        self.settle(&AgentCommand { verb: Verb::Cancel, after, ..command.clone() }).await;
        self.known(command).await
    }

    /// The webhook of the job's run as it is now; `None` where the platform has none.
    pub async fn webhook(&self, command: &AgentCommand) -> Option<Webhook> {
        self.rig.webhook(command.job.id).await
    }

    /// Hands a webhook of this workspace to the agent until it is settled.
    pub async fn tell(&self, webhook: &Webhook) {
        self.tell_in(&self.workspace, webhook).await;
    }

    /// Hands a webhook of that workspace to the agent until it is settled.
    pub async fn tell_in(&self, workspace: &Slug, webhook: &Webhook) {
        let events = Events(Arc::clone(&self.agent));
        let attributes = TriggerAttributes {
            specversion: "1.0".to_owned(),
            id: Uuid::new_v4().to_string(),
            source: "https://conformance.test".to_owned(),
            event_type: webhook.event_type.clone(),
            subject: None,
            time: self.clock.now(),
            datacontenttype: Some("application/json".to_owned()),
            dataref: None,
            workspace: workspace.clone(),
            triggersource: Slug::of_name("conformance"),
            sourcekind: webhook.source_kind.clone(),
            traceparent: None,
        };
        let event = TriggerEvent::new(attributes, webhook.payload.clone());
        self.deliver(|delivery| {
            let (events, event) = (&events, event.clone());
            async move { events.handle(event, &delivery).await }
        })
        .await;
    }

    /// What is known of the job.
    pub async fn known(&self, command: &AgentCommand) -> Known {
        let known = self.jobs.load(&command.job.workspace, command.job.id).await;
        known.expect("the bus answers").expect("the job was requested")
    }

    /// The names of the job's facts.
    pub async fn facts(&self, command: &AgentCommand) -> Vec<&'static str> {
        let events = self.jobs.events(&command.job.workspace, command.job.id).await.expect("the bus answers");
        events.iter().map(|(_, event)| event.fact.name()).collect()
    }

    /// What people were told while it was not known whether a run was started.
    pub async fn unknowns(&self, command: &AgentCommand) -> Vec<String> {
        let events = self.jobs.events(&command.job.workspace, command.job.id).await.expect("the bus answers");
        let mut told = Vec::new();
        for (_, event) in events {
            if let JobFact::TriggerUnknown { message, .. } = event.fact {
                told.push(message);
            }
        }
        told
    }

    /// Lets time pass for the agent.
    pub fn pass(&self, time: Duration) {
        self.hand.pass(time);
    }

    /// Holds a job against what it should be.
    pub async fn expect(&self, command: &AgentCommand, status: JobStatus, runs: usize) {
        let known = self.known(command).await;
        assert_eq!(known.state.status(), status, "{:?}", known.state);
        assert_eq!(self.rig.runs(command.job.id).await, runs, "runs on the platform");
    }

    /// No secret in any fact of the case.
    ///
    /// # Panics
    /// When there is one.
    pub async fn no_secret_was_recorded(&self) {
        let jobs = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for job in jobs {
            let events = self.jobs.events(&job.workspace, job.id).await.expect("the bus answers");
            for (_, event) in events {
                let text = serde_json::to_string(&event).expect("facts are JSON");
                for secret in self.rig.secrets() {
                    assert!(!text.contains(&secret), "a secret was recorded in {}", event.fact.name());
                }
            }
        }
    }

    async fn deliver<F: Future<Output = Result<(), Failure>>>(
        &self,
        handle: impl Fn(Delivery) -> F,
    ) -> Settled {
        let mut settled = Settled::default();
        let published_at = self.clock.now();
        let mut attempt = 1;
        for _ in 0..DELIVERIES_MAX {
            let late = {
                let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
                late.take_if(|at| *at <= self.clock.now())
            };
            if late.is_some() {
                self.rig.let_it_happen().await;
            }
            let delivery = Delivery {
                subject: "conformance".to_owned(),
                sequence: 1,
                attempt,
                headers: HeaderMap::new(),
                published_at,
                previous: None,
            };
            match handle(delivery).await {
                Ok(()) => return settled,
                Err(Failure::Later { after, why }) => {
                    settled.put_off.push(after);
                    settled.said.push(why);
                    self.hand.pass(after);
                }
                Err(Failure::Retry(error)) => {
                    settled.retries += 1;
                    attempt += 1;
                    assert!(attempt < 12, "the message would be dead: {error}");
                }
                Err(Failure::Reject(why)) => panic!("the message was rejected: {why}"),
            }
        }
        panic!("the message is never settled; it was put off {} times", settled.put_off.len());
    }
}
