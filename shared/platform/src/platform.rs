//! The trait every platform implements: four calls, one reading of signals. It knows no bus and no job history:
//! *when* to call, and what the answer means for the job, is the handler's business.

use crate::recover::Recover;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{ExternalRef, Links, Snapshot, SnapshotStatus};
use domain::token::Slug;
use futures::SinkExt as _;
use futures::channel::mpsc;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// A platform that runs jobs.
///
/// Every call takes the job's rendered config: connection, credentials by name, and what to run. Only `trigger` and `rerun`
/// get it with the job's secrets; all others have null there.
#[async_trait::async_trait]
pub trait Platform: Send + Sync + 'static {
    /// The token in command and status subjects, e.g. `github-app`.
    fn name(&self) -> Slug;

    /// Event tokens of webhooks it wants to read, e.g. `workflow_run`.
    fn event_tokens(&self) -> &'static [&'static str];

    /// How long after a call whose outcome is unknown a search may still not show the run.
    fn search_lag(&self) -> Duration;

    /// Asked before the intent to trigger (or rerun) is recorded: takes the place in the API budget that the call needs, so that
    /// being rate limited costs no fact and no search. A `trigger` or `rerun` after a yes takes no place again;
    /// a place that is not used is lost, which is harmless.
    ///
    /// # Errors
    /// [`CallError::RateLimited`] until there is a place; any other error as from `trigger`, with no effect made.
    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        let _ = config;
        Ok(())
    }

    /// Starts a run. Not idempotent on most platforms: the handler records its intent first and finds before it repeats.
    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError>;

    /// Looks for the run of a job. `since` is not later than the first try.
    async fn find(&self, key: &CorrelationKey<'_>, since: Timestamp) -> Result<Found, CallError>;

    /// Reads a run.
    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError>;

    /// Asks for the end of a run. The answer is about the request, not about the run.
    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError>;

    /// Runs a finished run again, as its next attempt, under the same id.
    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError>;

    /// The kind of trigger source that verifies this platform's webhooks, e.g. `github`; `None` where it sends none. What a
    /// source of another kind let in is not the platform's word: its secret is somebody else's.
    fn source_kind(&self) -> Option<&'static str> {
        None
    }

    /// Whether a job of this config runs where a signal says that its run is: the id that a run carries can be written by
    /// whoever may start runs anywhere.
    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool;

    /// Reads a webhook delivery of this platform (already verified by the ingester). Pure.
    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable>;

    /// The platform's log of webhook deliveries, where it keeps one: what was sent while nobody listened is asked for again.
    /// Without one there is nothing to recover, and only the sweep closes a gap.
    fn recover(&self) -> Option<&dyn Recover> {
        None
    }

    /// The watch that brings news of the runs of this config; `None` where a platform has webhooks only.
    /// The agent opens it when it gets the first command with such a config, and closes it when none came for long.
    fn watch_of(&self, config: &Map<String, Value>) -> Option<WatchKey> {
        let _ = config;
        None
    }

    /// Watches the place that [`Platform::watch_of`] named: tells first how everything stands there, then every change.
    /// Heals what it can (a watch that ended in order, a position that is too old); returns why it cannot go on, and is
    /// called again after a pause. Telling twice, or what is not ours, does no harm.
    async fn watch(&self, config: &Map<String, Value>, news: &mut News) -> CallError {
        let (_, _) = (config, news);
        CallError::Invalid("this platform has nothing to watch".to_owned())
    }
}

/// What to start.
#[derive(Clone, Copy)]
pub struct TriggerRequest<'a> {
    /// The job, whose id the platform carries.
    pub job: JobId,
    /// The rendered config, with the job's secrets in it: nothing of it may be logged, kept or said in an error.
    pub config: &'a Map<String, Value>,
}

impl fmt::Debug for TriggerRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerRequest").field("job", &self.job).finish_non_exhaustive()
    }
}

/// What a run is found by.
#[derive(Debug, Clone, Copy)]
pub struct CorrelationKey<'a> {
    /// The job whose id the platform carries.
    pub job: JobId,
    /// The rendered config: where to look.
    pub config: &'a Map<String, Value>,
}

/// The answer to a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Triggered {
    /// The platform has the run, and named it.
    Run {
        /// The run.
        external: ExternalRef,
        /// Deep links.
        links: Links,
    },
    /// The platform took it and named no run: it must be found.
    Accepted,
}

/// The answer to a search.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// This run carries the job's id.
    Run {
        /// The run.
        external: ExternalRef,
        /// How it stands.
        snapshot: Box<Snapshot<SnapshotStatus>>,
    },
    /// No run carries it.
    None,
    /// Several runs carry it: somebody started one by hand. The oldest is taken.
    Several {
        /// The oldest.
        external: ExternalRef,
        /// How it stands.
        snapshot: Box<Snapshot<SnapshotStatus>>,
        /// How many there are.
        count: usize,
    },
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// How the run stands.
    Snapshot(Box<Snapshot<SnapshotStatus>>),
    /// As at the last read. Says nothing where a particular attempt is looked for: answer with a snapshot if there is one.
    Unchanged,
    /// The platform uses words we do not know: the last status stays, the words are recorded.
    UnknownWords {
        /// The words.
        raw: domain::job::RawStatus,
    },
    /// The platform does not know the run.
    Gone,
}

/// How to ask for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelMode {
    /// As a person would.
    Graceful,
    /// By force, where the platform knows force.
    Force,
}

/// The answer to a request to end a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAck {
    /// The platform will.
    Requested,
    /// It was over already: observe.
    AlreadyOver,
    /// The platform does not know the run.
    Gone,
}

/// A verified webhook delivery.
#[derive(Debug, Clone, Copy)]
pub struct PlatformEvent<'a> {
    /// The event type as the platform names it.
    pub event_type: &'a str,
    /// The payload.
    pub data: &'a [u8],
}

/// What a delivery says about one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Which run.
    pub run: RunKey,
    /// The job id the run carries, where the delivery shows it.
    pub job: Option<JobId>,
    /// How the run stands; absent where the delivery only says that something changed.
    pub snapshot: Option<Snapshot<SnapshotStatus>>,
}

/// What names a run without its attempt: the key of the `runs` bucket is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// The host of the API, e.g. `api.github.com`.
    pub host: String,
    /// Repository, project or namespace, in lower case where the platform ignores case.
    pub scope: String,
    /// The run's id.
    pub id: String,
}

/// What names a watch: the place that is watched and how we sign in there. It is said in logs: no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatchKey(pub String);

/// Where a watch tells what it sees. Clones tell in the same place.
#[derive(Debug, Clone)]
pub struct News(mpsc::Sender<Signal>);

impl News {
    /// A place to tell, and what is told there. At most `ahead` signals wait to be heard.
    pub fn channel(ahead: usize) -> (Self, mpsc::Receiver<Signal>) {
        let (tell, told) = mpsc::channel(ahead);
        (Self(tell), told)
    }

    /// Tells, as soon as there is room. Where nobody listens any more, what is told is lost: the watch is about to end.
    pub async fn tell(&mut self, signal: Signal) {
        if self.0.send(signal).await.is_err() {
            tracing::debug!("nobody listens to this watch any more");
        }
    }
}

/// A delivery that cannot be read: it is kept raw and says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReadable {
    /// Why.
    pub reason: String,
}

/// Why a call did not succeed, sorted by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Credentials do not reach: the job ends as `invalid_integration`.
    #[error("{0}")]
    Unauthorized(String),
    /// The request does not fit (workflow, ref, inputs, config): the job ends as `invalid_job_agent`.
    #[error("{0}")]
    Invalid(String),
    /// The platform wants us to wait. Costs no attempt.
    #[error("rate limited for {} s: {why}", after.as_secs())]
    RateLimited {
        /// For how long.
        after: Duration,
        /// In the platform's words.
        why: String,
    },
    /// The request was sent and no answer came: it may have had its effect. Leads to `find`, never to a repeat.
    #[error("sent, but no answer: {0}")]
    Ambiguous(String),
    /// The request had no effect; it may be repeated.
    #[error("{0}")]
    Transient(String),
}
