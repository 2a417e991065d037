//! GitHub Actions as a platform: the calls of the trait, made of the API's calls and of what its words mean.

use super::api::{Api, Asked, Dispatched};
use super::auth::Minter;
use super::budgets::Budgets;
use super::clocks::Clocks;
use super::config::GithubConfig;
use super::find::Finder;
use super::run::Run;
use super::status::{self, Meaning, Plain};
use super::{events, links};
use bus::topology::{GITHUB_ACTIONS, GITHUB_EVENTS};
use domain::Timestamp;
use domain::job::{ExternalRef, Snapshot, SnapshotStatus, Source};
use domain::token::Slug;
use platform::http::{AllowedHosts, BuildError, HttpClient, HttpOptions};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    Recover, RunKey, Seen, Signal, TriggerRequest, Triggered,
};
use serde_json::{Map, Value};
use service::Secrets;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a run that is between two states is read again at once, and how long after.
const READ_AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1_000)];

/// What GitHub Actions is reached with.
pub struct Parts {
    /// Secrets by name.
    pub secrets: Arc<Secrets>,
    /// The API budget all replicas share.
    pub budgets: Arc<platform::budget::Budgets>,
    /// The time.
    pub clock: Clock,
    /// Hosts credentials may be sent to.
    pub hosts: AllowedHosts,
    /// The limits of every request.
    pub http: HttpOptions,
    /// How long after a dispatch a search may still not show its run.
    pub search_lag: Duration,
    /// The pace of writes on github.com where a config says nothing; 0 is none.
    pub writes_per_minute: u32,
}

/// GitHub Actions.
pub struct GithubActions {
    pub(super) name: Slug,
    pub(super) api: Arc<Api>,
    pub(super) hosts: AllowedHosts,
    finder: Finder,
    search_lag: Duration,
}

impl GithubActions {
    /// The platform, not yet connected to anything: every job's config says where to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(parts: Parts) -> Result<Self, BuildError> {
        let Parts { secrets, budgets, clock, hosts, http, search_lag, writes_per_minute } = parts;
        let name = Slug::of_name(GITHUB_ACTIONS);
        let http = HttpClient::new(&http)?;
        let minter = Minter::new(http.clone(), secrets, Clocks::new(clock.clone()));
        let budgets = Budgets::new(budgets, name.clone(), writes_per_minute);
        let api = Arc::new(Api::new(http, minter, budgets, Clocks::new(clock)));
        Ok(Self { name, api, hosts, finder: Finder::new(), search_lag })
    }

    fn config(&self, config: &Map<String, Value>) -> Result<GithubConfig, CallError> {
        Ok(GithubConfig::parse(config, &self.hosts)?)
    }

    fn external(&self, config: &GithubConfig, id: u64, attempt: u32, url: Option<String>) -> ExternalRef {
        ExternalRef {
            platform: self.name.clone(),
            host: config.host.clone(),
            scope: config.scope(),
            id: id.to_string(),
            attempt,
            url,
        }
    }

    fn look(&self, config: &GithubConfig, run: &Run, plain: Plain) -> Snapshot<SnapshotStatus> {
        let external = self.external(config, run.id, run.attempt(), run.html_url.clone());
        status::snapshot(run, plain, Source::Read, Some(external))
    }

    /// What waiting means for this run.
    async fn waiting(&self, config: &GithubConfig, run: &Run) -> Result<Plain, CallError> {
        match self.api.reviewed_environments(config, &run.id.to_string()).await {
            Ok(environments) => Ok(status::waiting(&environments)),
            Err(CallError::Unauthorized(_) | CallError::Invalid(_)) => Ok(status::waiting_unseen()),
            Err(
                error @ (CallError::RateLimited { .. } | CallError::Ambiguous(_) | CallError::Transient(_)),
            ) => Err(error),
        }
    }
}

#[async_trait::async_trait]
impl Platform for GithubActions {
    fn name(&self) -> Slug {
        self.name.clone()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &GITHUB_EVENTS
    }

    fn search_lag(&self) -> Duration {
        self.search_lag
    }

    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        self.api.ready(&self.config(config)?).await
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let config = self.config(request.config)?;
        let mut inputs: BTreeMap<&str, String> =
            config.inputs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        if let Some(input) = &config.job_id_input {
            inputs.insert(input, request.job.to_string());
        }
        let dispatched = self.api.dispatch(&config, &inputs).await;
        match dispatched.map_err(|error| explained(error, &config))? {
            Dispatched::Unnamed => Ok(Triggered::Accepted),
            Dispatched::Run { id, page } => {
                let links = page.as_deref().map(|page| links::of_page(page, 1)).unwrap_or_default();
                Ok(Triggered::Run { external: self.external(&config, id, 1, page), links })
            }
        }
    }

    async fn find(&self, key: &CorrelationKey<'_>, since: Timestamp) -> Result<Found, CallError> {
        let config = self.config(key.config)?;
        let runs = self.finder.runs_of(&self.api, &config, key.job, since).await?;
        let count = runs.len();
        let Some(run) = runs.into_iter().next() else { return Ok(Found::None) };
        let plain = match status::meaning(&run, config.neutral_is) {
            Meaning::Plain(plain) => plain,
            Meaning::Waiting => self.waiting(&config, &run).await?,
            Meaning::Unsettled | Meaning::Unknown => status::exists(&run),
        };
        let external = self.external(&config, run.id, run.attempt(), run.html_url.clone());
        let snapshot = Box::new(self.look(&config, &run, plain));
        if count == 1 {
            Ok(Found::Run { external, snapshot })
        } else {
            Ok(Found::Several { external, snapshot, count })
        }
    }

    /// An answer from memory (304) is shown as what it says: whoever got it first may have died before recording it.
    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        let config = self.config(config)?;
        let mut pauses = READ_AGAIN.iter();
        let mut fresh = false;
        loop {
            let Some(run) = self.api.run(&config, &run.id, fresh).await? else { return Ok(Seen::Gone) };
            let plain = match status::meaning(&run, config.neutral_is) {
                Meaning::Plain(plain) => plain,
                Meaning::Waiting => self.waiting(&config, &run).await?,
                Meaning::Unknown => return Ok(Seen::UnknownWords { raw: run.raw() }),
                Meaning::Unsettled => match pauses.next() {
                    None => return Ok(Seen::UnknownWords { raw: run.raw() }),
                    Some(pause) => {
                        tokio::time::sleep(*pause).await;
                        fresh = true;
                        continue;
                    }
                },
            };
            return Ok(Seen::Snapshot(Box::new(self.look(&config, &run, plain))));
        }
    }

    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let config = self.config(config)?;
        let force = match how {
            CancelMode::Graceful => false,
            CancelMode::Force => true,
        };
        Ok(match self.api.cancel(&config, &run.id, force).await? {
            Asked::Accepted => CancelAck::Requested,
            Asked::Conflict => CancelAck::AlreadyOver,
            Asked::Gone => CancelAck::Gone,
        })
    }

    /// A rerun whose answer was lost is seen by its attempt: it is not asked for twice.
    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        let config = self.config(config)?;
        let next = run.attempt.saturating_add(1);
        let gone = || CallError::Invalid(format!("GitHub does not know the run {} any more", run.id));
        let seen = self.api.run(&config, &run.id, true).await?.ok_or_else(gone)?;
        if seen.attempt() <= run.attempt {
            match self.api.rerun(&config, &run.id).await? {
                Asked::Accepted => {}
                Asked::Conflict => {
                    let seen = self.api.run(&config, &run.id, true).await?.ok_or_else(gone)?;
                    if seen.attempt() < next {
                        return Err(CallError::Transient("the run is not over yet on GitHub".to_owned()));
                    }
                }
                Asked::Gone => return Err(gone()),
            }
        }
        let attempt = next.max(seen.attempt());
        let links = seen.html_url.as_deref().map(|page| links::of_page(page, attempt)).unwrap_or_default();
        Ok(Triggered::Run { external: self.external(&config, seen.id, attempt, seen.html_url), links })
    }

    fn source_kind(&self) -> Option<&'static str> {
        Some("github")
    }

    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool {
        self.config(config).is_ok_and(|config| {
            config.host.eq_ignore_ascii_case(&run.host) && config.scope() == run.scope.to_ascii_lowercase()
        })
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        events::read(&self.name, event)
    }

    fn recover(&self) -> Option<&dyn Recover> {
        Some(self)
    }
}

/// A workflow that does not take the job's id is the likeliest mistake: says what to do about it.
fn explained(error: CallError, config: &GithubConfig) -> CallError {
    match (error, &config.job_id_input) {
        (CallError::Invalid(why), Some(input))
            if why.contains("Unexpected inputs") && why.contains(&format!("\"{input}\"")) =>
        {
            CallError::Invalid(format!(
                "{why}: declare the input {input} in the workflow, or name another in jobIdInput"
            ))
        }
        (error, _) => error,
    }
}
