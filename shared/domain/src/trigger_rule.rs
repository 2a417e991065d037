//! Trigger rules: from an event to the version it makes, or the run it begins. They alone know what an event means.

use crate::Timestamp;
use crate::catalog::WorkspaceCatalog;
use crate::entity::{
    BegunBy, CreateVersion, Entity, Meta, Metadata, Record, RunWorkflow, Trigger, TriggerAction, Version,
    VersionStatus,
};
use crate::id::{TriggerId, VersionId, WorkflowRunId};
use crate::selector::{Scope, Selector, SelectorError, value_of};
use crate::template::{TemplateError, render_map, render_str};
use crate::trigger::TriggerAttributes;
use crate::workflow;
use serde_json::{Value, json};

/// Variables a trigger's condition and templates see.
pub const TRIGGER_VARIABLES: &[&str] = &["event", "type", "source", "subject"];
/// Longest tag, in characters.
pub const TAG_CHARS_MAX: usize = 200;
/// Metadata key of the delivery a version was made of.
pub const DELIVERY: &str = "ctrlplane/delivery";
/// Metadata key of who made a version.
pub const CREATED_BY: &str = "createdBy";
/// Where payloads say whose doing an event is: GitHub's; GitLab's of a push, and of all else. Neither CloudEvents nor
/// CDEvents have a field for it: there the trigger's `metadata` says which it is.
const MAKERS: [&str; 3] = ["/sender/login", "/user_username", "/user/username"];

/// Why a rule could not be applied to an event that it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its condition cannot be evaluated.
    #[error("`when` of trigger {0:?}: {1}")]
    When(String, SelectorError),
    /// A template cannot be rendered.
    #[error("{1} of trigger {0:?}: {2}")]
    Template(String, &'static str, TemplateError),
    /// The workflow is not there.
    #[error("trigger {0:?} runs a workflow that is not in the catalog")]
    NoWorkflow(String),
    /// The inputs do not fit the workflow.
    #[error("trigger {0:?}: {1}")]
    Inputs(String, String),
    /// The tag is empty or too long.
    #[error("trigger {0:?} makes a tag of {1} characters; 1 to {TAG_CHARS_MAX} are allowed")]
    Tag(String, usize),
}

/// A trigger with its condition compiled: once, when it is declared, and not at every event.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The trigger.
    pub trigger: Record<Trigger>,
    when: Option<Result<Selector, SelectorError>>,
}

/// An event as conditions and templates see it; made once for all rules.
pub struct Event<'a> {
    attributes: &'a TriggerAttributes,
    payload: &'a Value,
    scope: Result<Scope, SelectorError>,
}

impl Rule {
    /// The rule of a trigger. A condition that does not compile fails every event it is about.
    pub fn new(trigger: Record<Trigger>) -> Self {
        let when = trigger.spec.when.as_ref().map(|when| Selector::compile(when, TRIGGER_VARIABLES));
        Self { trigger, when }
    }

    fn holds(&self, event: &Event<'_>) -> Result<bool, RuleError> {
        let Some(when) = &self.when else { return Ok(true) };
        let judged = match (when, &event.scope) {
            (Ok(selector), Ok(scope)) => selector.matches(scope),
            (Err(why), _) | (_, Err(why)) => Err(why.clone()),
        };
        judged.map_err(|why| RuleError::When(self.trigger.meta.name.clone(), why))
    }
}

impl<'a> Event<'a> {
    /// The event with its payload.
    pub fn new(attributes: &'a TriggerAttributes, payload: &'a Value) -> Self {
        let scope = || {
            Ok(Scope::default()
                .with("event", value_of(payload)?)
                .with("type", value_of(&attributes.event_type)?)
                .with("source", value_of(&attributes.source)?)
                .with("subject", value_of(&attributes.subject)?))
        };
        Self { attributes, payload, scope: scope() }
    }
}

/// What the rule makes of the event; nothing when its condition does not hold. The same event makes the same: the id of a
/// version comes of deployment and tag, that of a run of the delivery and the trigger.
///
/// # Errors
/// When condition or templates fail.
pub fn apply(
    rule: &Rule,
    event: &Event<'_>,
    workspace: &WorkspaceCatalog,
    created_at: Timestamp,
) -> Result<Option<Entity>, RuleError> {
    if !rule.holds(event)? {
        return Ok(None);
    }
    match &rule.trigger.spec.then {
        TriggerAction::CreateVersion(action) => {
            let mut version = version(&rule.trigger, action, event.attributes, event.payload, created_at)?;
            workspace.date(None, &mut version);
            Ok(Some(Entity::Version(version)))
        }
        TriggerAction::RunWorkflow(action) => {
            run(&rule.trigger, action, event, workspace, created_at).map(Some)
        }
    }
}

fn run(
    trigger: &Record<Trigger>,
    action: &RunWorkflow,
    event: &Event<'_>,
    workspace: &WorkspaceCatalog,
    at: Timestamp,
) -> Result<Entity, RuleError> {
    let name = || trigger.meta.name.clone();
    let workflow = workspace.workflow(action.workflow).ok_or_else(|| RuleError::NoWorkflow(name()))?;
    let inputs = render_map(&action.inputs, &context(event.attributes, event.payload))
        .map_err(|why| RuleError::Template(name(), "inputs", why))?;
    let id = TriggerId(trigger.meta.id);
    let delivery = event.attributes.id.clone();
    let run = WorkflowRunId::of_delivery(&event.attributes.workspace, &delivery, id);
    let begun_by = BegunBy::Trigger { id, name: name(), delivery };
    workflow::begin(workflow, run, &inputs, begun_by, at).map(Entity::WorkflowRun).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        RuleError::Inputs(name(), told.join("; "))
    })
}

fn context(attributes: &TriggerAttributes, event: &Value) -> Value {
    json!({
        "event": event,
        "type": attributes.event_type,
        "source": attributes.source,
        "subject": attributes.subject,
    })
}

fn version(
    trigger: &Record<Trigger>,
    action: &CreateVersion,
    attributes: &TriggerAttributes,
    event: &Value,
    created_at: Timestamp,
) -> Result<Record<Version>, RuleError> {
    let context = context(attributes, event);
    let failed = |field| move |why| RuleError::Template(trigger.meta.name.clone(), field, why);
    let tag = render_str(&action.tag, &context).map_err(failed("tag"))?.trim().to_owned();
    let length = tag.chars().count();
    if length == 0 || length > TAG_CHARS_MAX {
        return Err(RuleError::Tag(trigger.meta.name.clone(), length));
    }
    let name = match &action.name {
        Some(name) => render_str(name, &context).map_err(failed("name"))?,
        None => tag.clone(),
    };
    let config = render_map(&action.config, &context).map_err(failed("config"))?;
    let mut metadata = Metadata::new();
    for (key, template) in &action.metadata {
        metadata.insert(key.clone(), render_str(template, &context).map_err(failed("metadata"))?);
    }
    metadata.insert(DELIVERY.to_owned(), attributes.id.clone());
    if let Some(login) = MAKERS.iter().find_map(|pointer| event.pointer(pointer)?.as_str()) {
        metadata.entry(CREATED_BY.to_owned()).or_insert_with(|| login.to_owned());
    }
    let meta = Meta {
        id: VersionId::of(action.deployment, &tag).0,
        workspace: attributes.workspace.clone(),
        name,
        metadata,
        created_at,
        updated_at: created_at,
    };
    let spec = Version {
        deployment: action.deployment,
        tag,
        status: VersionStatus::Ready,
        config,
        job_agent_config: Default::default(),
        dependencies: Vec::new(),
        known_since: None,
        content_since: None,
        edited_by: Default::default(),
    };
    Ok(Record { meta, spec })
}
