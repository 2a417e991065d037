//! The catalog of one tenant: entities by kind and id, and what is looked up often.

use super::Affected;
use super::compiled::Compiled;
use super::context::resource_context;
use super::selection::{Selection, SelectionProblem};
use crate::entity::{
    Approval, CatalogKey, Deployment, Entity, Environment, Freeze, JobAgent, Kind, Pin, Policy, PolicyRule,
    Record, Redeploy, RelationshipRule, Resource, ResourceProvider, RolloutControl, Skip, System, Trigger,
    TriggerSource, VariableSet, Version, Workflow, WorkflowRun, Workspace,
};
use crate::id::{
    DeploymentId, EnvironmentId, FreezeId, JobAgentId, PinId, PolicyId, RedeployId, RelationshipRuleId,
    ResourceId, ResourceProviderId, RolloutControlId, SkipId, SystemId, TriggerId, VariableSetId, VersionId,
    WorkflowId, WorkflowRunId, WorkspaceId, derive,
};
use crate::manifest;
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use crate::target::TargetKey;
use crate::token::Slug;
use crate::trigger_rule::Rule;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// What the two sides of a relationship rule may speak of.
const RESOURCE: &[&str] = &["resource"];

/// Everything one tenant has declared.
#[derive(Debug)]
pub struct WorkspaceCatalog {
    slug: Slug,
    entities: BTreeMap<(Kind, Uuid), Entity>,
    broken: BTreeMap<(Kind, Uuid), String>,
    versions: BTreeMap<DeploymentId, BTreeSet<NewestFirst>>,
    approvals: BTreeMap<(VersionId, EnvironmentId), BTreeSet<Uuid>>,
    skips: BTreeMap<VersionId, BTreeSet<Uuid>>,
    pins: BTreeMap<DeploymentId, BTreeSet<Uuid>>,
    /// Policies and versions that look at what other deployments run.
    depending: BTreeSet<Uuid>,
    /// What was there once: its jobs may still be what runs somewhere.
    removed: BTreeSet<(Kind, Uuid)>,
    selection: Selection,
    targets: BTreeMap<DeploymentId, OnceLock<Targets>>,
    rules: HashMap<Occasion, BTreeMap<Uuid, Arc<Rule>>>,
    compiled: Compiled,
}

/// The name of a trigger source, and the type of an event from it.
type Occasion = (String, String);

/// Orders versions: by creation, then by id, the newest first.
type NewestFirst = (Reverse<crate::Timestamp>, Reverse<Uuid>);

#[derive(Debug, Default)]
struct Targets {
    keys: Vec<TargetKey>,
    problems: Vec<SelectionProblem>,
}

macro_rules! typed {
    ($($one:ident($id:ty), $all:ident: $kind:ident),+ $(,)?) => {$(
        #[doc = concat!("The ", stringify!($kind), " of that id.")]
        pub fn $one(&self, id: $id) -> Option<&Record<$kind>> {
            match self.entity(Kind::$kind, id.0)? {
                Entity::$kind(record) => Some(record),
                _ => None,
            }
        }

        #[doc = concat!("Every ", stringify!($kind), ", by id.")]
        pub fn $all(&self) -> impl Iterator<Item = &Record<$kind>> {
            self.entities(Kind::$kind).filter_map(|entity| match entity {
                Entity::$kind(record) => Some(record),
                _ => None,
            })
        }
    )+};
}

#[allow(clippy::wildcard_enum_match_arm, reason = "each accessor is about one kind")]
impl WorkspaceCatalog {
    typed! {
        workspace(WorkspaceId), workspaces: Workspace,
        system(SystemId), systems: System,
        environment(EnvironmentId), environments: Environment,
        resource(ResourceId), resources: Resource,
        job_agent(JobAgentId), job_agents: JobAgent,
        deployment(DeploymentId), deployments: Deployment,
        policy(PolicyId), policies: Policy,
        trigger(TriggerId), triggers: Trigger,
        version(VersionId), versions: Version,
        skip(SkipId), skips: Skip,
        freeze(FreezeId), freezes: Freeze,
        pin(PinId), pins: Pin,
        redeploy(RedeployId), redeploys: Redeploy,
        rollout_control(RolloutControlId), rollout_controls: RolloutControl,
        variable_set(VariableSetId), variable_sets: VariableSet,
        relationship_rule(RelationshipRuleId), relationship_rules: RelationshipRule,
        resource_provider(ResourceProviderId), resource_providers: ResourceProvider,
        workflow(WorkflowId), workflows: Workflow,
        workflow_run(WorkflowRunId), workflow_runs: WorkflowRun,
    }
}

impl WorkspaceCatalog {
    /// An empty one.
    pub fn new(slug: Slug) -> Self {
        Self {
            slug,
            entities: BTreeMap::new(),
            broken: BTreeMap::new(),
            versions: BTreeMap::new(),
            approvals: BTreeMap::new(),
            skips: BTreeMap::new(),
            pins: BTreeMap::new(),
            depending: BTreeSet::new(),
            removed: BTreeSet::new(),
            selection: Selection::default(),
            targets: BTreeMap::new(),
            rules: HashMap::new(),
            compiled: Compiled::default(),
        }
    }

    /// The tenant.
    pub fn slug(&self) -> &Slug {
        &self.slug
    }

    /// A resource as selectors see it, converted when it was written.
    pub(crate) fn resource_value(&self, id: ResourceId) -> Option<&Result<ScopeValue, SelectorError>> {
        self.selection.value(id)
    }

    /// What a selector that is only about resources says of one, asked once as long as the resource stays as it is.
    pub(crate) fn ask_of_resource(
        &self,
        id: ResourceId,
        selector: &Selector,
        ask: impl FnOnce() -> Result<bool, SelectorError>,
    ) -> Result<bool, SelectorError> {
        self.selection.ask(id, selector, ask)
    }

    /// What was compiled of its texts.
    pub(crate) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// An entity.
    pub fn entity(&self, kind: Kind, id: Uuid) -> Option<&Entity> {
        self.entities.get(&(kind, id))
    }

    /// Every entity of a kind, by id.
    pub fn entities(&self, kind: Kind) -> impl Iterator<Item = &Entity> {
        self.entities.range((kind, Uuid::nil())..=(kind, Uuid::max())).map(|(_, entity)| entity)
    }

    /// The entity of a kind that people mean by this text: its id, its name, or for a resource its identifier.
    /// Versions of several deployments may share a tag: then `deployment:tag` says which.
    pub fn find(&self, kind: Kind, text: &str) -> Option<&Entity> {
        if let Some(entity) = Uuid::parse_str(text).ok().and_then(|id| self.entity(kind, id)) {
            return Some(entity);
        }
        if kind == Kind::Version
            && let Some((deployment, tag)) = text.split_once(':')
        {
            let deployment = self.find(Kind::Deployment, deployment)?.meta().id;
            return self.entity(kind, VersionId::of(DeploymentId(deployment), tag).0);
        }
        let named = self.entities(kind).find(|entity| {
            let by_identifier = match entity {
                Entity::Resource(resource) => resource.spec.identifier == text,
                Entity::Version(version) => version.spec.tag == text,
                Entity::Workflow(workflow) => workflow.spec.slug.as_str() == text,
                Entity::Workspace(_)
                | Entity::Deployment(_)
                | Entity::System(_)
                | Entity::Environment(_)
                | Entity::JobAgent(_)
                | Entity::Policy(_)
                | Entity::TriggerSource(_)
                | Entity::Trigger(_)
                | Entity::Approval(_)
                | Entity::Skip(_)
                | Entity::Freeze(_)
                | Entity::Pin(_)
                | Entity::Redeploy(_)
                | Entity::RolloutControl(_)
                | Entity::VariableSet(_)
                | Entity::RelationshipRule(_)
                | Entity::ResourceProvider(_)
                | Entity::WorkflowRun(_) => false,
            };
            by_identifier || entity.meta().name == text
        });
        let by_slug = |deployment: &&Record<Deployment>| deployment.spec.slug.as_str() == text;
        match named {
            None if kind == Kind::Deployment => {
                let deployment = self.deployments().find(by_slug)?;
                self.entity(kind, deployment.meta.id)
            }
            named => named,
        }
    }

    /// The id that this name stands for: of what is called so; else the one that something new of this name takes, which
    /// nothing has that was called so once. `None`: things of the kind have no name of their own.
    pub fn id_of_name(&self, kind: Kind, name: &str) -> Option<Uuid> {
        let born = manifest::of_name(kind, &self.slug, name)?;
        let has_it = |entity: &Entity| entity.meta().name == name;
        if !manifest::has_own_name(kind) || self.entity(kind, born).is_some_and(has_it) {
            return Some(born);
        }
        if let Some(entity) = self.entities(kind).find(|entity| has_it(entity)) {
            return Some(entity.meta().id);
        }
        let later = (1_u32..).map(|n| derive(&["renamed", &born.to_string(), &n.to_string()]));
        std::iter::once(born).chain(later).find(|id| self.entity(kind, *id).is_none())
    }

    /// The trigger source of that name.
    pub fn trigger_source(&self, name: &str) -> Option<&Record<TriggerSource>> {
        match self.find(Kind::TriggerSource, name) {
            Some(Entity::TriggerSource(source)) => Some(source),
            _ => None,
        }
    }

    /// The rules about an event type from a trigger source, by id.
    pub fn rules_for(&self, source: &str, event: &str) -> Vec<Arc<Rule>> {
        let of = self.rules.get(&(source.to_owned(), event.to_owned()));
        of.map(|rules| rules.values().cloned().collect()).unwrap_or_default()
    }

    /// Values that cannot be read, with the reason. What depends on them must fail closed.
    pub fn broken(&self, kind: Kind) -> impl Iterator<Item = (Uuid, &str)> {
        self.broken.range((kind, Uuid::nil())..=(kind, Uuid::max())).map(|((_, id), why)| (*id, why.as_str()))
    }

    /// The versions of a deployment, newest first: by creation, then by id.
    pub fn versions_of(&self, deployment: DeploymentId) -> impl Iterator<Item = &Record<Version>> {
        let ids = self.versions.get(&deployment).into_iter().flatten();
        ids.filter_map(|(_, Reverse(id))| self.version(VersionId(*id)))
    }

    /// What people said of a version in an environment, by id.
    pub fn approvals(
        &self,
        version: VersionId,
        environment: EnvironmentId,
    ) -> impl Iterator<Item = &Record<Approval>> {
        let ids = self.approvals.get(&(version, environment)).into_iter().flatten();
        ids.filter_map(|id| match self.entity(Kind::Approval, *id) {
            Some(Entity::Approval(approval)) => Some(approval),
            _ => None,
        })
    }

    /// The skips of a version, by id.
    pub fn skips_of(&self, version: VersionId) -> impl Iterator<Item = &Record<Skip>> {
        self.skips.get(&version).into_iter().flatten().filter_map(|id| self.skip(SkipId(*id)))
    }

    /// The pins of a deployment, by id.
    pub fn pins_of(&self, deployment: DeploymentId) -> impl Iterator<Item = &Record<Pin>> {
        self.pins.get(&deployment).into_iter().flatten().filter_map(|id| self.pin(PinId(*id)))
    }

    /// The release targets of a deployment, in order: with every environment that shares a system with it, on every
    /// resource that both select. Computed once per change.
    pub fn targets_of(&self, deployment: DeploymentId) -> Vec<TargetKey> {
        self.selected(deployment).map(|targets| targets.keys.clone()).unwrap_or_default()
    }

    /// Whether the deployment has this release target.
    pub fn has_target(&self, target: &TargetKey) -> bool {
        self.selected(target.deployment).is_some_and(|targets| targets.keys.binary_search(target).is_ok())
    }

    /// Selectors of a deployment's targets that could not be evaluated; what they might have selected is left out.
    pub fn selection_problems(&self, deployment: DeploymentId) -> Vec<SelectionProblem> {
        self.selected(deployment).map(|targets| targets.problems.clone()).unwrap_or_default()
    }

    fn selected(&self, id: DeploymentId) -> Option<&Targets> {
        let deployment = self.deployment(id)?;
        let cell = self.targets.get(&id)?;
        Some(cell.get_or_init(|| self.select(id, deployment)))
    }

    fn select(&self, id: DeploymentId, deployment: &Record<Deployment>) -> Targets {
        let mut targets = Targets::default();
        for environment in self.environments() {
            if !environment.spec.systems.iter().any(|system| deployment.spec.systems.contains(system)) {
                continue;
            }
            let environment = EnvironmentId(environment.meta.id);
            let (resources, problem) = self.selection.of(deployment, environment);
            targets.problems.extend(problem);
            targets.keys.extend(resources.into_iter().map(|resource| TargetKey {
                deployment: id,
                environment,
                resource,
            }));
        }
        targets.keys.sort_unstable();
        targets
    }

    pub(super) fn put(&mut self, entity: Entity) -> Affected {
        let key = entity.key();
        let mended = self.mended(&key);
        let elsewhere = self.looked_at_elsewhere(&key);
        let before = self.unindex(&key);
        let after = self.index(&entity);
        self.entities.insert((key.kind, key.id), entity);
        self.forget_targets(key.kind, before.and(after).and(elsewhere).and(mended))
    }

    pub(super) fn put_broken(&mut self, key: &CatalogKey, why: String) -> Affected {
        let before = self.unindex(key);
        self.entities.remove(&(key.kind, key.id));
        self.broken.insert((key.kind, key.id), why);
        self.forget_targets(key.kind, before.and(Affected::Workspace))
    }

    pub(super) fn remove(&mut self, key: &CatalogKey) -> Affected {
        let broken = self.mended(key);
        let elsewhere = self.looked_at_elsewhere(key);
        let before = self.unindex(key);
        self.entities.remove(&(key.kind, key.id));
        if is_looked_at(key.kind) {
            self.removed.insert((key.kind, key.id));
        }
        self.forget_targets(key.kind, before.and(broken).and(elsewhere))
    }

    /// What could not be read may have held back anything.
    fn mended(&mut self, key: &CatalogKey) -> Affected {
        self.broken.remove(&(key.kind, key.id)).map_or(Affected::none(), |_| Affected::Workspace)
    }

    /// Whom a change of what is there may concern beside its own deployment: what depends on what runs of others looks at
    /// their deployments, their versions, and where they have targets. What is new runs nowhere; what comes back may.
    fn looked_at_elsewhere(&self, key: &CatalogKey) -> Affected {
        let it = (key.kind, key.id);
        let is_known = self.entities.contains_key(&it) || self.removed.contains(&it);
        if is_looked_at(key.kind) && !self.depending.is_empty() && is_known {
            return Affected::Workspace;
        }
        Affected::none()
    }

    fn index(&mut self, entity: &Entity) -> Affected {
        match entity {
            Entity::Version(version) => {
                let of = self.versions.entry(version.spec.deployment).or_default();
                of.insert((Reverse(version.meta.created_at), Reverse(version.meta.id)));
                if !version.spec.dependencies.is_empty() {
                    self.depending.insert(version.meta.id);
                }
            }
            Entity::Policy(policy) => {
                let depends = |rule: &PolicyRule| matches!(rule, PolicyRule::DeploymentDependency(_));
                if policy.spec.rules.iter().any(depends) {
                    self.depending.insert(policy.meta.id);
                }
            }
            Entity::Skip(skip) => {
                self.skips.entry(skip.spec.version).or_default().insert(skip.meta.id);
            }
            Entity::Pin(pin) => {
                self.pins.entry(pin.spec.deployment).or_default().insert(pin.meta.id);
            }
            Entity::Approval(approval) => {
                let of =
                    self.approvals.entry((approval.spec.version, approval.spec.environment)).or_default();
                of.insert(approval.meta.id);
            }
            Entity::Environment(environment) => {
                self.selection.put_environment(environment);
            }
            Entity::Resource(resource) => {
                self.selection.put_resource(resource);
            }
            Entity::Deployment(deployment) => {
                self.targets.insert(DeploymentId(deployment.meta.id), OnceLock::new());
            }
            Entity::Trigger(trigger) => {
                let of = self.rules.entry(occasion(trigger)).or_default();
                of.insert(trigger.meta.id, Arc::new(Rule::new(trigger.clone())));
            }
            Entity::Workspace(_)
            | Entity::System(_)
            | Entity::JobAgent(_)
            | Entity::TriggerSource(_)
            | Entity::Freeze(_)
            | Entity::Redeploy(_)
            | Entity::RolloutControl(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_)
            | Entity::ResourceProvider(_)
            | Entity::Workflow(_)
            | Entity::WorkflowRun(_) => {}
        }
        self.affected_by(entity)
    }

    fn unindex(&mut self, key: &CatalogKey) -> Affected {
        let Some(entity) = self.entities.get(&(key.kind, key.id)).cloned() else {
            return Affected::none();
        };
        let affected = self.affected_by(&entity);
        match &entity {
            Entity::Version(version) => {
                if let Some(of) = self.versions.get_mut(&version.spec.deployment) {
                    of.remove(&(Reverse(version.meta.created_at), Reverse(version.meta.id)));
                }
                self.depending.remove(&version.meta.id);
            }
            Entity::Policy(policy) => {
                self.depending.remove(&policy.meta.id);
            }
            Entity::Skip(skip) => {
                if let Some(of) = self.skips.get_mut(&skip.spec.version) {
                    of.remove(&skip.meta.id);
                }
            }
            Entity::Pin(pin) => {
                if let Some(of) = self.pins.get_mut(&pin.spec.deployment) {
                    of.remove(&pin.meta.id);
                }
            }
            Entity::Approval(approval) => {
                if let Some(of) = self.approvals.get_mut(&(approval.spec.version, approval.spec.environment))
                {
                    of.remove(&approval.meta.id);
                }
            }
            Entity::Environment(environment) => {
                self.selection.remove_environment(EnvironmentId(environment.meta.id));
            }
            Entity::Resource(resource) => {
                self.selection.remove_resource(ResourceId(resource.meta.id));
            }
            Entity::Deployment(deployment) => {
                self.targets.remove(&DeploymentId(deployment.meta.id));
            }
            Entity::Trigger(trigger) => {
                if let Some(of) = self.rules.get_mut(&occasion(trigger)) {
                    of.remove(&trigger.meta.id);
                }
            }
            Entity::Workspace(_)
            | Entity::System(_)
            | Entity::JobAgent(_)
            | Entity::TriggerSource(_)
            | Entity::Freeze(_)
            | Entity::Redeploy(_)
            | Entity::RolloutControl(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_)
            | Entity::ResourceProvider(_)
            | Entity::Workflow(_)
            | Entity::WorkflowRun(_) => {}
        }
        affected
    }

    fn affected_by(&self, entity: &Entity) -> Affected {
        match entity {
            Entity::Version(version) => Affected::deployment(version.spec.deployment),
            Entity::Deployment(deployment) => Affected::deployment(DeploymentId(deployment.meta.id)),
            Entity::Approval(approval) => self.deployment_of(approval.spec.version),
            Entity::Skip(skip) => self.deployment_of(skip.spec.version),
            Entity::RolloutControl(control) => self.deployment_of(control.spec.version),
            Entity::Pin(pin) => Affected::deployment(pin.spec.deployment),
            Entity::Redeploy(redeploy) => Affected::deployment(redeploy.spec.target.deployment),
            Entity::Environment(environment) => {
                Affected::Deployments(self.deployments_in(&environment.spec.systems))
            }
            Entity::Resource(resource) if self.is_related(resource) => Affected::Workspace,
            Entity::Resource(resource) => {
                let environments = self.selection.environments_of(ResourceId(resource.meta.id));
                let systems: Vec<SystemId> = environments
                    .into_iter()
                    .filter_map(|id| self.environment(id))
                    .flat_map(|environment| environment.spec.systems.iter().copied())
                    .collect();
                Affected::Deployments(self.deployments_in(&systems))
            }
            Entity::System(_)
            | Entity::Policy(_)
            | Entity::Freeze(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_) => Affected::Workspace,
            Entity::Workspace(_)
            | Entity::JobAgent(_)
            | Entity::TriggerSource(_)
            | Entity::Trigger(_)
            | Entity::ResourceProvider(_)
            | Entity::Workflow(_)
            | Entity::WorkflowRun(_) => Affected::none(),
        }
    }

    fn deployment_of(&self, version: VersionId) -> Affected {
        let version = self.version(version);
        version.map_or(Affected::none(), |version| Affected::deployment(version.spec.deployment))
    }

    /// Whether variables of other resources' targets may refer to it. What cannot be told counts as a yes.
    fn is_related(&self, resource: &Record<Resource>) -> bool {
        let mut rules = self.relationship_rules().peekable();
        if rules.peek().is_none() {
            return false;
        }
        let Ok(value) = value_of(&resource_context(resource)) else { return true };
        let scope = Scope::default().with("resource", value);
        rules.any(|rule| {
            let selects = self.compiled.selector(&rule.spec.to, RESOURCE).and_then(|to| to.matches(&scope));
            selects.unwrap_or(true)
        })
    }

    fn deployments_in(&self, systems: &[SystemId]) -> BTreeSet<DeploymentId> {
        if systems.is_empty() {
            return BTreeSet::new();
        }
        self.deployments()
            .filter(|deployment| deployment.spec.systems.iter().any(|system| systems.contains(system)))
            .map(|deployment| DeploymentId(deployment.meta.id))
            .collect()
    }

    /// The targets of what a change of selection concerns are selected again when somebody asks for them.
    fn forget_targets(&mut self, kind: Kind, affected: Affected) -> Affected {
        match kind {
            Kind::System | Kind::Environment | Kind::Resource | Kind::Deployment => {}
            Kind::Workspace
            | Kind::JobAgent
            | Kind::Policy
            | Kind::TriggerSource
            | Kind::Trigger
            | Kind::Version
            | Kind::Approval
            | Kind::Skip
            | Kind::Freeze
            | Kind::Pin
            | Kind::Redeploy
            | Kind::RolloutControl
            | Kind::VariableSet
            | Kind::RelationshipRule
            | Kind::ResourceProvider
            | Kind::Workflow
            | Kind::WorkflowRun => return affected,
        }
        match &affected {
            Affected::Workspace => self.targets.values_mut().for_each(|cell| *cell = OnceLock::new()),
            Affected::Deployments(these) => {
                for id in these {
                    if let Some(cell) = self.targets.get_mut(id) {
                        *cell = OnceLock::new();
                    }
                }
            }
        }
        affected
    }
}

fn occasion(trigger: &Record<Trigger>) -> Occasion {
    (trigger.spec.source.clone(), trigger.spec.event.clone())
}

/// Whether what depends on what runs of other deployments looks at such entities.
fn is_looked_at(kind: Kind) -> bool {
    matches!(kind, Kind::Version | Kind::Deployment | Kind::Environment)
}
