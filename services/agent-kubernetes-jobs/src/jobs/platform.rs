//! Kubernetes Jobs as a platform: the calls of the trait, made of the API's calls and of what its words mean.

use super::config::JobConfig;
use super::manifest;
use super::names::{CANCELLED, FIELD_MANAGER, JOB_ID, is_ours, job_of, object_name, run_id};
use super::news::{self, PodNews};
use super::status::{self, Meaning};
use super::wire::{Job, Pod, Pods};
use ::platform::{
    CallError, CancelAck, CancelMode, CorrelationKey, Found, News, NotReadable, Platform, PlatformEvent,
    RunKey, Seen, Signal, TriggerRequest, Triggered, WatchKey,
};
use cluster::{Access, AllowedHosts, Cluster, Clusters, Patch, Refused};
use domain::Timestamp;
use domain::id::JobId;
use domain::job::{ExternalRef, Links, OrderKey, RawStatus, Snapshot, SnapshotStatus, Source};
use domain::token::Slug;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const APPLY: Patch = Patch::Apply { field_manager: FIELD_MANAGER };
const STRICT: (&str, &str) = ("fieldValidation", "Strict");
const DRY_RUN: (&str, &str) = ("dryRun", "All");

/// What Kubernetes Jobs are reached with.
#[derive(Debug)]
pub struct Parts {
    /// The clusters.
    pub clusters: Arc<Clusters>,
    /// Hosts that tokens may be sent to.
    pub hosts: AllowedHosts,
    /// How long after a start without an answer its Job may still appear.
    pub search_lag: Duration,
    /// How soon pods are tried to be watched again that we may not watch.
    pub pods_again: Duration,
}

/// Kubernetes Jobs.
#[derive(Debug)]
pub struct KubernetesJobs {
    name: Slug,
    clusters: Arc<Clusters>,
    hosts: AllowedHosts,
    search_lag: Duration,
    pods_again: Duration,
}

impl KubernetesJobs {
    /// The platform, not yet connected to anything: every job's config says where to.
    pub fn new(parts: Parts) -> Self {
        let Parts { clusters, hosts, search_lag, pods_again } = parts;
        Self { name: Slug::of_name(bus::topology::KUBERNETES_JOBS), clusters, hosts, search_lag, pods_again }
    }

    async fn reach(&self, config: &Map<String, Value>) -> Result<(JobConfig, Cluster), CallError> {
        let config = JobConfig::parse(config, &self.hosts)?;
        let cluster = self.clusters.of(&config.access).await?;
        Ok((config, cluster))
    }

    /// Applies the object of an attempt, after the API server said what would come of it.
    async fn start(
        &self,
        config: &JobConfig,
        cluster: &Cluster,
        job: JobId,
        attempt: u32,
    ) -> Result<Triggered, CallError> {
        let object = manifest::object(config, job, attempt)?;
        let name = object_name(&run_id(job), attempt);
        let path = job_path(cluster, &name);
        let taken = || {
            CallError::Invalid(format!(
                "there is a Job {name} in namespace {} that is not ours",
                cluster.namespace()
            ))
        };
        // By a creation, not by an apply: only that names the field that is wrong, and tells what exists from what does not.
        let exists = match cluster.create(&jobs_path(cluster), &[DRY_RUN, STRICT], &object).await {
            Ok(_) => false,
            Err(Refused::Conflict(_)) => true,
            Err(refused) => return Err(refused.into()),
        };
        let made = if exists {
            // An apply would take over what somebody else made: whose it is comes first.
            read(cluster, &name)
                .await?
                .ok_or_else(|| CallError::Transient(format!("the Job {name} just disappeared")))?
        } else {
            let done = cluster.patch(&path, APPLY, &[STRICT], &object).await.map_err(CallError::from)?;
            parsed(done.object).map_err(CallError::Ambiguous)?
        };
        if !is_ours(&made, job, attempt) {
            return Err(taken());
        }
        let external = self.external(cluster, config, &run_id(job), attempt);
        Ok(Triggered::Run { external, links: links(config) })
    }

    fn external(&self, cluster: &Cluster, config: &JobConfig, run_id: &str, attempt: u32) -> ExternalRef {
        ExternalRef {
            platform: self.name.clone(),
            host: cluster.host().to_owned(),
            scope: cluster.namespace().to_owned(),
            id: run_id.to_owned(),
            attempt,
            url: config.dashboard.clone(),
        }
    }

    /// How a Job stands, with what its pods say.
    async fn look(
        &self,
        config: &JobConfig,
        cluster: &Cluster,
        job: &Job,
        attempt: u32,
    ) -> Result<Look, CallError> {
        let pods = if status::is_plain(job) { Ok(Vec::new()) } else { pods_of(cluster, job).await };
        let (pods, unseen) = match pods {
            Ok(pods) => (pods, None),
            // The Job is the truth; its pods only explain it.
            Err(CallError::Unauthorized(why)) => (Vec::new(), Some(why)),
            Err(error) => return Err(error),
        };
        let order = job.metadata.version().map(|version| OrderKey { attempt, version });
        let mut plain = match status::meaning(job, &pods) {
            Meaning::Plain(plain) => plain,
            Meaning::Unknown(raw) => {
                let exists = news::snapshot(status::exists(raw.clone()), order, links(config), Source::Read);
                return Ok(Look::Unknown { raw, exists: Box::new(exists) });
            }
        };
        if let Some(why) = unseen {
            let message = plain.message.map(|message| format!("{message}; ")).unwrap_or_default();
            plain.message = Some(format!("{message}its pods cannot be seen: {why}"));
        }
        Ok(Look::Known(Box::new(news::snapshot(plain, order, links(config), Source::Read))))
    }
}

/// A look at a Job.
enum Look {
    Known(Box<Snapshot<SnapshotStatus>>),
    Unknown { raw: RawStatus, exists: Box<Snapshot<SnapshotStatus>> },
}

#[async_trait::async_trait]
impl Platform for KubernetesJobs {
    fn name(&self) -> Slug {
        self.name.clone()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &[]
    }

    fn search_lag(&self) -> Duration {
        self.search_lag
    }

    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        self.reach(config).await?.1.reserve().await
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let (config, cluster) = self.reach(request.config).await?;
        self.start(&config, &cluster, request.job, 1).await
    }

    async fn find(&self, key: &CorrelationKey<'_>, _since: Timestamp) -> Result<Found, CallError> {
        let (config, cluster) = self.reach(key.config).await?;
        let id = run_id(key.job);
        // By name, which is ours alone; the label tells whether somebody else took it.
        let Some(job) = read(&cluster, &id).await?.filter(|job| is_ours(job, key.job, 1)) else {
            return Ok(Found::None);
        };
        let external = self.external(&cluster, &config, &id, 1);
        Ok(match self.look(&config, &cluster, &job, 1).await? {
            Look::Known(snapshot) => Found::Run { external, snapshot },
            Look::Unknown { exists, .. } => Found::Run { external, snapshot: exists },
        })
    }

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        let (config, cluster) = self.reach(config).await?;
        let Some(id) = job_of(&run.id) else { return Ok(Seen::Gone) };
        let attempt = run.attempt.max(1);
        let ours = async |attempt: u32| {
            let job = read(&cluster, &object_name(&run.id, attempt)).await?;
            Ok::<_, CallError>(job.filter(|job| is_ours(job, id, attempt)))
        };
        let seen = ours(attempt).await?;
        let over = |job: &Job| {
            job.holds("Complete").is_some() || job.holds("Failed").is_some() || status::is_cancelled(job)
        };
        // Only what is over is run again, and then as another object.
        let next = match &seen {
            Some(job) if !over(job) => None,
            Some(_) | None => ours(attempt + 1).await?,
        };
        let (job, attempt) = match (next, seen) {
            (Some(next), _) => (next, attempt + 1),
            (None, Some(seen)) => (seen, attempt),
            (None, None) => return Ok(Seen::Gone),
        };
        Ok(match self.look(&config, &cluster, &job, attempt).await? {
            Look::Known(snapshot) => Seen::Snapshot(snapshot),
            Look::Unknown { raw, .. } => Seen::UnknownWords { raw },
        })
    }

    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let (_, cluster) = self.reach(config).await?;
        let (name, attempt) = (object_name(&run.id, run.attempt), run.attempt.max(1));
        let Some(id) = job_of(&run.id) else { return Ok(CancelAck::Gone) };
        let Some(job) = read(&cluster, &name).await?.filter(|job| is_ours(job, id, attempt)) else {
            return Ok(CancelAck::Gone);
        };
        if job.holds("Complete").is_some() || job.holds("Failed").is_some() {
            return Ok(CancelAck::AlreadyOver);
        }
        // Suspended, its pods are stopped and its record stays. The annotation tells that it was us.
        let wish =
            json!({ "metadata": { "annotations": { CANCELLED: "true" } }, "spec": { "suspend": true } });
        let path = job_path(&cluster, &name);
        match cluster.patch(&path, Patch::Merge, &[], &wish).await {
            Ok(_) => {}
            Err(Refused::NotFound(_)) => return Ok(CancelAck::Gone),
            Err(refused) => return Err(refused.into()),
        }
        if how == CancelMode::Force {
            let options =
                json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
            match cluster.delete(&path, &options).await {
                Ok(_) | Err(Refused::NotFound(_)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(CancelAck::Requested)
    }

    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        let (config, cluster) = self.reach(config).await?;
        let job =
            job_of(&run.id).ok_or_else(|| CallError::Invalid(format!("{:?} is no run of ours", run.id)))?;
        if let Some(last) = read(&cluster, &object_name(&run.id, run.attempt)).await?
            && last.holds("Complete").is_none()
            && last.holds("Failed").is_none()
            && !status::is_cancelled(&last)
        {
            return Err(CallError::Transient("the Job is not over yet".to_owned()));
        }
        self.start(&config, &cluster, job, run.attempt.max(1) + 1).await
    }

    /// The cluster's address may be the kubeconfig's to say: its watch tells of that cluster only.
    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool {
        Access::parse(config, &self.hosts).is_ok_and(|access| access.namespace == run.scope)
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        Err(NotReadable {
            reason: format!("Kubernetes sends no webhooks, but this is a {}", event.event_type),
        })
    }

    fn watch_of(&self, config: &Map<String, Value>) -> Option<WatchKey> {
        Access::parse(config, &self.hosts).ok().map(|access| WatchKey(access.name()))
    }

    async fn watch(&self, config: &Map<String, Value>, news: &mut News) -> CallError {
        let access = match Access::parse(config, &self.hosts) {
            Ok(access) => access,
            Err(error) => return error.into(),
        };
        let cluster = match self.clusters.of(&access).await {
            Ok(cluster) => cluster,
            Err(error) => return error,
        };
        let (mut of_jobs, mut of_pods) = (news.clone(), news.clone());
        let jobs = async {
            let mut watch = cluster::watch(cluster.clone(), &jobs_path(&cluster), JOB_ID);
            loop {
                match watch.next().await {
                    Ok(change) => {
                        if let Some(signal) = news::of_job(cluster.host(), &change) {
                            of_jobs.tell(signal).await;
                        }
                    }
                    Err(error) => return error,
                }
            }
        };
        let pods = async {
            let mut watch = cluster::watch(cluster.clone(), &pods_path(&cluster), JOB_ID);
            let mut said = PodNews::default();
            loop {
                match watch.next().await {
                    Ok(change) => {
                        if let Some(signal) = said.of_pod(cluster.host(), &change) {
                            of_pods.tell(signal).await;
                        }
                    }
                    Err(CallError::Unauthorized(why)) => {
                        tracing::warn!(
                            watch = access.name(),
                            "pods are not watched for now, so what they wait for shows late: {why}"
                        );
                        // Somebody may mend it.
                        tokio::time::sleep(self.pods_again).await;
                        watch = cluster::watch(cluster.clone(), &pods_path(&cluster), JOB_ID);
                    }
                    Err(error) => return error,
                }
            }
        };
        tokio::select! {
            error = jobs => error,
            error = pods => error,
        }
    }
}

async fn read(cluster: &Cluster, name: &str) -> Result<Option<Job>, CallError> {
    match cluster.get::<Value>(&job_path(cluster, name), &[]).await {
        Ok(object) => parsed(object).map(Some).map_err(CallError::Transient),
        Err(Refused::NotFound(_)) => Ok(None),
        Err(refused) => Err(refused.into()),
    }
}

fn parsed(object: Value) -> Result<Job, String> {
    serde_json::from_value(object).map_err(|error| format!("the API server's Job is not understood: {error}"))
}

/// The pods of one Job: the controller labels them with its uid.
async fn pods_of(cluster: &Cluster, job: &Job) -> Result<Vec<Pod>, CallError> {
    let selector = format!("batch.kubernetes.io/controller-uid={}", job.metadata.uid);
    let query = [("labelSelector", selector.as_str()), ("limit", "50")];
    let pods: Pods = cluster.get(&pods_path(cluster), &query).await.map_err(CallError::from)?;
    Ok(pods.items)
}

fn jobs_path(cluster: &Cluster) -> String {
    format!("/apis/batch/v1/namespaces/{}/jobs", cluster.namespace())
}

fn job_path(cluster: &Cluster, name: &str) -> String {
    format!("{}/{name}", jobs_path(cluster))
}

fn pods_path(cluster: &Cluster) -> String {
    format!("/api/v1/namespaces/{}/pods", cluster.namespace())
}

fn links(config: &JobConfig) -> Links {
    config.dashboard.iter().map(|url| ("run".to_owned(), url.clone())).collect()
}
