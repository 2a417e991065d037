//! The calls this agent makes to Argo Server, typed. Each is admitted by the budget, signed, and refused in the caller's terms.
//! It knows workflows, not jobs.

use super::auth;
use super::budgets::Budgets;
use crate::argo::config::{ArgoConfig, ServerPlace, Template};
use crate::argo::names::ATTEMPT_PARAMETER;
use crate::argo::refusal;
use crate::argo::words::Phase;
use crate::argo::workflow::Workflow;
use domain::token::Slug;
use http::{Method, StatusCode};
use platform::budget::{Kind, Learned};
use platform::http::{Call, Effect, HttpClient, Outcome};
use platform::{CallError, CancelAck, CancelMode, Clock};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service::Secrets;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is asked for of a workflow: its pods' templates and outputs may be large.
pub(super) const FIELDS: [&str; 19] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.labels",
    "spec.suspend",
    "spec.shutdown",
    "spec.arguments",
    "spec.templates",
    "status.phase",
    "status.message",
    "status.progress",
    "status.startedAt",
    "status.finishedAt",
    "status.nodes",
    "status.compressedNodes",
    "status.offloadNodeStatusVersion",
    "status.storedTemplates",
    "status.storedWorkflowTemplateSpec",
];

/// What a submission brought.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::argo) enum Submitted {
    /// This workflow.
    New(Box<Workflow>),
    /// There is one of that name already.
    Exists,
}

/// The client of Argo Server.
pub(in crate::argo) struct Api {
    pub(super) http: HttpClient,
    pub(super) secrets: Arc<Secrets>,
    budgets: Budgets,
    pub(super) clock: Clock,
}

struct Request {
    method: Method,
    url: Url,
    body: Option<Value>,
    effect: Effect,
}

impl Request {
    fn read(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, effect: Effect::Read }
    }

    /// A write whose repetition does harm.
    fn write(method: Method, url: Url, body: Value) -> Self {
        Self { method, url, body: Some(body), effect: Effect::Write }
    }

    /// A write that may be repeated.
    fn ask(method: Method, url: Url, body: Value) -> Self {
        Self { method, url, body: Some(body), effect: Effect::Read }
    }
}

impl Api {
    pub(in crate::argo) fn new(
        http: HttpClient,
        secrets: Arc<Secrets>,
        budgets: Arc<platform::budget::Budgets>,
        clock: Clock,
        platform: Slug,
    ) -> Self {
        Self { http, secrets, budgets: Budgets::new(budgets, platform), clock }
    }

    /// Takes the place in the budget for a submission or a retry, and makes sure of a token.
    pub(in crate::argo) async fn ready(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
    ) -> Result<(), CallError> {
        auth::headers(&self.secrets, &server.token_secret, "application/json")?;
        self.budgets.of(config, server).admit(Kind::Write).await?;
        Ok(())
    }

    /// Starts a workflow of that name from the config's template.
    pub(in crate::argo) async fn submit(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Submitted, CallError> {
        let (kind, template) = match &config.template {
            Template::Namespaced(name) => ("WorkflowTemplate", name),
            Template::Cluster(name) => ("ClusterWorkflowTemplate", name),
        };
        let labels: Vec<String> = labels.iter().map(pair).collect();
        let mut options = json!({ "name": name, "labels": labels.join(",") });
        if !config.parameters.is_empty() {
            options["parameters"] = config.parameters.iter().map(pair).collect();
        }
        if let Some(account) = &config.service_account {
            options["serviceAccount"] = json!(account);
        }
        if let Some(entrypoint) = &config.entrypoint {
            options["entryPoint"] = json!(entrypoint);
        }
        let body = json!({ "namespace": config.namespace, "resourceKind": kind, "resourceName": template,
            "submitOptions": options });
        let url = server.base.below(["api", "v1", "workflows", &config.namespace, "submit"]);
        let outcome = self.call(config, server, Request::write(Method::POST, url, body)).await?;
        match outcome.status {
            // Whatever the body says, the workflow is there.
            status if status.is_success() => Ok(match serde_json::from_slice(&outcome.body) {
                Ok(workflow) => Submitted::New(Box::new(workflow)),
                Err(_) => Submitted::Exists,
            }),
            StatusCode::CONFLICT => Ok(Submitted::Exists),
            _ => Err(self.refused(&outcome, Effect::Write)),
        }
    }

    /// Reads a workflow, from the archive where its object is gone; `None` where there is neither.
    pub(in crate::argo) async fn read(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        name: &str,
    ) -> Result<Option<Workflow>, CallError> {
        let mut url = workflow_url(config, server, [name]);
        url.query_pairs_mut().append_pair("fields", &FIELDS.join(","));
        let outcome = self.call(config, server, Request::read(url)).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome).map(Some),
            StatusCode::NOT_FOUND => self.archived(config, server, name).await,
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// The archived workflow of that name. Servers since 3.5 look there themselves; where there is no archive, or it is not for
    /// us to see, nothing is found.
    async fn archived(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        name: &str,
    ) -> Result<Option<Workflow>, CallError> {
        #[derive(Deserialize)]
        struct List {
            items: Option<Vec<Workflow>>,
        }
        let mut url = server.base.below(["api", "v1", "archived-workflows"]);
        url.query_pairs_mut()
            .append_pair("namespace", &config.namespace)
            .append_pair(
                "listOptions.fieldSelector",
                &format!("metadata.namespace={},metadata.name={name}", config.namespace),
            )
            .append_pair("listOptions.limit", "1");
        let outcome = self.call(config, server, Request::read(url)).await?;
        let listed = match outcome.status {
            StatusCode::OK => parse::<List>(&outcome)?.items.unwrap_or_default(),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::NOT_IMPLEMENTED => return Ok(None),
            _ => return Err(self.refused(&outcome, Effect::Read)),
        };
        // Old servers select by the beginning of a name only.
        let Some(found) = listed.into_iter().find(|it| it.metadata.name == name) else { return Ok(None) };
        // A list leaves the nodes out.
        let url = server.base.below(["api", "v1", "archived-workflows", &found.metadata.uid]);
        let outcome = self.call(config, server, Request::read(url)).await?;
        match outcome.status {
            StatusCode::OK => parse(&outcome).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// Asks for the end of a workflow: gracefully so that its exit handlers run, by force without them. Asking twice is the same.
    pub(in crate::argo) async fn end(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        name: &str,
        how: CancelMode,
    ) -> Result<CancelAck, CallError> {
        let verb = match how {
            CancelMode::Graceful => "stop",
            CancelMode::Force => "terminate",
        };
        let body = json!({ "namespace": config.namespace, "name": name });
        let url = workflow_url(config, server, [name, verb]);
        let outcome = self.call(config, server, Request::ask(Method::PUT, url, body)).await?;
        match outcome.status {
            status if status.is_success() => Ok(CancelAck::Requested),
            StatusCode::NOT_FOUND => Ok(CancelAck::Gone),
            _ if refusal::is_over_already(&outcome) => Ok(CancelAck::AlreadyOver),
            _ => Err(self.refused(&outcome, Effect::Read)),
        }
    }

    /// Runs a workflow that is over again, as that attempt: what failed of it, or all of it where nothing did. What it was
    /// given counts on, and the attempt with it.
    pub(in crate::argo) async fn retry(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        workflow: &Workflow,
        attempt: u32,
    ) -> Result<Option<Workflow>, CallError> {
        let (name, uid) = (&workflow.metadata.name, &workflow.metadata.uid);
        let mut parameters = workflow.parameters();
        parameters.insert(ATTEMPT_PARAMETER.to_owned(), attempt.to_string());
        let parameters: Vec<String> = parameters.iter().map(pair).collect();
        let mut body =
            json!({ "namespace": config.namespace, "name": name, "uid": uid, "parameters": parameters });
        if workflow.status.phase == Phase::Succeeded {
            // Argo retries what went well only from a step that is named. The first one, of the workflow's name, is all of it.
            body["restartSuccessful"] = json!(true);
            body["nodeFieldSelector"] = json!(format!("name={name}"));
        }
        let archived = server.base.below(["api", "v1", "archived-workflows", uid, "retry"]);
        for url in [workflow_url(config, server, [name.as_str(), "retry"]), archived] {
            let outcome = self.call(config, server, Request::write(Method::PUT, url, body.clone())).await?;
            match outcome.status {
                status if status.is_success() => {
                    // Whatever the body says, it runs again.
                    return Ok(Some(
                        serde_json::from_slice(&outcome.body).unwrap_or_else(|_| workflow.clone()),
                    ));
                }
                // The object is gone: the archive can bring it back.
                StatusCode::NOT_FOUND => {}
                _ if refusal::is_not_over(&outcome) => {
                    return Err(CallError::Transient("the workflow is not over yet on Argo".to_owned()));
                }
                _ => return Err(self.refused(&outcome, Effect::Write)),
            }
        }
        Ok(None)
    }

    async fn call(
        &self,
        config: &ArgoConfig,
        server: &ServerPlace,
        request: Request,
    ) -> Result<Outcome, CallError> {
        let budget = self.budgets.of(config, server);
        // A write that may be made once only has its place already: see `ready`.
        if request.effect == Effect::Read {
            budget.admit(Kind::Read).await?;
        }
        let _slot = budget.slot().await;
        let headers = auth::headers(&self.secrets, &server.token_secret, "application/json")?;
        let call = match request.body {
            Some(body) => Call::write(request.method, request.url, headers, &body),
            None => Call::get(request.url, headers),
        };
        let outcome = self.http.send(call).await.map_err(|error| error.for_effect(request.effect))?;
        let blocked_for = refusal::limited(&outcome, self.clock.now());
        if blocked_for.is_some() {
            budget.learned(Learned { blocked_for, ..Learned::default() }).await;
        }
        Ok(outcome)
    }

    pub(super) fn refused(&self, outcome: &Outcome, effect: Effect) -> CallError {
        refusal::of(outcome, effect, self.clock.now())
    }
}

fn workflow_url<'s>(
    config: &'s ArgoConfig,
    server: &ServerPlace,
    below: impl IntoIterator<Item = &'s str>,
) -> Url {
    server.base.below(["api", "v1", "workflows", &config.namespace].into_iter().chain(below))
}

/// `name=value`, as Argo's command line and its server take labels and parameters.
fn pair((name, value): (&String, &String)) -> String {
    format!("{name}={value}")
}

fn parse<T: DeserializeOwned>(outcome: &Outcome) -> Result<T, CallError> {
    // The error may quote the answer, and the answer may hold a secret of the job.
    serde_json::from_slice(&outcome.body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        CallError::Transient(format!("Argo's answer cannot be read at line {line}, column {column}"))
    })
}
