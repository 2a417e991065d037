//! One document to one entity: names become ids, what may be left out is filled in.

use super::node::{Content, Node, object};
use super::path::Path;
use super::{Defaults, Ids, Problem, typed};
use crate::Timestamp;
use crate::entity::{Entity, Kind, Meta, Metadata, Record};
use crate::id::{
    ApprovalId, PinId, RedeployId, ResourceId, RolloutControlId, SkipId, VersionId, WorkspaceId,
};
use crate::near::did_you_mean;
use crate::token::Slug;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

type Spec = Map<String, Value>;

/// The slug of the only workspace that the documents declare.
pub(super) fn sole_workspace<'a>(documents: impl Iterator<Item = &'a Node>) -> Option<Slug> {
    let is_workspace =
        |node: &&Node| node.get("kind").and_then(Node::as_str).and_then(Kind::parse) == Some(Kind::Workspace);
    let mut slugs = documents
        .filter(is_workspace)
        .filter_map(|node| node.get("metadata")?.get("name")?.as_str()?.parse::<Slug>().ok());
    let first = slugs.next()?;
    slugs.all(|other| other == first).then_some(first)
}

/// The entity a document declares.
pub(super) fn entity(
    node: &Node,
    default: Option<&Slug>,
    defaults: &Defaults<'_>,
) -> Result<Entity, Vec<Problem>> {
    if !matches!(node.content, Content::Map(_)) {
        return Err(vec![problem("", "a document is a map with `kind`, `metadata` and `spec`")]);
    }
    let mut problems = unknown_keys(node);
    let kind = keep(kind(node), &mut problems);
    let head = keep(head(node), &mut problems);
    // Of which kind the spec is, must be known to read it.
    let Some(kind) = kind else { return Err(problems) };
    let spec = keep(spec(node), &mut problems).unwrap_or_default();
    let head = head.unwrap_or_else(|| Head { name: written_name(node), ..Head::default() });
    let workspace = keep(workspace(kind, &head, default), &mut problems);
    // Without a workspace no name has an id; the rest is checked all the same.
    let place = workspace.clone().unwrap_or_else(|| Slug::of_name("unknown"));
    let (now, by) = (defaults.now, defaults.by.to_owned());
    let draft = Draft { kind, head, place, now, by, ids: defaults.ids, has_failed: !problems.is_empty() };
    match draft.build(spec) {
        Ok(entity) if problems.is_empty() => Ok(entity),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// `metadata` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: Option<String>,
    workspace: Option<Slug>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    labels: Metadata,
}

struct Draft<'a> {
    kind: Kind,
    head: Head,
    place: Slug,
    now: Timestamp,
    by: String,
    ids: &'a dyn Ids,
    has_failed: bool,
}

impl Draft<'_> {
    fn build(self, mut spec: Spec) -> Result<Entity, Vec<Problem>> {
        let mut problems = Vec::new();
        let workspace = self.place.clone();
        self.resolve(&mut spec, &mut problems);
        match self.kind {
            Kind::Workspace => {
                let id = WorkspaceId::of(&workspace).0;
                self.record(spec, problems, |_| Ok((id, None))).map(Entity::Workspace)
            }
            Kind::System => self.named(spec, problems).map(Entity::System),
            Kind::Environment => self.named(spec, problems).map(Entity::Environment),
            Kind::JobAgent => self.named(spec, problems).map(Entity::JobAgent),
            Kind::Deployment => self.named(spec, problems).map(Entity::Deployment),
            Kind::Policy => self.named(spec, problems).map(Entity::Policy),
            Kind::TriggerSource => self.named(spec, problems).map(Entity::TriggerSource),
            Kind::Trigger => self.named(spec, problems).map(Entity::Trigger),
            Kind::Resource => self
                .record(spec, problems, |spec: &crate::entity::Resource| {
                    Ok((ResourceId::of(&workspace, &spec.identifier).0, Some(spec.identifier.clone())))
                })
                .map(Entity::Resource),
            Kind::Version => self
                .record(spec, problems, |spec: &crate::entity::Version| {
                    Ok((VersionId::of(spec.deployment, &spec.tag).0, Some(spec.tag.clone())))
                })
                .map(Entity::Version),
            Kind::Approval => self
                .record(spec, problems, |spec: &crate::entity::Approval| {
                    let id = ApprovalId::of(spec.version, spec.environment, &spec.user).0;
                    Ok((id, Some(format!("approval by {}", spec.user))))
                })
                .map(Entity::Approval),
            Kind::Freeze => self.named(spec, problems).map(Entity::Freeze),
            Kind::VariableSet => self.named(spec, problems).map(Entity::VariableSet),
            Kind::RelationshipRule => self.named(spec, problems).map(Entity::RelationshipRule),
            Kind::ResourceProvider => self.named(spec, problems).map(Entity::ResourceProvider),
            Kind::Skip => self
                .record(spec, problems, |spec: &crate::entity::Skip| {
                    Ok((SkipId::of(spec).0, Some(format!("skip of {}", spec.rule))))
                })
                .map(Entity::Skip),
            Kind::Pin => self
                .record(spec, problems, |spec: &crate::entity::Pin| {
                    Ok((
                        PinId::of(spec.deployment, spec.environment, spec.resource).0,
                        Some("pin".to_owned()),
                    ))
                })
                .map(Entity::Pin),
            Kind::Redeploy => self
                .record(spec, problems, |spec: &crate::entity::Redeploy| {
                    Ok((RedeployId::of(&spec.target).0, Some("redeploy".to_owned())))
                })
                .map(Entity::Redeploy),
            Kind::RolloutControl => self
                .record(spec, problems, |spec: &crate::entity::RolloutControl| {
                    let id = RolloutControlId::of(spec.version, spec.environment).0;
                    Ok((id, Some("rollout control".to_owned())))
                })
                .map(Entity::RolloutControl),
            Kind::Workflow => self.named(spec, problems).map(Entity::Workflow),
            Kind::WorkflowRun => Err(vec![Problem {
                field: "kind".to_owned(),
                message: "a run of a workflow is begun and not declared".to_owned(),
                hint: Some("as with `ctrlplane workflow run NAME`".to_owned()),
            }]),
        }
    }

    /// Names become ids, and what may be left out is filled in.
    fn resolve(&self, spec: &mut Spec, problems: &mut Vec<Problem>) {
        let name = self.head.name.as_deref();
        match self.kind {
            Kind::Environment => self.systems(spec),
            Kind::Deployment => {
                self.systems(spec);
                if let (false, Some(name)) = (spec.contains_key("slug"), name) {
                    spec.insert("slug".to_owned(), Value::String(Slug::of_name(name).to_string()));
                }
            }
            Kind::Resource => {
                if let (false, Some(name)) = (spec.contains_key("identifier"), name) {
                    spec.insert("identifier".to_owned(), Value::String(name.to_owned()));
                }
                self.to_id(spec, "provider", Kind::ResourceProvider);
            }
            Kind::Trigger => {
                let action = spec.get_mut("then").and_then(|then| then.get_mut("createVersion"));
                if let Some(Value::Object(action)) = action {
                    self.to_id(action, "deployment", Kind::Deployment);
                }
                let action = spec.get_mut("then").and_then(|then| then.get_mut("runWorkflow"));
                if let Some(Value::Object(action)) = action {
                    self.to_id(action, "workflow", Kind::Workflow);
                }
            }
            Kind::Workflow => {
                if let (false, Some(name)) = (spec.contains_key("slug"), name) {
                    spec.insert("slug".to_owned(), Value::String(Slug::of_name(name).to_string()));
                }
            }
            Kind::Version => {
                self.to_id(spec, "deployment", Kind::Deployment);
                if let Some(Value::Array(dependencies)) = spec.get_mut("dependencies") {
                    for dependency in dependencies.iter_mut().filter_map(Value::as_object_mut) {
                        self.to_id(dependency, "deployment", Kind::Deployment);
                    }
                }
                if let (false, Some(name)) = (spec.contains_key("tag"), name) {
                    spec.insert("tag".to_owned(), Value::String(name.to_owned()));
                }
            }
            Kind::Approval => {
                self.scope(spec);
                self.otherwise_now(spec);
                self.version_of_deployment(spec, problems);
            }
            Kind::Skip => {
                self.to_id(spec, "policy", Kind::Policy);
                self.scope(spec);
                self.otherwise_by(spec, "createdBy");
                self.version_of_deployment(spec, problems);
            }
            Kind::Freeze => self.otherwise_by(spec, "owner"),
            Kind::Pin => {
                self.scope(spec);
                self.otherwise_by(spec, "createdBy");
                self.to_id(spec, "deployment", Kind::Deployment);
                let deployment = spec.get("deployment").cloned();
                version_in(spec, deployment.as_ref());
            }
            Kind::Redeploy => {
                self.target(spec, problems);
                self.otherwise_now(spec);
                self.otherwise_by(spec, "by");
            }
            Kind::RolloutControl => {
                self.scope(spec);
                self.otherwise_now(spec);
                self.otherwise_by(spec, "by");
                self.version_of_deployment(spec, problems);
            }
            Kind::Workspace
            | Kind::System
            | Kind::JobAgent
            | Kind::Policy
            | Kind::TriggerSource
            | Kind::VariableSet
            | Kind::RelationshipRule
            | Kind::ResourceProvider
            | Kind::WorkflowRun => {}
        }
    }

    /// Where something applies: an environment by its name, a resource by its identifier.
    fn scope(&self, spec: &mut Spec) {
        self.to_id(spec, "environment", Kind::Environment);
        self.to_id(spec, "resource", Kind::Resource);
    }

    /// The ids of systems named in a list.
    fn systems(&self, spec: &mut Spec) {
        if let Some(Value::Array(systems)) = spec.get_mut("systems") {
            systems.iter_mut().for_each(|system| self.named_id(system, Kind::System));
        }
    }

    /// Replaces a name by its id; a uuid stays.
    fn to_id(&self, map: &mut Spec, key: &str, kind: Kind) {
        if let Some(value) = map.get_mut(key) {
            self.named_id(value, kind);
        }
    }

    fn named_id(&self, value: &mut Value, kind: Kind) {
        if let Value::String(name) = value
            && Uuid::parse_str(name).is_err()
            && let Some(id) = self.ids.id(&self.place, kind, name)
        {
            *name = id.to_string();
        }
    }

    fn otherwise_now(&self, spec: &mut Spec) {
        spec.entry("at").or_insert_with(|| Value::String(self.now.to_rfc3339()));
    }

    fn otherwise_by(&self, spec: &mut Spec, key: &str) {
        spec.entry(key).or_insert_with(|| Value::String(self.by.clone()));
    }

    /// A version is named by deployment and tag.
    fn version_of_deployment(&self, spec: &mut Spec, problems: &mut Vec<Problem>) {
        self.to_id(spec, "deployment", Kind::Deployment);
        let deployment = spec.remove("deployment");
        if !version_in(spec, deployment.as_ref()) {
            problems.push(problem(
                "spec.deployment",
                "is missing: the version's tag is unique in its deployment",
            ));
            spec.insert("version".to_owned(), Value::String(Uuid::nil().to_string()));
        }
    }

    /// A target is named by deployment, environment and resource, here or under `target`.
    fn target(&self, spec: &mut Spec, problems: &mut Vec<Problem>) {
        const KEYS: [&str; 3] = ["deployment", "environment", "resource"];
        if !spec.contains_key("target") {
            let mut target = Spec::new();
            for key in KEYS {
                let value = spec.remove(key).unwrap_or_else(|| {
                    problems.push(problem(&format!("spec.{key}"), format!("`{key}` is missing")));
                    Value::String(Uuid::nil().to_string())
                });
                target.insert(key.to_owned(), value);
            }
            spec.insert("target".to_owned(), Value::Object(target));
        }
        let mut deployment = None;
        if let Some(Value::Object(target)) = spec.get_mut("target") {
            self.to_id(target, "deployment", Kind::Deployment);
            self.scope(target);
            deployment = target.get("deployment").cloned();
        }
        version_in(spec, deployment.as_ref());
    }

    /// A record whose natural key is its name.
    fn named<S: DeserializeOwned>(
        self,
        spec: Spec,
        problems: Vec<Problem>,
    ) -> Result<Record<S>, Vec<Problem>> {
        let name = self.head.name.as_deref();
        let id = name.and_then(|name| self.ids.id(&self.place, self.kind, name));
        self.record(spec, problems, |_| id.map(|id| (id, None)).ok_or_else(|| no_name().into()))
    }

    /// A record; `identify` gives its id, and its name where the document gives none.
    fn record<S: DeserializeOwned>(
        self,
        spec: Spec,
        mut problems: Vec<Problem>,
        identify: impl FnOnce(&S) -> Result<(Uuid, Option<String>), Box<Problem>>,
    ) -> Result<Record<S>, Vec<Problem>> {
        let spec: S = match typed::read(Value::Object(spec), &Path::default().key("spec")) {
            Ok(spec) => spec,
            Err(more) => {
                problems.extend(more);
                if self.head.name.is_none() && self.is_named() && !self.has_failed {
                    problems.push(no_name());
                }
                return Err(problems);
            }
        };
        let (id, natural_name) = match identify(&spec) {
            Ok(identity) => identity,
            Err(more) => {
                problems.push(*more);
                return Err(problems);
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let Head { name, metadata, labels, .. } = self.head;
        let name = name.or(natural_name).unwrap_or_else(|| self.place.to_string());
        let metadata = labels.into_iter().chain(metadata).collect();
        let meta =
            Meta { id, workspace: self.place, name, metadata, created_at: self.now, updated_at: self.now };
        Ok(Record { meta, spec })
    }

    fn is_named(&self) -> bool {
        !matches!(
            self.kind,
            Kind::Version
                | Kind::Approval
                | Kind::Resource
                | Kind::Skip
                | Kind::Pin
                | Kind::Redeploy
                | Kind::RolloutControl
        )
    }
}

fn no_name() -> Problem {
    problem("metadata.name", "`name` is missing")
}

/// Replaces a version's tag by its id. Whether that could be done: a tag alone is not enough.
fn version_in(spec: &mut Spec, deployment: Option<&Value>) -> bool {
    let Some(Value::String(tag)) = spec.get("version") else { return true };
    if Uuid::parse_str(tag).is_ok() {
        return true;
    }
    let Some(deployment) = deployment.and_then(Value::as_str).and_then(|id| id.parse().ok()) else {
        return false;
    };
    let id = VersionId::of(deployment, tag).to_string();
    spec.insert("version".to_owned(), Value::String(id));
    true
}

fn unknown_keys(node: &Node) -> Vec<Problem> {
    const KNOWN: [&str; 3] = ["kind", "metadata", "spec"];
    // Tools for Kubernetes-like files write it; there is one version of ours.
    const IGNORED: &str = "apiVersion";
    let Content::Map(entries) = &node.content else { return Vec::new() };
    let unknown =
        entries.iter().map(|entry| entry.key.as_str()).filter(|key| !KNOWN.contains(key) && *key != IGNORED);
    unknown
        .map(|key| Problem {
            field: key.to_owned(),
            message: format!("there is no field `{key}` here"),
            hint: did_you_mean(key, KNOWN),
        })
        .collect()
}

fn kind(node: &Node) -> Result<Kind, Vec<Problem>> {
    let names = || Kind::ALL.iter().map(|kind| kind.name());
    let Some(found) = node.get("kind") else {
        let message = "`kind` is missing".to_owned();
        let hint = Some(format!("it is one of {}", names().collect::<Vec<_>>().join(", ")));
        return Err(vec![Problem { field: "kind".to_owned(), message, hint }]);
    };
    let text = found.as_str().map_or_else(|| found.to_json().to_string(), str::to_owned);
    Kind::parse(&text).ok_or_else(|| {
        let message = format!("there is no kind `{text}`");
        vec![Problem { field: "kind".to_owned(), message, hint: did_you_mean(&text, names()) }]
    })
}

fn head(node: &Node) -> Result<Head, Vec<Problem>> {
    match node.get("metadata") {
        None => Ok(Head::default()),
        Some(head) => {
            let mut head = head.to_json();
            for key in ["metadata", "labels"] {
                if let Some(Value::Object(map)) = head.get_mut(key) {
                    map.values_mut().for_each(as_text);
                }
            }
            typed::read(head, &Path::default().key("metadata"))
        }
    }
}

/// `port: 80` and `enabled: true` can only mean their texts. A number with a point may have been written otherwise
/// (`1.10`), so that one has to be quoted.
fn as_text(value: &mut Value) {
    let plain = match value {
        Value::Bool(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
    };
    if plain {
        *value = Value::String(value.to_string());
    }
}

fn written_name(node: &Node) -> Option<String> {
    node.get("metadata")?.get("name")?.as_str().map(str::to_owned)
}

fn spec(node: &Node) -> Result<Spec, Vec<Problem>> {
    match node.get("spec") {
        None => Ok(Spec::new()),
        Some(Node { content: Content::Scalar(Value::Null), .. }) => Ok(Spec::new()),
        Some(spec) => object(spec).ok_or_else(|| vec![problem("spec", "a spec is a map")]),
    }
}

fn workspace(kind: Kind, head: &Head, default: Option<&Slug>) -> Result<Slug, Vec<Problem>> {
    if kind == Kind::Workspace {
        let name = head.name.as_deref().ok_or_else(|| vec![no_name()])?;
        let slug: Slug = name
            .parse()
            .map_err(|error| vec![problem("metadata.name", format!("the name of a workspace {error}"))])?;
        return match &head.workspace {
            Some(other) if *other != slug => {
                Err(vec![problem("metadata.workspace", "a workspace belongs to no other workspace")])
            }
            Some(_) | None => Ok(slug),
        };
    }
    head.workspace.as_ref().or(default).cloned().ok_or_else(|| {
        vec![Problem {
            field: "metadata.workspace".to_owned(),
            message: "no workspace is named".to_owned(),
            hint: Some("name it here, or declare one Workspace in the same apply".to_owned()),
        }]
    })
}

fn keep<T>(result: Result<T, Vec<Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|more| problems.extend(more)).ok()
}

fn problem(field: &str, message: impl Into<String>) -> Problem {
    Problem { field: field.to_owned(), message: message.into(), hint: None }
}
