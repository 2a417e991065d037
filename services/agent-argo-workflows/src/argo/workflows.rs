//! Argo Workflows as a platform: the calls of the trait, made of the API's calls and of what its words mean.

use super::config::{ArgoConfig, Place};
use super::links;
use super::names::{self, JOB_LABEL};
use super::server::{Api, Submitted};
use super::status::{self, Meaning};
use super::workflow::Workflow;
use bus::topology::ARGO_WORKFLOWS;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{ExternalRef, Links, Snapshot, SnapshotStatus, Source};
use domain::token::Slug;
use platform::http::{AllowedHosts, BuildError, HttpClient, HttpOptions};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    Seen, Signal, TriggerRequest, Triggered,
};
use serde_json::{Map, Value};
use service::Secrets;
use std::sync::Arc;
use std::time::Duration;

/// A workflow shows as soon as it is there: it is read by its name. A call that is still on its way finds the name taken.
const SEARCH_LAG: Duration = Duration::from_secs(1);

/// What Argo is reached with.
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
}

/// Argo Workflows.
pub struct ArgoWorkflows {
    name: Slug,
    server: Api,
    hosts: AllowedHosts,
}

impl ArgoWorkflows {
    /// The platform, not yet connected to anything: every job's config says where to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(parts: Parts) -> Result<Self, BuildError> {
        let Parts { secrets, budgets, clock, hosts, http } = parts;
        let name = Slug::of_name(ARGO_WORKFLOWS);
        let server = Api::new(HttpClient::new(&http)?, secrets, budgets, clock, name.clone());
        Ok(Self { name, server, hosts })
    }

    fn config(&self, config: &Map<String, Value>) -> Result<ArgoConfig, CallError> {
        Ok(ArgoConfig::parse(config, &self.hosts)?)
    }

    fn external(&self, config: &ArgoConfig, workflow: &Workflow) -> ExternalRef {
        ExternalRef {
            platform: self.name.clone(),
            host: config.place.host().to_owned(),
            scope: config.namespace.clone(),
            id: workflow.metadata.name.clone(),
            attempt: workflow.attempt(),
            url: config.ui.as_ref().map(|ui| links::page(ui, workflow)),
        }
    }

    fn triggered(&self, config: &ArgoConfig, workflow: &Workflow) -> Triggered {
        let links = config.ui.as_ref().map_or_else(Links::new, |ui| links::of(ui, workflow, None));
        Triggered::Run { external: self.external(config, workflow), links }
    }

    async fn read(&self, config: &ArgoConfig, name: &str) -> Result<Option<Workflow>, CallError> {
        match &config.place {
            Place::Server(server) => self.server.read(config, server, name).await,
        }
    }

    /// How a workflow stands; `None` in words we do not know.
    fn look(
        &self,
        config: &ArgoConfig,
        workflow: &Workflow,
        source: Source,
    ) -> Option<Snapshot<SnapshotStatus>> {
        match status::meaning(workflow) {
            Meaning::Plain(plain) => {
                let external = Some(self.external(config, workflow));
                Some(status::snapshot(workflow, plain, source, config.ui.as_ref(), external))
            }
            Meaning::Unknown => None,
        }
    }

    /// There is a workflow of the job's name: ours, from a call whose answer was lost, or somebody else's.
    async fn adopt(&self, config: &ArgoConfig, job: JobId, name: &str) -> Result<Triggered, CallError> {
        match self.read(config, name).await? {
            Some(workflow) if workflow.job() == Some(job) => Ok(self.triggered(config, &workflow)),
            Some(_) => Err(CallError::Invalid(format!(
                "the namespace {} has a workflow {name} that does not carry the label {JOB_LABEL} of this job: it is not ours",
                config.namespace
            ))),
            // Deleted between the two calls.
            None => Err(CallError::Transient(format!("the workflow {name} was there and is gone"))),
        }
    }
}

#[async_trait::async_trait]
impl Platform for ArgoWorkflows {
    fn name(&self) -> Slug {
        self.name.clone()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &[]
    }

    fn search_lag(&self) -> Duration {
        SEARCH_LAG
    }

    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        let config = self.config(config)?;
        match &config.place {
            Place::Server(server) => self.server.ready(&config, server).await,
        }
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let config = self.config(request.config)?;
        let name = names::of_job(request.job);
        let mut labels = config.labels.clone();
        labels.insert(JOB_LABEL.to_owned(), request.job.to_string());
        let submitted = match &config.place {
            Place::Server(server) => self.server.submit(&config, server, &name, &labels).await?,
        };
        match submitted {
            Submitted::New(workflow) => Ok(self.triggered(&config, &workflow)),
            Submitted::Exists => self.adopt(&config, request.job, &name).await,
        }
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        let config = self.config(key.config)?;
        let found = self.read(&config, &names::of_job(key.job)).await?;
        let Some(workflow) = found.filter(|workflow| workflow.job() == Some(key.job)) else {
            return Ok(Found::None);
        };
        let external = self.external(&config, &workflow);
        let snapshot = self.look(&config, &workflow, Source::Read).unwrap_or_else(|| {
            let plain = status::exists(&workflow);
            status::snapshot(&workflow, plain, Source::Read, config.ui.as_ref(), Some(external.clone()))
        });
        Ok(Found::Run { external, snapshot: Box::new(snapshot) })
    }

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        let config = self.config(config)?;
        let found = self.read(&config, &run.id).await?;
        // Somebody may have made another workflow of that name since.
        let ours = |workflow: &Workflow| workflow.job().is_some_and(|job| names::of_job(job) == run.id);
        let Some(workflow) = found.filter(ours) else { return Ok(Seen::Gone) };
        Ok(match self.look(&config, &workflow, Source::Read) {
            Some(snapshot) => Seen::Snapshot(Box::new(snapshot)),
            None => Seen::UnknownWords { raw: workflow.raw() },
        })
    }

    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let config = self.config(config)?;
        match &config.place {
            Place::Server(server) => self.server.end(&config, server, &run.id, how).await,
        }
    }

    /// A retry whose answer was lost is seen by its attempt: it is not asked for twice.
    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        let config = self.config(config)?;
        let next = run.attempt.saturating_add(1);
        let gone = || CallError::Invalid(format!("Argo does not know the workflow {} any more", run.id));
        let Place::Server(server) = &config.place;
        let seen = self.read(&config, &run.id).await?.ok_or_else(gone)?;
        if seen.attempt() >= next {
            return Ok(self.triggered(&config, &seen));
        }
        let retried = self.server.retry(&config, server, &seen, next).await?.ok_or_else(gone)?;
        match self.triggered(&config, &retried) {
            Triggered::Run { external, links } => {
                let attempt = external.attempt.max(next);
                Ok(Triggered::Run { external: ExternalRef { attempt, ..external }, links })
            }
            Triggered::Accepted => Ok(Triggered::Accepted),
        }
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        Err(NotReadable { reason: format!("Argo sends no webhooks, so not {:?} either", event.event_type) })
    }
}
