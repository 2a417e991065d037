//! Entities as people would have written them: ids become names again, what is as by default is left out.

use super::of_name;
use crate::entity::Kind;
use crate::entity::{Entity, Record};
use crate::id::{DeploymentId, VersionId};
use crate::token::Slug;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What ids are called.
pub trait Names {
    /// The name of an entity; the identifier of a resource.
    fn name(&self, workspace: &Slug, kind: Kind, id: Uuid) -> Option<String>;
    /// The deployment and tag of a version.
    fn version(&self, workspace: &Slug, id: VersionId) -> Option<(DeploymentId, String)>;
    /// The id that a document refers to by this name.
    fn id(&self, workspace: &Slug, kind: Kind, name: &str) -> Option<Uuid> {
        of_name(kind, workspace, name)
    }
}

/// The document that declares the entity. An id whose name is not known stays an id, which is a legal reference, too.
pub fn to_manifest(entity: &Entity, names: &dyn Names) -> Value {
    let meta = entity.meta();
    let mut spec = spec_of(entity);
    let naming = Naming { names, workspace: &meta.workspace };
    naming.put_back(entity, &mut spec);
    let mut head = Map::new();
    head.insert("name".to_owned(), json!(meta.name));
    if entity.kind() != Kind::Workspace {
        head.insert("workspace".to_owned(), json!(meta.workspace));
    }
    if !meta.metadata.is_empty() {
        head.insert("metadata".to_owned(), json!(meta.metadata));
    }
    json!({ "kind": entity.kind().name(), "metadata": head, "spec": spec })
}

/// The documents as one YAML text, in their order.
///
/// # Errors
/// Where a value has no YAML form.
pub fn to_yaml(documents: &[Value]) -> Result<String, serde_yaml_ng::Error> {
    let mut texts = Vec::with_capacity(documents.len());
    for document in documents {
        texts.push(serde_yaml_ng::to_string(&Ordered::of(document))?);
    }
    Ok(texts.join("---\n"))
}

/// A document with its keys in the order in which people write them.
#[derive(Serialize)]
struct Ordered<'a> {
    kind: &'a Value,
    metadata: OrderedHead<'a>,
    spec: &'a Value,
}

#[derive(Serialize)]
struct OrderedHead<'a> {
    name: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Value>,
}

impl<'a> Ordered<'a> {
    fn of(document: &'a Value) -> Self {
        let head = &document["metadata"];
        let metadata = OrderedHead {
            name: &head["name"],
            workspace: head.get("workspace"),
            metadata: head.get("metadata"),
        };
        Self { kind: &document["kind"], metadata, spec: &document["spec"] }
    }
}

fn spec_of(entity: &Entity) -> Map<String, Value> {
    fn of<S: Serialize>(record: &Record<S>) -> Value {
        serde_json::to_value(&record.spec).expect("a spec is plain data")
    }
    let spec = match entity {
        Entity::Workspace(record) => of(record),
        Entity::System(record) => of(record),
        Entity::Environment(record) => of(record),
        Entity::Resource(record) => of(record),
        Entity::JobAgent(record) => of(record),
        Entity::Deployment(record) => of(record),
        Entity::Policy(record) => of(record),
        Entity::TriggerSource(record) => of(record),
        Entity::Trigger(record) => of(record),
        Entity::Version(record) => of(record),
        Entity::Approval(record) => of(record),
        Entity::Freeze(record) => of(record),
        Entity::VariableSet(record) => of(record),
        Entity::RelationshipRule(record) => of(record),
        Entity::ResourceProvider(record) => of(record),
        Entity::Skip(record) => of(record),
        Entity::Pin(record) => of(record),
        Entity::Redeploy(record) => of(record),
        Entity::RolloutControl(record) => of(record),
        Entity::Workflow(record) => of(record),
        Entity::WorkflowRun(record) => of(record),
    };
    match spec {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

struct Naming<'a> {
    names: &'a dyn Names,
    workspace: &'a Slug,
}

impl Naming<'_> {
    fn put_back(&self, entity: &Entity, spec: &mut Map<String, Value>) {
        match entity {
            Entity::Environment(environment) => {
                self.systems(spec, environment.spec.systems.iter().map(|id| id.0))
            }
            Entity::Deployment(deployment) => {
                self.systems(spec, deployment.spec.systems.iter().map(|id| id.0));
                if deployment.spec.deadlines == Default::default() {
                    spec.remove("deadlines");
                }
                if deployment.spec.on_new_version == Default::default() {
                    spec.remove("onNewVersion");
                }
                if deployment.spec.slug == Slug::of_name(&deployment.meta.name) {
                    spec.remove("slug");
                }
            }
            Entity::Resource(_) => self.one(spec, "provider", Kind::ResourceProvider),
            Entity::Trigger(_) => {
                let action = spec.get_mut("then").and_then(|then| then.get_mut("createVersion"));
                if let Some(Value::Object(action)) = action {
                    self.one(action, "deployment", Kind::Deployment);
                }
                let action = spec.get_mut("then").and_then(|then| then.get_mut("runWorkflow"));
                if let Some(Value::Object(action)) = action {
                    self.one(action, "workflow", Kind::Workflow);
                }
            }
            Entity::Version(_) => {
                self.one(spec, "deployment", Kind::Deployment);
                if let Some(Value::Array(dependencies)) = spec.get_mut("dependencies") {
                    for dependency in dependencies.iter_mut().filter_map(Value::as_object_mut) {
                        self.one(dependency, "deployment", Kind::Deployment);
                    }
                }
            }
            Entity::Approval(approval) => {
                self.scope(spec);
                self.version_of_deployment(spec, approval.spec.version);
            }
            Entity::Skip(skip) => {
                self.one(spec, "policy", Kind::Policy);
                self.scope(spec);
                self.version_of_deployment(spec, skip.spec.version);
            }
            Entity::Pin(pin) => {
                self.scope(spec);
                self.one(spec, "deployment", Kind::Deployment);
                self.tag(spec, pin.spec.deployment, pin.spec.version);
            }
            Entity::Redeploy(redeploy) => {
                if let Some(Value::Object(mut target)) = spec.remove("target") {
                    self.one(&mut target, "deployment", Kind::Deployment);
                    self.scope(&mut target);
                    spec.extend(target);
                }
                if let Some(version) = redeploy.spec.version {
                    self.tag(spec, redeploy.spec.target.deployment, version);
                }
            }
            Entity::RolloutControl(control) => {
                self.scope(spec);
                self.version_of_deployment(spec, control.spec.version);
            }
            Entity::Workflow(workflow) => {
                if workflow.spec.slug == Slug::of_name(&workflow.meta.name) {
                    spec.remove("slug");
                }
                let jobs = spec.get_mut("jobs").and_then(Value::as_array_mut);
                for (job, written) in workflow.spec.jobs.iter().zip(jobs.into_iter().flatten()) {
                    if let Value::Object(written) = written
                        && job.deadlines == Default::default()
                    {
                        written.remove("deadlines");
                    }
                }
            }
            Entity::WorkflowRun(_) => self.one(spec, "workflow", Kind::Workflow),
            Entity::Workspace(_)
            | Entity::System(_)
            | Entity::JobAgent(_)
            | Entity::Policy(_)
            | Entity::TriggerSource(_)
            | Entity::Freeze(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_)
            | Entity::ResourceProvider(_) => {}
        }
    }

    fn scope(&self, spec: &mut Map<String, Value>) {
        self.one(spec, "environment", Kind::Environment);
        self.one(spec, "resource", Kind::Resource);
    }

    /// A version by deployment and tag, where it is known.
    fn version_of_deployment(&self, spec: &mut Map<String, Value>, version: VersionId) {
        if let Some((deployment, tag)) = self.names.version(self.workspace, version) {
            spec.insert("deployment".to_owned(), self.called(Kind::Deployment, deployment.0));
            spec.insert("version".to_owned(), Value::String(tag));
        }
    }

    /// A version by its tag, where it is one of the deployment that is named beside it.
    fn tag(&self, spec: &mut Map<String, Value>, of: DeploymentId, version: VersionId) {
        if let Some((_, tag)) = self.names.version(self.workspace, version)
            && VersionId::of(of, &tag) == version
        {
            spec.insert("version".to_owned(), Value::String(tag));
        }
    }

    fn systems(&self, spec: &mut Map<String, Value>, ids: impl Iterator<Item = Uuid>) {
        spec.insert("systems".to_owned(), ids.map(|id| self.called(Kind::System, id)).collect());
    }

    fn one(&self, map: &mut Map<String, Value>, key: &str, kind: Kind) {
        let id = map.get(key).and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        if let Some(id) = id {
            map.insert(key.to_owned(), self.called(kind, id));
        }
    }

    /// The name, where reading it gives the same id again; else the id.
    fn called(&self, kind: Kind, id: Uuid) -> Value {
        let name = self.names.name(self.workspace, kind, id);
        let name = name.filter(|name| self.names.id(self.workspace, kind, name) == Some(id));
        Value::String(name.unwrap_or_else(|| id.to_string()))
    }
}
