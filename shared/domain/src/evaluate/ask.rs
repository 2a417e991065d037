//! Asks selectors: each expression is compiled once and each entity converted once while a view lives.
//! Every answer is a yes, a no, or why there is none; callers fail closed.

use crate::catalog::{deployment_context, environment_context, resource_context, version_context};
use crate::entity::{Deployment, Environment, Record, Resource, Version};
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::HashMap;
use uuid::Uuid;

/// What the selectors of policies, and those in rules, may speak of.
const PLACE: &[&str] = &["deployment", "environment", "resource"];
const PLACE_AND_VERSION: &[&str] = &["deployment", "environment", "resource", "version"];
const ENVIRONMENT: &[&str] = &["environment"];
const USER: &[&str] = &["user"];

/// An expression and what it may speak of.
type Expression = (&'static [&'static str], String);

/// Selectors and the values they were asked of.
#[derive(Default)]
pub(super) struct Asker {
    selectors: RefCell<HashMap<Expression, Result<Selector, SelectorError>>>,
    values: RefCell<HashMap<Uuid, Result<ScopeValue, SelectorError>>>,
}

/// What a target consists of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) deployment: &'a Record<Deployment>,
    pub(super) environment: &'a Record<Environment>,
    pub(super) resource: &'a Record<Resource>,
}

impl Asker {
    /// Whether a policy's selector selects the target.
    pub(super) fn of_place(&self, selector: &str, parts: Parts<'_>) -> Result<bool, String> {
        self.ask(selector, PLACE, || self.place(parts))
    }

    /// Whether a `versionSelector` matches the version on the target.
    pub(super) fn of_version(
        &self,
        selector: &str,
        parts: Parts<'_>,
        version: &Record<Version>,
    ) -> Result<bool, String> {
        self.ask(selector, PLACE_AND_VERSION, || {
            let version = self.value(version.meta.id, || version_context(version))?;
            Ok(self.place(parts)?.with("version", version))
        })
    }

    /// Whether a selector of environments selects this one.
    pub(super) fn of_environment(
        &self,
        selector: &str,
        environment: &Record<Environment>,
    ) -> Result<bool, String> {
        self.ask(selector, ENVIRONMENT, || {
            let environment = self.value(environment.meta.id, || environment_context(environment))?;
            Ok(Scope::default().with("environment", environment))
        })
    }

    /// Whether a selector of people selects this one; `user` is the name the word was given under.
    pub(super) fn of_user(&self, selector: &str, user: &str) -> Result<bool, String> {
        self.ask(selector, USER, || Ok(Scope::default().with("user", value_of(&user)?)))
    }

    /// Whether a selector of people can be asked at all.
    pub(super) fn can_ask_of_users(&self, selector: &str) -> Result<(), String> {
        self.compiled(selector, USER).map(|_| ()).map_err(|error| error.to_string())
    }

    fn ask(
        &self,
        selector: &str,
        variables: &'static [&'static str],
        scope: impl FnOnce() -> Result<Scope, SelectorError>,
    ) -> Result<bool, String> {
        let answer = self.compiled(selector, variables).and_then(|selector| selector.matches(&scope()?));
        answer.map_err(|error| error.to_string())
    }

    fn compiled(
        &self,
        selector: &str,
        variables: &'static [&'static str],
    ) -> Result<Selector, SelectorError> {
        let mut selectors = self.selectors.borrow_mut();
        let compiled = selectors.entry((variables, selector.to_owned()));
        compiled.or_insert_with(|| Selector::compile(selector, variables)).clone()
    }

    fn place(&self, Parts { deployment, environment, resource }: Parts<'_>) -> Result<Scope, SelectorError> {
        Ok(Scope::default()
            .with("deployment", self.value(deployment.meta.id, || deployment_context(deployment))?)
            .with("environment", self.value(environment.meta.id, || environment_context(environment))?)
            .with("resource", self.value(resource.meta.id, || resource_context(resource))?))
    }

    fn value<T: Serialize>(
        &self,
        id: Uuid,
        context: impl FnOnce() -> T,
    ) -> Result<ScopeValue, SelectorError> {
        self.values.borrow_mut().entry(id).or_insert_with(|| value_of(&context())).clone()
    }
}
