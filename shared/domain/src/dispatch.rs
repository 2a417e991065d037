//! Dispatch: which agent runs a job, and with what config. Pure; the dispatcher only sends what comes out.

use crate::Timestamp;
use crate::catalog::{
    WorkspaceCatalog, deployment_context, environment_context, job_agent_context, resource_context,
    version_context,
};
use crate::entity::{Deadlines, Deployment, Environment, JobAgent, Record, Resource, Version};
use crate::id::JobAgentId;
use crate::job::{Dispatch, JobRef, Purpose, Reason, TerminalStatus};
use crate::merge;
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use crate::target::Variables;
use crate::template::{self, Rendered, TemplateError};
use crate::token::Slug;
use crate::variables;
use crate::verification;
use crate::workflow;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The platform token of jobs that any program may pull.
pub const HTTP_PULL: &str = "http-pull";

/// Config that only the agent itself may set: where the platform is, and by which secret it is reached. A deployment
/// or a version that could set it could send the agent's credentials elsewhere.
pub const AGENT_ONLY_KEYS: &[&str] = &[
    "baseUrl",
    "appId",
    "clientId",
    "installationId",
    "privateKeySecret",
    "tokenSecret",
    "triggerTokenSecret",
    "rateLimit",
    "caSecret",
    "kubeconfigSecret",
    "context",
    "via",
];

/// Variables an agent selector sees.
pub const AGENT_SELECTOR_VARIABLES: &[&str] = &["jobAgent", "resource", "environment", "deployment"];

/// Names the templates of a config see.
pub const CONTEXT_NAMES: &[&str] = &[
    "workspace",
    "deployment",
    "environment",
    "resource",
    "version",
    "release",
    "variables",
    "jobAgent",
    "job",
];

/// Why a job cannot be dispatched: it ends so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Undispatchable {
    /// How the job ends.
    pub status: TerminalStatus,
    /// Why, where the status alone does not say.
    pub reason: Option<Reason>,
    /// For a person.
    pub message: String,
}

impl Undispatchable {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: TerminalStatus::InvalidJobAgent, reason: Some(reason), message: message.into() }
    }

    /// There is nothing to do any more.
    pub(crate) fn skipped(message: impl Into<String>) -> Self {
        Self { status: TerminalStatus::Skipped, reason: None, message: message.into() }
    }

    /// Somebody wished that it end.
    pub(crate) fn cancelled(message: impl Into<String>) -> Self {
        let reason = Some(Reason::CancelledByUser);
        Self { status: TerminalStatus::Cancelled, reason, message: message.into() }
    }

    /// The job's workspace is gone.
    pub fn no_workspace(workspace: &Slug) -> Self {
        Self::new(Reason::BadConfig, format!("workspace {workspace} is not in the catalog"))
    }
}

/// What a job is made of.
struct Parts<'a> {
    deployment: &'a Record<Deployment>,
    environment: &'a Record<Environment>,
    resource: &'a Record<Resource>,
    version: &'a Record<Version>,
}

/// Whether the job was asked for the version as it is now. By content, because the clocks of who changes a version and of
/// who decides may differ; by when it was asked for, where the job does not tell its content.
pub fn is_as_asked_for(version: &Record<Version>, job: &JobRef, asked_at: Timestamp) -> bool {
    match job.content {
        Some(content) => version.content() == content,
        None => version.spec.content_since.is_none_or(|changed| changed <= asked_at),
    }
}

/// Whether a job that was asked for then brings what its gates let go: a version that was changed since is another one to
/// them.
///
/// # Errors
/// When it was changed. The job ends as one that was superseded, so that another is asked for when they let that one go.
pub fn as_asked_for(
    workspace: &WorkspaceCatalog,
    job: &JobRef,
    asked_at: Timestamp,
) -> Result<(), Undispatchable> {
    let version = workspace.version(job.version).filter(|_| job.purpose.is_deploy());
    if version.is_none_or(|version| is_as_asked_for(version, job, asked_at)) {
        return Ok(());
    }
    Err(Undispatchable {
        status: TerminalStatus::Cancelled,
        reason: Some(Reason::Superseded),
        message: format!(
            "{} was changed after this job was asked for: its rules are asked of what it is now",
            job.tag
        ),
    })
}

/// The agent and the rendered config of a job.
///
/// # Errors
/// When no agent matches, a part of the job is gone, or its config cannot be rendered. The job ends by that.
pub fn dispatch(workspace: &WorkspaceCatalog, job: &JobRef) -> Result<Dispatch, Undispatchable> {
    match job.purpose {
        Purpose::Deploy => deploy(workspace, job),
        Purpose::Verify { of, policy, rule_index } => {
            verification::plan(workspace, job, of, policy, rule_index)
        }
        Purpose::Workflow { run, .. } => workflow::dispatch(workspace, job, run),
    }
}

fn deploy(workspace: &WorkspaceCatalog, job: &JobRef) -> Result<Dispatch, Undispatchable> {
    let parts = parts(workspace, job)?;
    let (agent, ref_config) = choose_agent(workspace, &parts)?;
    not_ours(agent)?;
    let variables = variables::resolve(workspace, &job.target)
        .map_err(|why| Undispatchable::new(Reason::BadConfig, why.to_string()))?;
    let context = context(workspace, job, &parts, &variables, Some(agent));
    let rendered = template::render_config(&config(agent, ref_config, &parts), &context, &variables);
    let rendered = rendered
        .and_then(refuse_secrets_for_the_agent)
        .map_err(|why| Undispatchable::new(Reason::BadConfig, format!("config: {why}")))?;
    Ok(to_agent(agent, rendered, context, parts.deployment.spec.deadlines))
}

/// The dispatch to an agent of the catalog.
pub(crate) fn to_agent(
    agent: &Record<JobAgent>,
    Rendered { config, secrets }: Rendered,
    context: Map<String, Value>,
    deadlines: Deadlines,
) -> Dispatch {
    Dispatch {
        agent: JobAgentId(agent.meta.id),
        agent_name: agent.meta.name.clone(),
        platform: agent.spec.platform.clone(),
        config,
        secrets,
        context: Value::Object(context),
        deadlines,
    }
}

/// Refuses an agent of a type that only the system itself may use.
pub(crate) fn not_ours(agent: &Record<JobAgent>) -> Result<(), Undispatchable> {
    if agent.spec.platform.as_str() != verification::PLATFORM {
        return Ok(());
    }
    let why = format!(
        "the type {:?} of job agent {:?} is the system's own",
        verification::PLATFORM,
        agent.meta.name
    );
    Err(Undispatchable::new(Reason::NoAgent, why))
}

/// What templates see when they speak of a job that brings a release, for those that are rendered beside its own config.
/// `jobAgent` is the one that would run it now; where there is none, the name is not known. Nor are secrets: only the
/// agent that brings the release gets them.
pub(crate) fn context_of(workspace: &WorkspaceCatalog, job: &JobRef) -> Result<Value, Undispatchable> {
    let parts = parts(workspace, job)?;
    let mut variables = variables::resolve(workspace, &job.target)
        .map_err(|why| Undispatchable::new(Reason::BadConfig, why.to_string()))?;
    variables.retain(|_, value| variables::secret_of(value).is_none());
    let agent = choose_agent(workspace, &parts).ok().map(|(agent, _)| agent);
    Ok(Value::Object(context(workspace, job, &parts, &variables, agent)))
}

fn parts<'a>(workspace: &'a WorkspaceCatalog, job: &JobRef) -> Result<Parts<'a>, Undispatchable> {
    let gone = |what: &str| {
        Undispatchable::new(Reason::BadConfig, format!("the {what} is not in the catalog any more"))
    };
    Ok(Parts {
        deployment: workspace.deployment(job.target.deployment).ok_or_else(|| gone("deployment"))?,
        environment: workspace.environment(job.target.environment).ok_or_else(|| gone("environment"))?,
        resource: workspace.resource(job.target.resource).ok_or_else(|| gone("resource"))?,
        version: workspace.version(job.version).ok_or_else(|| gone("version"))?,
    })
}

/// An agent, and the config the deployment's entry for it lays over the agent's own.
type Chosen<'a> = (&'a Record<JobAgent>, Option<&'a Map<String, Value>>);

/// The first entry of the deployment's list whose selector matches; else, of the agents its selector matches, the
/// first by name.
fn choose_agent<'a>(
    workspace: &'a WorkspaceCatalog,
    parts: &Parts<'a>,
) -> Result<Chosen<'a>, Undispatchable> {
    let agents = by_name(workspace);
    let chooser = Chooser::new(parts).map_err(|why| Undispatchable::new(Reason::NoAgent, why.to_string()))?;
    let spec = &parts.deployment.spec;
    for entry in &spec.job_agents {
        let agent = named(&agents, &entry.name)?;
        if chooser.selects(entry.selector.as_deref(), agent)? {
            return Ok((agent, Some(&entry.config)));
        }
    }
    if let Some(selector) = &spec.job_agent_selector {
        for agent in &agents {
            if chooser.selects(Some(selector), agent)? {
                return Ok((agent, None));
            }
        }
    }
    Err(Undispatchable::new(
        Reason::NoAgent,
        format!(
            "no job agent matches deployment {:?} on resource {:?}",
            parts.deployment.meta.name, parts.resource.meta.name
        ),
    ))
}

/// The agents in the order in which selectors choose.
pub(crate) fn by_name(workspace: &WorkspaceCatalog) -> Vec<&Record<JobAgent>> {
    let mut agents: Vec<&Record<JobAgent>> = workspace.job_agents().collect();
    agents.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
    agents
}

/// The agent that is meant by its name or its id.
pub(crate) fn named<'a>(
    agents: &[&'a Record<JobAgent>],
    text: &str,
) -> Result<&'a Record<JobAgent>, Undispatchable> {
    let id = Uuid::parse_str(text).ok();
    let is_it = |agent: &&Record<JobAgent>| agent.meta.name == text || id == Some(agent.meta.id);
    let found = agents.iter().copied().find(is_it);
    found.ok_or_else(|| Undispatchable::new(Reason::NoAgent, format!("there is no job agent {text:?}")))
}

struct Chooser {
    deployment: ScopeValue,
    environment: ScopeValue,
    resource: ScopeValue,
}

impl Chooser {
    fn new(parts: &Parts<'_>) -> Result<Self, SelectorError> {
        Ok(Self {
            deployment: value_of(&deployment_context(parts.deployment))?,
            environment: value_of(&environment_context(parts.environment))?,
            resource: value_of(&resource_context(parts.resource))?,
        })
    }

    fn selects(&self, selector: Option<&str>, agent: &Record<JobAgent>) -> Result<bool, Undispatchable> {
        let Some(source) = selector else { return Ok(true) };
        let judged = Selector::compile(source, AGENT_SELECTOR_VARIABLES).and_then(|selector| {
            let scope = Scope::default()
                .with("deployment", self.deployment.clone())
                .with("environment", self.environment.clone())
                .with("resource", self.resource.clone())
                .with("jobAgent", value_of(&job_agent_context(agent))?);
            selector.matches(&scope)
        });
        judged.map_err(|why| Undispatchable::new(Reason::NoAgent, format!("the job agent's selector: {why}")))
    }
}

/// What templates see.
fn context(
    workspace: &WorkspaceCatalog,
    job: &JobRef,
    parts: &Parts<'_>,
    variables: &Variables,
    agent: Option<&Record<JobAgent>>,
) -> Map<String, Value> {
    let version = json!(version_context(parts.version));
    let release = json!({ "id": job.release, "version": version, "variables": variables });
    let context = [
        ("workspace", json!({ "slug": workspace.slug() })),
        ("deployment", json!(deployment_context(parts.deployment))),
        ("environment", json!(environment_context(parts.environment))),
        ("resource", json!(resource_context(parts.resource))),
        ("version", version),
        ("release", release),
        ("variables", json!(variables)),
        ("job", json!({ "id": job.id, "attempt": job.attempt })),
    ];
    let agent = agent.map(|agent| ("jobAgent", json!(job_agent_context(agent))));
    context.into_iter().chain(agent).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// agent < the deployment's entry for it < deployment < version, deep.
fn config(
    agent: &Record<JobAgent>,
    ref_config: Option<&Map<String, Value>>,
    parts: &Parts<'_>,
) -> Map<String, Value> {
    let own = &agent.spec.config;
    let layers = [
        ref_config,
        Some(&parts.deployment.spec.job_agent_config),
        Some(&parts.version.spec.job_agent_config),
    ];
    let mut merged =
        layers.into_iter().flatten().fold(own.clone(), |below, above| merge::deep(&below, above));
    keep_agent_only(own, &mut merged);
    merged
}

/// Takes what only the agent may set from the agent.
pub(crate) fn keep_agent_only(own: &Map<String, Value>, merged: &mut Map<String, Value>) {
    for key in AGENT_ONLY_KEYS {
        match own.get(*key) {
            Some(value) => merged.insert((*key).to_owned(), value.clone()),
            None => merged.remove(*key),
        };
    }
}

/// What the agent is reached by is no place for a secret: it is said in errors, and names secrets itself.
fn refuse_secrets_for_the_agent(rendered: Rendered) -> Result<Rendered, TemplateError> {
    let key_of = |pointer: &str| pointer.split('/').nth(1).map(str::to_owned);
    match rendered
        .secrets
        .keys()
        .filter_map(|it| key_of(it))
        .find(|it| AGENT_ONLY_KEYS.contains(&it.as_str()))
    {
        Some(key) => Err(TemplateError(format!("{key}: a variable that is a secret cannot be used here"))),
        None => Ok(rendered),
    }
}
