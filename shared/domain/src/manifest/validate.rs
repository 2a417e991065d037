//! What an entity must be beyond its types: expressions compile, templates parse, numbers are in range, no secrets.

mod control;
mod rules;
mod variables;
mod verification;
mod workflow;

use super::{Problem, secrets};
use crate::Timestamp;
use crate::audit::EVERYWHERE;
use crate::dispatch::{AGENT_ONLY_KEYS, AGENT_SELECTOR_VARIABLES, CONTEXT_NAMES};
use crate::entity::{
    Approval, Deployment, Entity, Environment, JobAgent, Meta, Resource, Trigger, TriggerAction,
    TriggerSource, Version, Workspace,
};
use crate::near::near;
use crate::selector::Selector;
use crate::template;
use crate::token::Slug;
use crate::trigger_rule::{TAG_CHARS_MAX, TRIGGER_VARIABLES};
use crate::workflow as workflow_names;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 2_000;
/// Longest key of metadata, in bytes.
const METADATA_KEY_BYTES_MAX: usize = 256;
/// Metadata key of the links people see: a JSON map of name to URL.
const LINKS: &str = "ctrlplane/links";

/// Everything that is wrong with an entity whose types are right. Fields are paths as manifests have them.
pub fn validate(entity: &Entity) -> Vec<Problem> {
    let mut found = Found::default();
    found.meta(entity.meta());
    match entity {
        Entity::Workspace(record) => found.workspace(&record.meta, &record.spec),
        Entity::System(_) => {}
        Entity::Environment(record) => found.environment(&record.spec),
        Entity::Resource(record) => found.resource(&record.spec),
        Entity::JobAgent(record) => found.job_agent(&record.spec),
        Entity::Deployment(record) => found.deployment(&record.spec),
        Entity::Policy(record) => found.policy(&record.meta, &record.spec),
        Entity::TriggerSource(record) => found.trigger_source(&record.meta, &record.spec),
        Entity::Trigger(record) => found.trigger(&record.spec),
        Entity::Version(record) => found.version(&record.spec),
        Entity::Approval(record) => found.approval(&record.spec),
        Entity::Freeze(record) => found.freeze(&record.spec),
        Entity::VariableSet(record) => found.variable_set(&record.spec),
        Entity::RelationshipRule(record) => found.relationship_rule(&record.spec),
        Entity::ResourceProvider(_) => {}
        Entity::Skip(record) => found.skip(&record.meta, &record.spec),
        Entity::Pin(record) => found.pin(&record.spec),
        Entity::Redeploy(record) => found.redeploy(&record.meta, &record.spec),
        Entity::RolloutControl(record) => found.rollout_control(&record.meta, &record.spec),
        Entity::Workflow(record) => found.workflow(&record.spec),
        // It is made of a workflow that was checked, and of inputs that were.
        Entity::WorkflowRun(_) => {}
    }
    found.0
}

/// What is over already in an entity that is written `now`: it would have no effect, or block for good. What stands there
/// unchanged may be over.
pub fn over(entity: &Entity, now: Timestamp) -> Vec<Problem> {
    let mut found = Found::default();
    if let Entity::Policy(record) = entity {
        found.windows_over(&record.meta, &record.spec, now);
    }
    found.0
}

/// What an expression over these variables looks like.
fn example(variables: &[&str]) -> String {
    const EXAMPLES: [(&str, &str); 12] = [
        ("needs", "needs.build.status == 'successful'"),
        ("environment", "environment.name == 'production'"),
        ("version", "version.tag.startsWith('v2.')"),
        ("deployment", "deployment.name == 'web'"),
        ("jobAgent", "jobAgent.name == 'github'"),
        ("resource", "resource.metadata.region == 'eu'"),
        ("user", "user.name in ['ann', 'bob']"),
        ("event", "event.ref == 'refs/heads/main'"),
        ("result", "result.value < 0.01"),
        ("from", "from.config.vpc == to.identifier"),
        ("type", "type == 'push'"),
        ("source", "source == 'github'"),
    ];
    let example = EXAMPLES.iter().find(|(variable, _)| variables.contains(variable));
    let example = example.map(|(_, example)| format!(", e.g. `{example}`")).unwrap_or_default();
    format!("it is CEL over {}{example}", variables.join(", "))
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn meta(&mut self, meta: &Meta) {
        self.text("metadata.name", &meta.name);
        for key in meta.metadata.keys().filter(|key| key.trim().is_empty()) {
            self.say(format!("metadata.metadata.{key}"), "a key is empty", None);
        }
        for key in meta.metadata.keys().filter(|key| key.len() > METADATA_KEY_BYTES_MAX) {
            let begins: String = key.chars().take(20).collect();
            let message =
                format!("the key {begins:?}… has {} bytes; {METADATA_KEY_BYTES_MAX} are allowed", key.len());
            self.say("metadata.metadata", message, None);
        }
        if let Some(links) = meta.metadata.get(LINKS) {
            let read = serde_json::from_str::<BTreeMap<String, String>>(links);
            let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
            if !read.is_ok_and(|links| links.values().all(web)) {
                let hint = Some(r#"as in '{"Dashboard": "https://…"}'"#);
                self.say(format!("metadata.metadata.{LINKS}"), "links are a JSON map of names to URLs", hint);
            }
        }
    }

    fn workspace(&mut self, meta: &Meta, spec: &Workspace) {
        if meta.name != meta.workspace.as_str() {
            self.say("metadata.name", "the name of a workspace is its slug", None);
        }
        if meta.workspace.as_str() == EVERYWHERE {
            let why = format!("{EVERYWHERE:?} stands for all workspaces in the audit");
            self.say("metadata.name", why, Some("choose another name"));
        }
        if let Some(name) = &spec.display_name {
            self.text("spec.displayName", name);
        }
    }

    fn environment(&mut self, spec: &Environment) {
        self.expression("spec.resourceSelector", &spec.resource_selector, &["resource"]);
    }

    fn resource(&mut self, spec: &Resource) {
        self.text("spec.identifier", &spec.identifier);
        self.secrets("spec.config", &spec.config);
        self.values("spec.variables", &spec.variables);
    }

    fn job_agent(&mut self, spec: &JobAgent) {
        self.secrets("spec.config", &spec.config);
        let names: Vec<&str> = CONTEXT_NAMES.iter().chain(workflow_names::CONTEXT_NAMES).copied().collect();
        self.templates("spec.config", &spec.config, &names);
        self.at_least_one_if_any("spec.maxConcurrent", spec.max_concurrent);
    }

    fn deployment(&mut self, spec: &Deployment) {
        if let Some(selector) = &spec.resource_selector {
            self.expression("spec.resourceSelector", selector, &["resource", "environment"]);
        }
        if let Some(selector) = &spec.job_agent_selector {
            self.expression("spec.jobAgentSelector", selector, AGENT_SELECTOR_VARIABLES);
        }
        for (n, entry) in spec.job_agents.iter().enumerate() {
            self.text(&format!("spec.jobAgents[{n}].ref"), &entry.name);
            if let Some(selector) = &entry.selector {
                self.expression(&format!("spec.jobAgents[{n}].selector"), selector, AGENT_SELECTOR_VARIABLES);
            }
            self.layer(&format!("spec.jobAgents[{n}].config"), &entry.config);
        }
        self.layer("spec.jobAgentConfig", &spec.job_agent_config);
        self.at_least_one("spec.deadlines.queueSeconds", spec.deadlines.queue_seconds);
        self.at_least_one("spec.deadlines.runSeconds", spec.deadlines.run_seconds);
        self.deployment_variables(&spec.variables);
    }

    fn trigger_source(&mut self, meta: &Meta, spec: &TriggerSource) {
        if let Err(error) = meta.name.parse::<Slug>() {
            self.say("metadata.name", format!("the name is part of a URL and {error}"), None);
        }
        let why = "without a secret every delivery is refused";
        self.some("spec.secretRefs", &spec.secret_refs, why);
        for (n, name) in spec.secret_refs.iter().enumerate() {
            self.secret_name(&format!("spec.secretRefs[{n}]"), name);
        }
    }

    fn trigger(&mut self, spec: &Trigger) {
        self.text("spec.source", &spec.source);
        self.text("spec.event", &spec.event);
        if let Some(when) = &spec.when {
            self.expression("spec.when", when, TRIGGER_VARIABLES);
        }
        match &spec.then {
            TriggerAction::CreateVersion(action) => {
                let at = |field: &str| format!("spec.then.createVersion.{field}");
                self.text(&at("tag"), &action.tag);
                self.template(&at("tag"), &action.tag, TRIGGER_VARIABLES);
                if let Some(name) = &action.name {
                    self.template(&at("name"), name, TRIGGER_VARIABLES);
                }
                self.templates(&at("config"), &action.config, TRIGGER_VARIABLES);
                self.secrets(&at("config"), &action.config);
                for (key, text) in &action.metadata {
                    self.template(&at(&format!("metadata.{key}")), text, TRIGGER_VARIABLES);
                }
            }
            TriggerAction::RunWorkflow(action) => {
                self.templates("spec.then.runWorkflow.inputs", &action.inputs, TRIGGER_VARIABLES);
                self.secrets("spec.then.runWorkflow.inputs", &action.inputs);
            }
        }
    }

    fn version(&mut self, spec: &Version) {
        let length = spec.tag.chars().count();
        if spec.tag.trim().is_empty() || length > TAG_CHARS_MAX {
            self.say("spec.tag", format!("a tag has 1 to {TAG_CHARS_MAX} characters, not {length}"), None);
        }
        self.secrets("spec.config", &spec.config);
        self.layer("spec.jobAgentConfig", &spec.job_agent_config);
        for (n, dependency) in spec.dependencies.iter().enumerate() {
            let at = |field: &str| format!("spec.dependencies[{n}].{field}");
            self.expression(&at("versionSelector"), &dependency.version_selector, &["version", "deployment"]);
            if dependency.deployment == spec.deployment {
                self.say(at("deployment"), "a version cannot depend on its own deployment", None);
            }
        }
    }

    fn approval(&mut self, spec: &Approval) {
        self.text("spec.user", &spec.user);
    }

    /// A config that is laid over an agent's.
    fn layer(&mut self, field: &str, config: &Map<String, Value>) {
        self.layer_over(field, config, CONTEXT_NAMES);
    }

    /// The same, with templates over these names.
    fn layer_over(&mut self, field: &str, config: &Map<String, Value>, names: &[&str]) {
        self.secrets(field, config);
        self.templates(field, config, names);
        for key in AGENT_ONLY_KEYS.iter().filter(|key| config.contains_key(**key)) {
            let hint = Some("it decides where the agent's credentials go");
            self.say(format!("{field}.{key}"), format!("only the job agent itself may set `{key}`"), hint);
        }
    }

    fn expression(&mut self, field: &str, source: &str, variables: &[&str]) {
        match Selector::compile(source, variables) {
            Err(error) => self.say(field, error.to_string(), Some(&example(variables))),
            Ok(selector) => {
                if let Some((unknown, known)) = selector.unknown_field() {
                    let (variable, name) = unknown.split_once('.').unwrap_or((&unknown, ""));
                    let fields = || format!("`{variable}` has {}", known.join(", "));
                    let hint = near(name, known.iter().copied()).unwrap_or_else(fields);
                    self.say(field, format!("there is no `{unknown}`"), Some(&hint));
                } else if let Some(mistake) = selector.mistake(variables) {
                    let hint = mistake.hint.unwrap_or_else(|| example(variables));
                    self.say(field, mistake.problem, Some(&hint));
                }
            }
        }
    }

    fn templates(&mut self, field: &str, map: &Map<String, Value>, names: &[&str]) {
        for (key, value) in map {
            self.templates_of(&format!("{field}.{key}"), value, names);
        }
    }

    fn templates_of(&mut self, field: &str, value: &Value, names: &[&str]) {
        match value {
            Value::String(text) => self.template(field, text, names),
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.templates_of(&format!("{field}[{n}]"), item, names);
                }
            }
            Value::Object(map) => self.templates(field, map, names),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn template(&mut self, field: &str, text: &str, names: &[&str]) {
        if let Err(error) = template::check_names(text, names) {
            let hint =
                format!("between {{{{ and }}}} there may be {}, and what is in them", names.join(", "));
            self.say(field, error.to_string(), Some(&hint));
        }
    }

    fn secrets(&mut self, field: &str, map: &Map<String, Value>) {
        self.0.extend(secrets::find(map, field));
    }

    /// The name of a secret, and not the secret.
    fn secret_name(&mut self, field: &str, name: &str) {
        self.text(field, name);
        let as_map = Map::from_iter([("secretRef".to_owned(), Value::String(name.to_owned()))]);
        if !secrets::find(&as_map, "").is_empty() {
            let hint = Some("name the secret; its value goes into the secrets of the services");
            self.say(field, "this looks like a secret", hint);
        }
    }

    /// Why somebody did something; it may be longer than a name.
    fn reason(&mut self, field: &str, reason: &str) {
        let length = reason.chars().count();
        if reason.trim().is_empty() {
            self.say(field, "is empty", Some("say why, for those who read it later"));
        } else if length > REASON_CHARS_MAX {
            self.say(field, format!("has {length} characters; {REASON_CHARS_MAX} are allowed"), None);
        }
    }

    /// A text people read: there, not too long, in one line.
    fn text(&mut self, field: &str, text: &str) {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.say(field, "is empty", None);
        } else if length > NAME_CHARS_MAX {
            self.say(field, format!("has {length} characters; {NAME_CHARS_MAX} are allowed"), None);
        } else if text.chars().any(char::is_control) {
            self.say(field, "has a line break or another control character", None);
        }
    }

    fn some<T>(&mut self, field: &str, items: &[T], why: &str) {
        if items.is_empty() {
            self.say(field, why, None);
        }
    }

    fn at_least_one(&mut self, field: &str, number: u32) {
        if number == 0 {
            self.say(field, "must be at least 1", Some("it is a whole number from 1"));
        }
    }

    fn at_least_one_if_any(&mut self, field: &str, number: Option<u32>) {
        if number == Some(0) {
            self.say(field, "must be at least 1", Some("leave it out where there is to be no such limit"));
        }
    }

    fn say(&mut self, field: impl Into<String>, message: impl Into<String>, hint: Option<&str>) {
        self.0.push(Problem { field: field.into(), message: message.into(), hint: hint.map(str::to_owned) });
    }
}
