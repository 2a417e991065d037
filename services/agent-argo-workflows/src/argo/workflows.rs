//! Argo Workflows as a platform: the calls of the trait, made of the API's calls and of what its words mean.

use super::config::{AllowedHosts, ArgoConfig, Place, ServerPlace};
use super::names::{self, JOB_LABEL};
use super::news::{Scene, Teller};
use super::server::{Api, Submitted};
use super::status;
use super::workflow::Workflow;
use super::{cluster, links};
use ::cluster::{Cluster, Clusters, Counted, Options};
use bus::topology::ARGO_WORKFLOWS;
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{ExternalRef, Links, Source};
use domain::token::Slug;
use platform::config::SecretName;
use platform::http::{BuildError, HttpClient, HttpOptions};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, News, NotReadable, Platform,
    PlatformEvent, RunKey, Seen, Signal, TriggerRequest, Triggered, WatchKey,
};
use serde_json::{Map, Value};
use service::Secrets;
use std::path::PathBuf;
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
    /// The kubeconfig for configs that name no cluster; else they mean the cluster the agent runs in.
    pub kubeconfig: Option<PathBuf>,
}

/// Argo Workflows.
pub struct ArgoWorkflows {
    name: Slug,
    server: Api,
    clusters: Arc<Clusters>,
    hosts: AllowedHosts,
}

/// Where a config's workflows are, reached.
enum Reach<'c> {
    Server(&'c ServerPlace),
    Cluster(Box<Cluster>),
}

impl Reach<'_> {
    fn host(&self) -> &str {
        match self {
            Reach::Server(server) => server.base.host(),
            Reach::Cluster(cluster) => cluster.host(),
        }
    }
}

impl ArgoWorkflows {
    /// The platform, not yet connected to anything: every job's config says where to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(parts: Parts) -> Result<Self, BuildError> {
        let Parts { secrets, budgets, clock, hosts, http, kubeconfig } = parts;
        let name = Slug::of_name(ARGO_WORKFLOWS);
        let of_clusters = Arc::clone(&secrets);
        let clusters = Clusters::new(Options {
            secrets: Arc::new(move |SecretName { workspace, name }: &SecretName| {
                of_clusters.for_workspace(workspace.as_str(), name).map_err(|error| error.to_string())
            }),
            kubeconfig,
            in_cluster_server: Options::IN_CLUSTER_SERVER.to_owned(),
            service_account_dir: Options::SERVICE_ACCOUNT_DIR.into(),
            deadline: http.deadline,
            counted: Some(Counted { budgets: Arc::clone(&budgets), platform: name.clone() }),
        });
        let server = Api::new(HttpClient::new(&http)?, secrets, budgets, clock, name.clone());
        Ok(Self { name, server, clusters, hosts })
    }

    fn config(&self, config: &Map<String, Value>) -> Result<ArgoConfig, CallError> {
        Ok(ArgoConfig::parse(config, &self.hosts)?)
    }

    async fn reach<'c>(&self, config: &'c ArgoConfig) -> Result<Reach<'c>, CallError> {
        Ok(match &config.place {
            Place::Server(server) => Reach::Server(server),
            Place::Cluster(access) => Reach::Cluster(Box::new(self.clusters.of(access).await?)),
        })
    }

    fn scene<'c>(&'c self, config: &'c ArgoConfig, host: &'c str) -> Scene<'c> {
        Scene { platform: &self.name, config, host }
    }

    fn triggered(&self, config: &ArgoConfig, host: &str, workflow: &Workflow) -> Triggered {
        let links = config.ui.as_ref().map_or_else(Links::new, |ui| links::of(ui, workflow, None));
        Triggered::Run { external: self.scene(config, host).external(workflow), links }
    }

    async fn read(
        &self,
        config: &ArgoConfig,
        reach: &Reach<'_>,
        name: &str,
    ) -> Result<Option<Workflow>, CallError> {
        match reach {
            Reach::Server(server) => self.server.read(config, server, name).await,
            Reach::Cluster(cluster) => cluster::read(cluster, &config.namespace, name).await,
        }
    }

    /// There is a workflow of the job's name: ours, from a call whose answer was lost, or somebody else's.
    async fn adopt(
        &self,
        config: &ArgoConfig,
        reach: &Reach<'_>,
        job: JobId,
        name: &str,
    ) -> Result<Triggered, CallError> {
        match self.read(config, reach, name).await? {
            Some(workflow) if workflow.job() == Some(job) => {
                Ok(self.triggered(config, reach.host(), &workflow))
            }
            Some(_) => Err(CallError::Invalid(format!(
                "the namespace {} has a workflow {name} without this job's label {JOB_LABEL}: it is not ours",
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
        match self.reach(&config).await? {
            Reach::Server(server) => self.server.ready(&config, server).await,
            Reach::Cluster(cluster) => cluster.reserve().await,
        }
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let config = self.config(request.config)?;
        let reach = self.reach(&config).await?;
        let name = names::of_job(request.job);
        let mut labels = config.labels.clone();
        labels.insert(JOB_LABEL.to_owned(), request.job.to_string());
        let submitted = match &reach {
            Reach::Server(server) => self.server.submit(&config, server, &name, &labels).await?,
            Reach::Cluster(cluster) => cluster::create(cluster, &config, &name, &labels).await?,
        };
        match submitted {
            Submitted::New(workflow) => Ok(self.triggered(&config, reach.host(), &workflow)),
            Submitted::Exists => self.adopt(&config, &reach, request.job, &name).await,
        }
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        let config = self.config(key.config)?;
        let reach = self.reach(&config).await?;
        let found = self.read(&config, &reach, &names::of_job(key.job)).await?;
        let Some(workflow) = found.filter(|workflow| workflow.job() == Some(key.job)) else {
            return Ok(Found::None);
        };
        let scene = self.scene(&config, reach.host());
        let external = scene.external(&workflow);
        let snapshot = scene.look(&workflow, Source::Read).unwrap_or_else(|| {
            let plain = status::exists(&workflow);
            status::snapshot(&workflow, plain, Source::Read, config.ui.as_ref(), Some(external.clone()))
        });
        Ok(Found::Run { external, snapshot: Box::new(snapshot) })
    }

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        let config = self.config(config)?;
        let reach = self.reach(&config).await?;
        let found = self.read(&config, &reach, &run.id).await?;
        // Somebody may have made another workflow of that name since.
        let ours = |workflow: &Workflow| workflow.job().is_some_and(|job| names::of_job(job) == run.id);
        let Some(workflow) = found.filter(ours) else { return Ok(Seen::Gone) };
        Ok(match self.scene(&config, reach.host()).look(&workflow, Source::Read) {
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
        match self.reach(&config).await? {
            Reach::Server(server) => self.server.end(&config, server, &run.id, how).await,
            Reach::Cluster(cluster) => cluster::end(&cluster, &config.namespace, &run.id, how).await,
        }
    }

    /// A retry whose answer was lost is seen by its attempt: it is not asked for twice.
    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        let config = self.config(config)?;
        let reach = self.reach(&config).await?;
        let Reach::Server(server) = &reach else {
            return Err(CallError::Invalid(cluster::NO_RETRY.to_owned()));
        };
        let next = run.attempt.saturating_add(1);
        let gone = || CallError::Invalid(format!("Argo does not know the workflow {} any more", run.id));
        let seen = self.read(&config, &reach, &run.id).await?.ok_or_else(gone)?;
        if seen.attempt() >= next {
            return Ok(self.triggered(&config, reach.host(), &seen));
        }
        let retried = self.server.retry(&config, server, &seen, next).await?.ok_or_else(gone)?;
        match self.triggered(&config, reach.host(), &retried) {
            Triggered::Run { external, links } => {
                let attempt = external.attempt.max(next);
                Ok(Triggered::Run { external: ExternalRef { attempt, ..external }, links })
            }
            Triggered::Accepted => Ok(Triggered::Accepted),
        }
    }

    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool {
        self.config(config).is_ok_and(|config| {
            let is_host = match &config.place {
                Place::Server(server) => server.base.host().eq_ignore_ascii_case(&run.host),
                // Its address is the kubeconfig's to say: the watch is kept in that cluster only.
                Place::Cluster(_) => true,
            };
            is_host && config.namespace == run.scope
        })
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        Err(NotReadable { reason: format!("Argo sends no webhooks, so not {:?} either", event.event_type) })
    }

    fn watch_of(&self, config: &Map<String, Value>) -> Option<WatchKey> {
        let config = self.config(config).ok()?;
        Some(WatchKey(match &config.place {
            Place::Server(server) => {
                format!("namespace {} of {} by {}", config.namespace, server.base.host(), server.token_secret)
            }
            Place::Cluster(access) => access.name(),
        }))
    }

    async fn watch(&self, config: &Map<String, Value>, news: &mut News) -> CallError {
        let config = match self.config(config) {
            Ok(config) => config,
            Err(error) => return error,
        };
        let reach = match self.reach(&config).await {
            Ok(reach) => reach,
            Err(error) => return error,
        };
        let host = reach.host().to_owned();
        let mut teller = Teller { scene: self.scene(&config, &host), news };
        match reach {
            Reach::Server(server) => self.server.watch(&config, server, &mut teller).await,
            Reach::Cluster(cluster) => cluster::watch(*cluster, &config.namespace, &mut teller).await,
        }
    }
}
