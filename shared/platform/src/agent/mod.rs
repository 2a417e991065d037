//! The agent: does what commands ask on a platform, and records what the platform says. It decides *when* to call and what
//! an answer means for the job; the platform knows *how*.
//!
//! A run is started at most once per recorded intent: `TriggerStarted` is appended before the call, only its writer calls,
//! and only within a short lease; whoever comes later looks for the run before the next intent may be recorded.

mod adopt;
mod breaker;
mod cancel;
mod confirm;
mod effects;
mod events;
mod freeze;
mod handlers;
mod news;
mod observe;
mod recent;
mod runs;
mod secrets;
mod settings;
mod signals;
mod step;
mod trigger;
mod watches;

pub use effects::CRASH_POINTS;
pub use handlers::{Commands, Events};
pub use secrets::{Filled, Mask, fill};
pub use settings::AgentSettings;

use crate::platform::{CallError, Platform};
use crate::secrets::{NoSecrets, SecretSource};
use breaker::Breaker;
use bus::clock::Clock;
use bus::topology::{CONFIRMATIONS, RUNS, agent_commands, agent_events};
use bus::{Bucket, Bus, BusError, Failure, Freezes, JobLog, Known, consume};
use domain::id::JobId;
use domain::token::Slug;
use futures::future::try_join_all;
use recent::Recent;
use secrets::Source;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use watches::Watches;

/// An agent of one platform. Several replicas may run at once.
#[derive(Debug)]
pub struct Agent<P> {
    platform: Arc<P>,
    bus: Bus,
    jobs: JobLog,
    runs: Bucket,
    confirmations: Bucket,
    freezes: Freezes,
    secrets: Source,
    clock: Clock,
    settings: AgentSettings,
    /// Tries of which this process knows that they had no effect, by the sequence of their intent: the number of a try begins
    /// anew with each dispatch.
    without_effect: Recent<JobId, u64>,
    /// Why a start was put off, in the platform's last words: only for the message when it gets too late.
    put_off: Recent<JobId, String>,
    /// What signals were last judged by, so that the next one needs no look-up.
    seen: Recent<JobId, Known>,
    /// The newest look at a job that was asked for, by its sequence.
    looks: Recent<JobId, u64>,
    /// Whether runs may be called missing.
    missing: Breaker,
    /// The places to watch.
    watches: Watches,
}

impl<P: Platform> Agent<P> {
    /// An agent that works with the real time and has no secrets for jobs.
    pub fn new(platform: Arc<P>, bus: &Bus, settings: AgentSettings) -> Arc<Self> {
        Self::with_clock(platform, bus, settings, Clock::real())
    }

    /// An agent whose grace periods pass by that clock, and that has no secrets for jobs.
    pub fn with_clock(platform: Arc<P>, bus: &Bus, settings: AgentSettings, clock: Clock) -> Arc<Self> {
        Self::with_secrets(platform, bus, settings, clock, Arc::new(NoSecrets))
    }

    /// An agent that puts secrets of that source where jobs ask for them.
    pub fn with_secrets(
        platform: Arc<P>,
        bus: &Bus,
        settings: AgentSettings,
        clock: Clock,
        secrets: Arc<dyn SecretSource>,
    ) -> Arc<Self> {
        Arc::new(Self {
            platform,
            bus: bus.clone(),
            jobs: bus.jobs(),
            runs: bus.bucket(&RUNS),
            confirmations: bus.bucket(&CONFIRMATIONS),
            freezes: Freezes::new(bus),
            secrets: Source(secrets),
            clock,
            missing: Breaker::new(settings.missing_at_most),
            settings,
            without_effect: Recent::new(16_384),
            put_off: Recent::new(2_048),
            seen: Recent::new(2_048),
            looks: Recent::new(16_384),
            watches: Watches::default(),
        })
    }

    /// Works on commands, webhooks and watches until `drain`, then finishes what it holds.
    ///
    /// # Errors
    /// What [`consume`] cannot heal by itself.
    pub async fn run(self: Arc<Self>, drain: CancellationToken) -> Result<(), BusError> {
        let name = self.platform.name();
        let commands = Arc::new(Commands(Arc::clone(&self)));
        let commands =
            consume(&self.bus, agent_commands(&name), commands, self.settings.commands, drain.clone());
        let events = Arc::new(Events(Arc::clone(&self)));
        let events = try_join_all(self.platform.event_tokens().iter().map(|token| {
            let consumer = agent_events(&name, &Slug::of_name(token));
            consume(&self.bus, consumer, Arc::clone(&events), self.settings.events, drain.clone())
        }));
        let watching = drain.child_token();
        let work = async {
            let ended = futures::future::join(commands, events).await;
            // Nothing is watched for an agent that does not work.
            watching.cancel();
            ended
        };
        let watches = Arc::clone(&self).keep_watches(watching.clone());
        let ((commands, events), ()) = futures::future::join(work, watches).await;
        commands.and(events.map(|_| ()))
    }

    /// Gives a call to the platform its end. A call that is cut off may have had its effect.
    async fn in_time<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let deadline = self.settings.call_deadline;
        tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            Err(CallError::Ambiguous(format!("no answer within {} s", deadline.as_secs())))
        })
    }

    /// From when on a try of which nothing is known can no longer show up.
    fn window(&self) -> Duration {
        self.settings.lease + self.settings.call_deadline + self.platform.search_lag()
    }
}

/// Not now, but then; costs no attempt.
fn later(after: Duration, why: impl Into<String>) -> Failure {
    Failure::Later { after, why: telemetry::redact(&why.into()).into_owned() }
}
