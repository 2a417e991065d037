//! GitLab CI/CD as a platform: the calls of the trait, made of the API's calls and of what its words mean.

use super::api::{Api, Asked, Started};
use super::budgets::Budgets;
use super::config::GitlabConfig;
use super::jobs::{Jobs, Standing};
use super::look::{self, Look};
use super::pipeline::Pipeline;
use super::words::Status;
use super::{events, find, rerun, status};
use bus::topology::{GITLAB_CI, GITLAB_EVENTS};
use domain::Timestamp;
use domain::job::ExternalRef;
use domain::token::Slug;
use platform::config::AllowedHosts;
use platform::http::{BuildError, HttpClient, HttpOptions};
use platform::{
    CallError, CancelAck, CancelMode, Clock, CorrelationKey, Found, NotReadable, Platform, PlatformEvent,
    Recover, RunKey, Seen, Signal, TriggerRequest, Triggered,
};
use serde_json::{Map, Value};
use service::Secrets;
use std::sync::Arc;
use std::time::Duration;

/// What GitLab CI/CD is reached with.
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
    /// How long after a start a search may still not show its pipeline.
    pub search_lag: Duration,
    /// The pace of starts on gitlab.com where a config says nothing; 0 is none.
    pub writes_per_minute: u32,
}

/// GitLab CI/CD.
pub struct GitlabCi {
    pub(super) name: Slug,
    pub(super) api: Api,
    pub(super) hosts: AllowedHosts,
    search_lag: Duration,
}

impl GitlabCi {
    /// The platform, not yet connected to anything: every job's config says where to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(parts: Parts) -> Result<Self, BuildError> {
        let Parts { secrets, budgets, clock, hosts, http, search_lag, writes_per_minute } = parts;
        let name = Slug::of_name(GITLAB_CI);
        let budgets = Budgets::new(budgets, name.clone(), writes_per_minute);
        let api = Api::new(HttpClient::new(&http)?, secrets, budgets, clock);
        Ok(Self { name, api, hosts, search_lag })
    }

    fn config(&self, config: &Map<String, Value>) -> Result<GitlabConfig, CallError> {
        Ok(GitlabConfig::parse(config, &self.hosts)?)
    }

    /// The project goes by its id, as in webhooks: its path may be spelled in several ways, and change.
    fn external(&self, config: &GitlabConfig, pipeline: &Pipeline, attempt: u32) -> ExternalRef {
        ExternalRef {
            platform: self.name.clone(),
            host: config.host.clone(),
            scope: pipeline.project_id.map_or_else(|| config.project.clone(), |id| id.to_string()),
            id: pipeline.id.to_string(),
            attempt,
            url: pipeline.web_url.clone(),
        }
    }
}

#[async_trait::async_trait]
impl Platform for GitlabCi {
    fn name(&self) -> Slug {
        self.name.clone()
    }

    fn event_tokens(&self) -> &'static [&'static str] {
        &GITLAB_EVENTS
    }

    fn search_lag(&self) -> Duration {
        self.search_lag
    }

    async fn ready(&self, config: &Map<String, Value>) -> Result<(), CallError> {
        self.api.ready(&self.config(config)?).await
    }

    async fn trigger(&self, request: &TriggerRequest<'_>) -> Result<Triggered, CallError> {
        let config = self.config(request.config)?;
        let job = request.job.to_string();
        let (mut inputs, mut variables) = (config.inputs.clone(), config.variables.clone());
        if let Some(input) = &config.job_id_input {
            inputs.insert(input.clone(), Value::String(job.clone()));
        }
        if let Some(variable) = &config.job_id_variable {
            variables.insert(variable.clone(), job);
        }
        let started = self.api.start(&config, &inputs, &variables).await;
        match started.map_err(|error| explained(error, &config))? {
            Started::Unnamed => Ok(Triggered::Accepted),
            Started::Pipeline(pipeline) => Ok(Triggered::Run {
                external: self.external(&config, &pipeline, 1),
                links: look::links(&pipeline, &Jobs::default()),
            }),
        }
    }

    async fn find(&self, key: &CorrelationKey<'_>, since: Timestamp) -> Result<Found, CallError> {
        let config = self.config(key.config)?;
        let found = find::pipelines_of(&self.api, &config, key.job, since).await?;
        let count = found.len();
        let Some(oldest) = found.into_iter().next() else { return Ok(Found::None) };
        // A pipeline that was deleted meanwhile is none.
        let Some(look) = Look::at(&self.api, &config, &oldest.id.to_string()).await? else {
            return Ok(Found::None);
        };
        let plain = look.meaning().unwrap_or_else(|| status::exists(&look.pipeline));
        let external = self.external(&config, &look.pipeline, look.attempt(1));
        let snapshot = Box::new(look.snapshot(plain, external.clone()));
        if count == 1 {
            Ok(Found::Run { external, snapshot })
        } else {
            Ok(Found::Several { external, snapshot, count })
        }
    }

    async fn observe(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Seen, CallError> {
        let config = self.config(config)?;
        let Some(look) = Look::at(&self.api, &config, &run.id).await? else { return Ok(Seen::Gone) };
        let Some(plain) = look.meaning() else {
            return Ok(Seen::UnknownWords { raw: look.pipeline.raw() });
        };
        let external = self.external(&config, &look.pipeline, look.attempt(run.attempt));
        Ok(Seen::Snapshot(Box::new(look.snapshot(plain, external))))
    }

    /// GitLab takes every wish to cancel; only what it shows then tells whether there was anything to end.
    async fn cancel(
        &self,
        config: &Map<String, Value>,
        run: &ExternalRef,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let config = self.config(config)?;
        let pipeline = match self.api.cancel(&config, &run.id).await? {
            Asked::Gone => return Ok(CancelAck::Gone),
            Asked::Accepted(pipeline) => pipeline,
        };
        match how {
            CancelMode::Graceful => {}
            CancelMode::Force => self.force(&config, &run.id).await?,
        }
        let ended_otherwise = pipeline
            .and_then(|pipeline| pipeline.status)
            .is_some_and(|status| status.is_over() && status != Status::Canceled);
        Ok(if ended_otherwise { CancelAck::AlreadyOver } else { CancelAck::Requested })
    }

    async fn rerun(&self, config: &Map<String, Value>, run: &ExternalRef) -> Result<Triggered, CallError> {
        let config = self.config(config)?;
        let rerun::Again { seen, attempt } = rerun::rerun(&self.api, &config, run).await?;
        let links = look::links(&seen.pipeline, &Jobs::default());
        Ok(Triggered::Run { external: self.external(&config, &seen.pipeline, attempt), links })
    }

    fn source_kind(&self) -> Option<&'static str> {
        Some("gitlab")
    }

    /// Runs go by the project's id. Where the config names the project by its path, only a look can tell whether it is that
    /// one; a delivery is no more than a reason to look anyway.
    fn runs_there(&self, config: &Map<String, Value>, run: &RunKey) -> bool {
        self.config(config).is_ok_and(|config| {
            config.host.eq_ignore_ascii_case(&run.host) && config.project.eq_ignore_ascii_case(&run.scope)
        })
    }

    fn read_event(&self, event: &PlatformEvent<'_>) -> Result<Vec<Signal>, NotReadable> {
        events::read(event)
    }

    fn recover(&self) -> Option<&dyn Recover> {
        Some(self)
    }
}

impl GitlabCi {
    /// Ends the jobs whose clean-up takes too long. Who may not is left to wait for it.
    async fn force(&self, config: &GitlabConfig, id: &str) -> Result<(), CallError> {
        let jobs = Jobs::of(self.api.jobs(config, id).await?);
        for job in jobs.at(Standing::Runs).filter(|job| job.status == Status::Canceling) {
            match self.api.force_cancel_job(config, job.id).await {
                Ok(()) => {}
                Err(CallError::Unauthorized(why) | CallError::Invalid(why)) => {
                    let why = telemetry::redact(&why).into_owned();
                    tracing::warn!(
                        host = config.host,
                        job = job.id,
                        "a job is not cancelled by force: {why}"
                    );
                }
                Err(
                    error @ (CallError::RateLimited { .. }
                    | CallError::Ambiguous(_)
                    | CallError::Transient(_)),
                ) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A project that does not take the job's id is the likeliest mistake: says what to do about it.
fn explained(error: CallError, config: &GitlabConfig) -> CallError {
    let CallError::Invalid(why) = error else { return error };
    let said = why.to_ascii_lowercase();
    let hint = match (&config.job_id_input, &config.job_id_variable) {
        (_, Some(variable)) if said.contains("permissions to set pipeline variables") => format!(
            ": let this credential's role use pipeline variables in the project's CI/CD settings, or declare an input for \
             the job's id and name it in jobIdInput (variable {variable})"
        ),
        (Some(input), _)
            if said.contains("inputs not defined")
                || (said.contains("unknown input") && why.contains(input)) =>
        {
            format!(
                ": declare the input {input} under spec:inputs of the project's pipeline on {}",
                config.git_ref
            )
        }
        (Some(_) | None, _) => String::new(),
    };
    CallError::Invalid(format!("{why}{hint}"))
}
