//! Which resources an environment and a deployment select. A selector that cannot be evaluated selects nothing, and
//! is reported: gates fail closed.

use super::context::{environment_context, resource_context};
use crate::entity::{Deployment, Environment, Record, Resource};
use crate::id::{EnvironmentId, ResourceId};
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// How many answers are kept of a resource.
const SAID_MAX: usize = 32;

/// A selector that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionProblem {
    /// The environment or deployment whose selector it is.
    pub of: Uuid,
    /// The environment in which it could not be told.
    pub environment: EnvironmentId,
    /// The first resource of which it could not be told.
    pub resource: Option<Uuid>,
    /// Why.
    pub why: String,
}

/// The resources of each environment, kept up to date change by change.
#[derive(Default)]
pub(super) struct Selection {
    environments: BTreeMap<EnvironmentId, Selected>,
    resources: BTreeMap<ResourceId, Seen>,
}

/// A resource as selectors see it, and what some said of it: both end when it is written again.
struct Seen {
    value: Result<ScopeValue, SelectorError>,
    /// By the selectors' numbers.
    said: Mutex<Vec<(u64, bool)>>,
}

struct Selected {
    selector: Result<Selector, SelectorError>,
    value: Result<ScopeValue, SelectorError>,
    resources: BTreeSet<ResourceId>,
    /// Of which resources it cannot be told, and why; a resource that changes or goes takes its problem along.
    untold: BTreeMap<ResourceId, String>,
}

impl Selection {
    pub(super) fn put_environment(&mut self, environment: &Record<Environment>) {
        let id = EnvironmentId(environment.meta.id);
        let mut selected = Selected {
            selector: Selector::compile(&environment.spec.resource_selector, &["resource"]),
            value: value_of(&environment_context(environment)),
            resources: BTreeSet::new(),
            untold: BTreeMap::new(),
        };
        for (resource, seen) in &self.resources {
            selected.consider(*resource, &seen.value);
        }
        self.environments.insert(id, selected);
    }

    pub(super) fn remove_environment(&mut self, id: EnvironmentId) {
        self.environments.remove(&id);
    }

    pub(super) fn put_resource(&mut self, resource: &Record<Resource>) {
        let id = ResourceId(resource.meta.id);
        let value = value_of(&resource_context(resource));
        for selected in self.environments.values_mut() {
            selected.consider(id, &value);
        }
        self.resources.insert(id, Seen { value, said: Mutex::default() });
    }

    pub(super) fn remove_resource(&mut self, id: ResourceId) {
        self.resources.remove(&id);
        for selected in self.environments.values_mut() {
            selected.forget(id);
        }
    }

    /// A resource as selectors see it.
    pub(super) fn value(&self, resource: ResourceId) -> Option<&Result<ScopeValue, SelectorError>> {
        self.resources.get(&resource).map(|seen| &seen.value)
    }

    /// Asks a selector that is only about the resource; a yes or no is kept as long as the resource stays as it is.
    pub(super) fn ask(
        &self,
        resource: ResourceId,
        selector: &Selector,
        ask: impl FnOnce() -> Result<bool, SelectorError>,
    ) -> Result<bool, SelectorError> {
        let Some(seen) = self.resources.get(&resource) else { return ask() };
        let mut said = seen.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = said.iter().find(|(number, _)| *number == selector.number()) {
            return Ok(*known);
        }
        let answer = ask()?;
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.push((selector.number(), answer));
        Ok(answer)
    }

    /// The environments a resource is in, or of which that cannot be told.
    pub(super) fn environments_of(&self, resource: ResourceId) -> BTreeSet<EnvironmentId> {
        let concerned = self.environments.iter().filter(|(_, selected)| {
            selected.resources.contains(&resource) || selected.untold.contains_key(&resource)
        });
        concerned.map(|(id, _)| *id).collect()
    }

    /// The resources of an environment which the deployment selects, too; and what could not be told.
    pub(super) fn of(
        &self,
        deployment: &Record<Deployment>,
        environment_id: EnvironmentId,
    ) -> (Vec<ResourceId>, Option<SelectionProblem>) {
        let Some(selected) = self.environments.get(&environment_id) else { return (Vec::new(), None) };
        let Some(source) = &deployment.spec.resource_selector else {
            return (selected.resources.iter().copied().collect(), selected.problem(environment_id));
        };
        let problem = |resource, why: &SelectorError| {
            let (of, environment) = (deployment.meta.id, environment_id);
            Some(SelectionProblem { of, environment, resource, why: why.to_string() })
        };
        let selector = match Selector::compile(source, &["resource", "environment"]) {
            Ok(selector) => selector,
            Err(why) => return (Vec::new(), problem(None, &why)),
        };
        let environment = match &selected.value {
            Ok(value) => value,
            Err(why) => return (Vec::new(), problem(None, why)),
        };
        let mut resources = Vec::new();
        let mut found = selected.problem(environment_id);
        for id in &selected.resources {
            let Some(Ok(value)) = self.value(*id) else { continue };
            let scope =
                Scope::default().with("environment", environment.clone()).with("resource", value.clone());
            match selector.matches(&scope) {
                Ok(true) => resources.push(*id),
                Ok(false) => {}
                Err(why) => found = found.or_else(|| problem(Some(id.0), &why)),
            }
        }
        (resources, found)
    }
}

impl Selected {
    fn consider(&mut self, resource: ResourceId, value: &Result<ScopeValue, SelectorError>) {
        self.forget(resource);
        let Ok(selector) = &self.selector else { return };
        let matched = match value {
            Ok(value) => selector.matches(&Scope::default().with("resource", value.clone())),
            Err(why) => Err(why.clone()),
        };
        match matched {
            Ok(true) => {
                self.resources.insert(resource);
            }
            Ok(false) => {}
            Err(why) => {
                self.untold.insert(resource, why.to_string());
            }
        }
    }

    fn forget(&mut self, resource: ResourceId) {
        self.resources.remove(&resource);
        self.untold.remove(&resource);
    }

    /// Why not all can be told, by the first of which it cannot.
    fn problem(&self, id: EnvironmentId) -> Option<SelectionProblem> {
        let (resource, why) = match &self.selector {
            Err(why) => (None, why.to_string()),
            Ok(_) => self.untold.first_key_value().map(|(resource, why)| (Some(resource.0), why.clone()))?,
        };
        Some(SelectionProblem { of: id.0, environment: id, resource, why })
    }
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection").field("environments", &self.environments.len()).finish_non_exhaustive()
    }
}
