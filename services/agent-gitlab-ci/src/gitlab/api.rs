//! The calls this agent makes, typed. Each is admitted by the budget, signed with the token of the config, and refused in
//! the caller's terms. It knows pipelines, not jobs of ours.

use super::config::{GitlabConfig, as_text};
use super::jobs::Job;
use super::pipeline::Pipeline;
use super::{budgets, refusal};
use bytes::Bytes;
use chrono::SecondsFormat;
use domain::Timestamp;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use platform::budget::Kind;
use platform::config::SecretName;
use platform::http::{Call, Effect, HttpClient, Outcome};
use platform::{CallError, Clock};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use service::Secrets;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most results a page of a listing may have.
pub(super) const PAGE_MAX: usize = 100;
/// How many pages of a pipeline's jobs are read.
const JOB_PAGES_MAX: usize = 20;

/// What a start brought.
#[derive(Debug)]
pub(super) enum Started {
    /// This pipeline.
    Pipeline(Box<Pipeline>),
    /// One that the answer does not name.
    Unnamed,
}

/// What became of a request about a pipeline.
#[derive(Debug)]
pub(super) enum Asked {
    /// GitLab heard it; the pipeline as it is now, where the answer shows it.
    Accepted(Option<Box<Pipeline>>),
    /// There is no such pipeline.
    Gone,
}

/// The client of GitLab's API.
pub(super) struct Api {
    http: HttpClient,
    secrets: Arc<Secrets>,
    budgets: budgets::Budgets,
    clock: Clock,
}

/// One request.
struct Request {
    method: Method,
    url: Url,
    body: Body,
    effect: Effect,
    /// Whether its place in the budget was taken before the intent was recorded.
    has_place: bool,
}

/// What a request carries.
enum Body {
    Empty,
    Json(Value),
    /// With a trigger token in it, and so without another credential.
    Form(Bytes),
}

impl Request {
    fn read(url: Url) -> Self {
        Self { method: Method::GET, url, body: Body::Empty, effect: Effect::Read, has_place: false }
    }

    /// What may be asked for again and again.
    fn ask(url: Url, body: Value) -> Self {
        let body = Body::Json(body);
        Self { method: Method::POST, url, body, effect: Effect::Read, has_place: false }
    }

    /// What must happen once only: it has its place already, see [`Api::ready`].
    fn write(url: Url, body: Body) -> Self {
        Self { method: Method::POST, url, body, effect: Effect::Write, has_place: true }
    }
}

impl Api {
    pub(super) fn new(
        http: HttpClient,
        secrets: Arc<Secrets>,
        budgets: budgets::Budgets,
        clock: Clock,
    ) -> Self {
        Self { http, secrets, budgets, clock }
    }

    /// Makes sure of the tokens, and takes the place in the budget for a start or a retry.
    pub(super) async fn ready(&self, config: &GitlabConfig) -> Result<(), CallError> {
        self.secret(&config.credential.token)?;
        if let Some(trigger_token) = &config.credential.trigger_token {
            self.secret(trigger_token)?;
        }
        self.budgets.of(config).admit(Kind::Write).await?;
        Ok(())
    }

    /// Starts a pipeline: by trigger token where there is one, else by access token.
    pub(super) async fn start(
        &self,
        config: &GitlabConfig,
        inputs: &Map<String, Value>,
        variables: &BTreeMap<String, String>,
    ) -> Result<Started, CallError> {
        let request = match &config.credential.trigger_token {
            Some(secret) => {
                let form = form(&config.base, &self.secret(secret)?, &config.git_ref, inputs, variables);
                Request::write(config.project_url(["trigger", "pipeline"]), Body::Form(form))
            }
            None => {
                let mut body = json!({ "ref": config.git_ref });
                if !inputs.is_empty() {
                    body["inputs"] = json!(inputs);
                }
                if !variables.is_empty() {
                    let variable =
                        |(key, value)| json!({ "key": key, "value": value, "variable_type": "env_var" });
                    body["variables"] = variables.iter().map(variable).collect();
                }
                Request::write(config.project_url(["pipeline"]), Body::Json(body))
            }
        };
        let outcome = self.call(config, request).await?;
        match outcome.status {
            // Whatever the body says, the pipeline was started.
            status if status.is_success() => Ok(match serde_json::from_slice(&outcome.body) {
                Ok(pipeline) => Started::Pipeline(Box::new(pipeline)),
                Err(_) => Started::Unnamed,
            }),
            StatusCode::NOT_FOUND => Err(match config.credential.trigger_token {
                Some(_) => CallError::Unauthorized(format!(
                    "GitLab knows no project {}, or the trigger token is none of its",
                    config.project
                )),
                None => no_project(config),
            }),
            _ => Err(self.refused(&outcome, Effect::Write)),
        }
    }

    /// Reads a pipeline; `None` where there is none.
    pub(super) async fn pipeline(
        &self,
        config: &GitlabConfig,
        id: &str,
    ) -> Result<Option<Pipeline>, CallError> {
        let outcome = self.call(config, Request::read(config.project_url(["pipelines", id]))).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome).map(Some),
            StatusCode::NOT_FOUND => self.sees_project(config).await.map(|()| None),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// All jobs of a pipeline, retried ones included; none where there is no such pipeline.
    pub(super) async fn jobs(&self, config: &GitlabConfig, id: &str) -> Result<Vec<Job>, CallError> {
        let mut url = config.project_url(["pipelines", id, "jobs"]);
        url.query_pairs_mut().append_pair("include_retried", "true");
        self.all_jobs(config, url).await
    }

    /// The bridges of a pipeline, those that were retried excepted.
    pub(super) async fn bridges(&self, config: &GitlabConfig, id: &str) -> Result<Vec<Job>, CallError> {
        self.all_jobs(config, config.project_url(["pipelines", id, "bridges"])).await
    }

    /// The failed jobs of a pipeline of some project.
    pub(super) async fn failed_jobs(
        &self,
        config: &GitlabConfig,
        project: &str,
        id: &str,
    ) -> Result<Vec<Job>, CallError> {
        let mut url = config.url_of(project, ["pipelines", id, "jobs"]);
        url.query_pairs_mut().append_pair("scope[]", "failed");
        self.all_jobs(config, url).await
    }

    async fn all_jobs(&self, config: &GitlabConfig, url: Url) -> Result<Vec<Job>, CallError> {
        let mut all = Vec::new();
        for page in 1..=JOB_PAGES_MAX {
            let outcome = self.call(config, Request::read(paged(url.clone(), page))).await?;
            let mut jobs: Vec<Job> = match outcome.status {
                StatusCode::OK => parse(&outcome)?,
                StatusCode::NOT_FOUND => break,
                _ => return Err(self.refused(&outcome, Effect::Read)),
            };
            let is_last = jobs.len() < PAGE_MAX;
            all.append(&mut jobs);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// A page of the pipelines that were started as we start them and have changed since then, newest first.
    pub(super) async fn pipelines(
        &self,
        config: &GitlabConfig,
        since: Timestamp,
        page: usize,
    ) -> Result<Vec<Pipeline>, CallError> {
        let source = if config.credential.trigger_token.is_some() { "trigger" } else { "api" };
        let mut url = config.project_url(["pipelines"]);
        url.query_pairs_mut()
            .append_pair("source", source)
            .append_pair("updated_after", &since.to_rfc3339_opts(SecondsFormat::Secs, true));
        let outcome = self.call(config, Request::read(paged(url, page))).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome),
            StatusCode::NOT_FOUND => Err(no_project(config)),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// The variables a pipeline was started with; none where there is no such pipeline. `None`: they are not shown to this
    /// credential, which a pipeline of somebody else's may well be the only one for.
    pub(super) async fn variables(
        &self,
        config: &GitlabConfig,
        id: &str,
    ) -> Result<Option<BTreeMap<String, String>>, CallError> {
        #[derive(Deserialize)]
        struct Variable {
            key: String,
            value: Option<String>,
        }
        let url = config.project_url(["pipelines", id, "variables"]);
        let outcome = self.call(config, Request::read(url)).await?;
        let variables: Vec<Variable> = match outcome.status {
            StatusCode::OK => parse(&outcome)?,
            StatusCode::NOT_FOUND => Vec::new(),
            StatusCode::FORBIDDEN => return Ok(None),
            _ => return Err(self.refused(&outcome, Effect::Read)),
        };
        let named = |Variable { key, value }| (key, value.unwrap_or_default());
        Ok(Some(variables.into_iter().map(named).collect()))
    }

    /// Asks for the end of a pipeline. GitLab says yes whether or not there is anything to end.
    pub(super) async fn cancel(&self, config: &GitlabConfig, id: &str) -> Result<Asked, CallError> {
        let url = config.project_url(["pipelines", id, "cancel"]);
        let outcome = self.call(config, Request::ask(url, json!({}))).await?;
        self.asked(config, &outcome, Effect::Read).await
    }

    /// Ends a job that is being cancelled without waiting for its clean-up. Only maintainers may.
    pub(super) async fn force_cancel_job(&self, config: &GitlabConfig, id: u64) -> Result<(), CallError> {
        let url = config.project_url(["jobs", &id.to_string(), "cancel"]);
        let outcome = self.call(config, Request::ask(url, json!({ "force": true }))).await?;
        if outcome.status.is_success() { Ok(()) } else { Err(self.refused(&outcome, Effect::Read)) }
    }

    /// Asks for another attempt of what failed or was cancelled in a pipeline.
    pub(super) async fn retry(&self, config: &GitlabConfig, id: &str) -> Result<Asked, CallError> {
        let url = config.project_url(["pipelines", id, "retry"]);
        let outcome = self.call(config, Request::write(url, Body::Json(json!({})))).await?;
        self.asked(config, &outcome, Effect::Write).await
    }

    /// Asks for another attempt of one job.
    pub(super) async fn retry_job(&self, config: &GitlabConfig, id: u64) -> Result<(), CallError> {
        let url = config.project_url(["jobs", &id.to_string(), "retry"]);
        let outcome = self.call(config, Request::write(url, Body::Json(json!({})))).await?;
        if outcome.status.is_success() { Ok(()) } else { Err(self.refused(&outcome, Effect::Write)) }
    }

    /// A call about webhooks: a read, or the wish that something be sent again.
    pub(super) async fn about_hooks(
        &self,
        config: &GitlabConfig,
        url: Url,
        kind: Kind,
    ) -> Result<Outcome, CallError> {
        let request = match kind {
            Kind::Write => Request::ask(url, json!({})),
            Kind::Read => Request::read(url),
        };
        self.call(config, request).await
    }

    /// What an answer that is no success means, where nothing was written.
    pub(super) fn refused_read(&self, outcome: &Outcome) -> CallError {
        self.refused(outcome, Effect::Read)
    }

    async fn asked(
        &self,
        config: &GitlabConfig,
        outcome: &Outcome,
        effect: Effect,
    ) -> Result<Asked, CallError> {
        match outcome.status {
            status if status.is_success() => {
                Ok(Asked::Accepted(serde_json::from_slice(&outcome.body).ok().map(Box::new)))
            }
            StatusCode::NOT_FOUND => self.sees_project(config).await.map(|()| Asked::Gone),
            _ => Err(self.refused(outcome, effect)),
        }
    }

    /// GitLab says "not found" of what we may not see. Before a pipeline is called gone, its project must be in sight.
    async fn sees_project(&self, config: &GitlabConfig) -> Result<(), CallError> {
        let outcome = self.call(config, Request::read(config.project_url([]))).await?;
        match outcome.status {
            StatusCode::OK => Ok(()),
            StatusCode::NOT_FOUND => Err(no_project(config)),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    async fn call(&self, config: &GitlabConfig, request: Request) -> Result<Outcome, CallError> {
        let Request { method, url, body, effect, has_place } = request;
        let budget = self.budgets.of(config);
        if !has_place {
            budget.admit(Kind::Read).await?;
        }
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let body = match body {
            Body::Form(form) => {
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(CONTENT_TYPE, form_type);
                form
            }
            body @ (Body::Empty | Body::Json(_)) => {
                headers.insert(AUTHORIZATION, bearer(&self.secret(&config.credential.token)?)?);
                match body {
                    Body::Json(json) => {
                        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                        Bytes::from(json.to_string())
                    }
                    Body::Empty | Body::Form(_) => Bytes::new(),
                }
            }
        };
        let _slot = budget.slot().await;
        let call = Call { method, url: url.into(), headers, body };
        let outcome = self.http.send(call).await.map_err(|error| error.for_effect(effect))?;
        budget.learned(budgets::learned(&outcome, self.clock.now())).await;
        Ok(outcome)
    }

    fn refused(&self, outcome: &Outcome, effect: Effect) -> CallError {
        refusal::of(outcome, effect, self.clock.now())
    }

    fn secret(&self, SecretName { workspace, name }: &SecretName) -> Result<SecretString, CallError> {
        self.secrets
            .for_workspace(workspace.as_str(), name)
            .map_err(|error| CallError::Unauthorized(error.to_string()))
    }
}

fn no_project(config: &GitlabConfig) -> CallError {
    CallError::Unauthorized(format!(
        "GitLab knows no project {}, or does not show it to this credential",
        config.project
    ))
}

fn bearer(token: &SecretString) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
        .map_err(|_| CallError::Unauthorized("the token holds characters no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body of a start by trigger token: that endpoint takes a form.
fn form(
    any: &Url,
    token: &SecretString,
    git_ref: &str,
    inputs: &Map<String, Value>,
    variables: &BTreeMap<String, String>,
) -> Bytes {
    let mut encoder = any.clone();
    encoder.set_query(None);
    let mut pairs = encoder.query_pairs_mut();
    pairs.append_pair("token", token.expose_secret().trim()).append_pair("ref", git_ref);
    for (name, value) in variables {
        pairs.append_pair(&format!("variables[{name}]"), value);
    }
    for (name, value) in inputs {
        pairs.append_pair(&format!("inputs[{name}]"), &as_text(value.clone()));
    }
    drop(pairs);
    Bytes::from(encoder.query().unwrap_or_default().to_owned())
}

fn paged(mut url: Url, page: usize) -> Url {
    url.query_pairs_mut()
        .append_pair("per_page", &PAGE_MAX.to_string())
        .append_pair("page", &page.to_string());
    url
}

pub(super) fn parse<T: DeserializeOwned>(outcome: &Outcome) -> Result<T, CallError> {
    serde_json::from_slice(&outcome.body)
        .map_err(|error| CallError::Transient(format!("GitLab's answer cannot be read: {error}")))
}
