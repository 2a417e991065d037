//! Asks selectors: each expression is compiled once and each entity converted once while a view lives.
//! Every answer is a yes, a no, or why there is none; callers fail closed.

use super::once::Once;
use crate::catalog::{
    WorkspaceCatalog, deployment_context, environment_context, resource_context, user_context,
    version_context,
};
use crate::entity::{Approval, Deployment, Environment, Record, Resource, Version};
use crate::id::ResourceId;
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use uuid::Uuid;

/// What the selectors of policies, and those in rules, may speak of.
const PLACE: &[&str] = &["deployment", "environment", "resource"];
const PLACE_AND_VERSION: &[&str] = &["deployment", "environment", "resource", "version"];
const DEPLOYMENT_AND_VERSION: &[&str] = &["deployment", "version"];
const ENVIRONMENT: &[&str] = &["environment"];
const USER: &[&str] = &["user"];
/// Of what a place consists beside what all targets of an environment share.
const RESOURCE: &str = "resource";

/// Where a text and the list of what it may speak of are in memory, and how long the text is.
type Text = (usize, usize, usize);

/// Selectors and the values they were asked of.
pub(super) struct Asker<'a> {
    ws: &'a WorkspaceCatalog,
    selectors: RefCell<FxHashMap<Text, Rc<Result<Selector, SelectorError>>>>,
    values: RefCell<FxHashMap<Uuid, Result<ScopeValue, SelectorError>>>,
    /// What selectors say that do not depend on the resource.
    said: Once<Asked, Result<bool, SelectorError>>,
}

/// The number of a selector, the environment, the version, and the deployment where a selector of targets was asked.
type Asked = (u64, Uuid, Option<Uuid>, Uuid);

/// What a target consists of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) deployment: &'a Record<Deployment>,
    pub(super) environment: &'a Record<Environment>,
    pub(super) resource: &'a Record<Resource>,
}

impl<'a> Asker<'a> {
    pub(super) fn of(ws: &'a WorkspaceCatalog) -> Self {
        Self { ws, selectors: RefCell::default(), values: RefCell::default(), said: Once::default() }
    }

    /// Whether a selector of targets selects this one.
    pub(super) fn of_place(&self, selector: &'a str, parts: Parts<'_>) -> Result<bool, String> {
        self.of_target(selector, PLACE, parts, None)
    }

    /// Whether a `versionSelector` matches the version on the target.
    pub(super) fn of_version(
        &self,
        selector: &'a str,
        parts: Parts<'_>,
        version: &Record<Version>,
    ) -> Result<bool, String> {
        self.of_target(selector, PLACE_AND_VERSION, parts, Some(version))
    }

    /// Whether what a `versionSelector` says of a version is the same for all targets of an environment.
    pub(super) fn of_version_is_about_environment(&self, selector: &'a str) -> bool {
        let selector = self.compiled(selector, PLACE_AND_VERSION);
        (*selector).as_ref().is_ok_and(|selector| !selector.uses(RESOURCE))
    }

    /// What depends on the resource alone, or not on it, is asked once for many targets.
    fn of_target(
        &self,
        selector: &'a str,
        variables: &'static [&'static str],
        parts: Parts<'_>,
        version: Option<&Record<Version>>,
    ) -> Result<bool, String> {
        let ask = |selector: &Selector| {
            let ask = || {
                let scope = self.place(selector, parts)?;
                let version = version.filter(|_| selector.uses("version"));
                let value = version.map(|version| self.value(version.meta.id, || version_context(version)));
                selector.matches(&match value.transpose()? {
                    Some(value) => scope.with("version", value),
                    None => scope,
                })
            };
            if selector.is_only_about(RESOURCE) {
                return self.ws.ask_of_resource(ResourceId(parts.resource.meta.id), selector, ask);
            }
            if selector.uses(RESOURCE) {
                return ask();
            }
            let version = version.map(|version| version.meta.id);
            let asked = (selector.number(), parts.environment.meta.id, version, parts.deployment.meta.id);
            self.said.get(asked, ask)
        };
        let answer = match &*self.compiled(selector, variables) {
            Ok(selector) => selector.all(ask),
            Err(error) => Err(error.clone()),
        };
        answer.map_err(|error| error.to_string())
    }

    /// Whether what runs of a deployment will do for what depends on it.
    pub(super) fn of_dependency(
        &self,
        selector: &'a str,
        deployment: &Record<Deployment>,
        version: &Record<Version>,
    ) -> Result<bool, String> {
        self.ask(selector, DEPLOYMENT_AND_VERSION, |_| {
            let version = self.value(version.meta.id, || version_context(version))?;
            let deployment = self.value(deployment.meta.id, || deployment_context(deployment))?;
            Ok(Scope::default().with("version", version).with("deployment", deployment))
        })
    }

    /// Whether a selector of environments selects this one.
    pub(super) fn of_environment(
        &self,
        selector: &'a str,
        environment: &Record<Environment>,
    ) -> Result<bool, String> {
        self.ask(selector, ENVIRONMENT, |_| {
            let environment = self.value(environment.meta.id, || environment_context(environment))?;
            Ok(Scope::default().with("environment", environment))
        })
    }

    /// Whether a selector of people selects the one whose word it is; a role that is not known is not there.
    pub(super) fn of_user(&self, selector: &'a str, word: &Approval) -> Result<bool, String> {
        self.ask(selector, USER, |_| Ok(Scope::default().with("user", value_of(&user_context(word))?)))
    }

    /// Whether a selector of people can be asked at all.
    pub(super) fn can_ask_of_users(&self, selector: &'a str) -> Result<(), String> {
        match &*self.compiled(selector, USER) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ask(
        &self,
        selector: &'a str,
        variables: &'static [&'static str],
        scope: impl FnOnce(&Selector) -> Result<Scope, SelectorError>,
    ) -> Result<bool, String> {
        let answer = match &*self.compiled(selector, variables) {
            Ok(selector) => scope(selector).and_then(|scope| selector.matches(&scope)),
            Err(error) => Err(error.clone()),
        };
        answer.map_err(|error| error.to_string())
    }

    /// Texts live in the catalog while the view does, so the place of one in memory names it.
    fn compiled(
        &self,
        text: &'a str,
        variables: &'static [&'static str],
    ) -> Rc<Result<Selector, SelectorError>> {
        let mut selectors = self.selectors.borrow_mut();
        let key = (text.as_ptr() as usize, text.len(), variables.as_ptr() as usize);
        let compile = || Rc::new(self.ws.compiled().selector(text, variables));
        Rc::clone(selectors.entry(key).or_insert_with(compile))
    }

    /// Only what the selector speaks of is put into the scope.
    fn place(
        &self,
        selector: &Selector,
        Parts { deployment, environment, resource }: Parts<'_>,
    ) -> Result<Scope, SelectorError> {
        let mut scope = Scope::default();
        if selector.uses("deployment") {
            let value = self.value(deployment.meta.id, || deployment_context(deployment))?;
            scope = scope.with("deployment", value);
        }
        if selector.uses("environment") {
            let value = self.value(environment.meta.id, || environment_context(environment))?;
            scope = scope.with("environment", value);
        }
        if selector.uses(RESOURCE) {
            let known = self.ws.resource_value(ResourceId(resource.meta.id)).cloned();
            let value = known.unwrap_or_else(|| value_of(&resource_context(resource)))?;
            scope = scope.with(RESOURCE, value);
        }
        Ok(scope)
    }

    fn value<T: Serialize>(
        &self,
        id: Uuid,
        context: impl FnOnce() -> T,
    ) -> Result<ScopeValue, SelectorError> {
        self.values.borrow_mut().entry(id).or_insert_with(|| value_of(&context())).clone()
    }
}
