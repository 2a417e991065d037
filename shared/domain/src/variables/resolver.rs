//! Finds the value of each variable on a target: resource, then deployment, then variable sets, then default.
//! Expressions are compiled once while a resolver lives; what cannot be evaluated or read blocks.

use super::VariableError;
use super::form::{Form, is_name_of_secret};
use super::relation::Relations;
use crate::catalog::{WorkspaceCatalog, deployment_context, environment_context, resource_context};
use crate::entity::{
    Deployment, DeploymentVariable, DeploymentVariableValue, Environment, Kind, Record, Resource, VariableSet,
};
use crate::id::DeploymentId;
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use crate::target::{TargetKey, Variables};
use serde::Serialize;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// What the selectors of values and of variable sets may speak of.
const PLACE: &[&str] = &["deployment", "environment", "resource"];
/// How many references may lead from one to the next.
const REFERENCES_MAX: usize = 4;
/// How many variables without a value an error names.
const PROBLEMS_MAX: usize = 5;

/// The variables of one deployment, for any of its targets. Made once per look at the deployment.
pub struct Resolver<'a> {
    ws: &'a WorkspaceCatalog,
    deployment: Option<&'a Record<Deployment>>,
    declared: Vec<Declared<'a>>,
    relations: Relations<'a>,
    selectors: RefCell<HashMap<&'a str, Result<Selector, SelectorError>>>,
    /// The deployment and its environments as selectors see them.
    values: RefCell<HashMap<Uuid, Result<ScopeValue, SelectorError>>>,
    /// The last answer: versions are looked at one after the other on the same target.
    last: RefCell<Option<(TargetKey, Answer)>>,
}

/// The variables of a target, or why there are none.
pub(crate) type Answer = Result<Variables, VariableError>;

/// A variable, and who may give it a value: each list begins with who comes first.
struct Declared<'a> {
    variable: &'a DeploymentVariable,
    values: Vec<&'a DeploymentVariableValue>,
    sets: Vec<&'a Record<VariableSet>>,
}

/// What a target consists of.
struct Here<'a> {
    deployment: &'a Record<Deployment>,
    environment: Option<&'a Record<Environment>>,
    resource: &'a Record<Resource>,
    /// What was asked here.
    asked: RefCell<HashMap<&'a str, Result<bool, SelectorError>>>,
    scope: RefCell<Option<Scope>>,
}

/// How references led from the variable of a target to where they are now.
#[derive(Default)]
struct Trail<'a> {
    /// The variable it began with, where that is the resource's own.
    origin: Option<Variable<'a>>,
    /// The variables it came by.
    followed: Vec<Variable<'a>>,
    references: usize,
}

/// A variable of a resource.
type Variable<'a> = (Uuid, &'a str);

impl<'a> Resolver<'a> {
    /// The resolver of a deployment's variables.
    pub fn of(ws: &'a WorkspaceCatalog, deployment: DeploymentId) -> Self {
        let deployment = ws.deployment(deployment);
        let variables = deployment.map(|deployment| deployment.spec.variables.as_slice()).unwrap_or_default();
        Self {
            ws,
            deployment,
            declared: variables.iter().map(|variable| Declared::of(ws, variable)).collect(),
            relations: Relations::of(ws),
            selectors: RefCell::default(),
            values: RefCell::default(),
            last: RefCell::default(),
        }
    }

    /// The variables on one of the deployment's targets. A secret is `{"secretRef": name}`, see
    /// [`secret_of`](super::secret_of); references have been followed.
    ///
    /// # Errors
    /// When a variable has no value here, or it cannot be told which, or a part of the target is gone.
    pub fn resolve(&self, target: &TargetKey) -> Result<Variables, VariableError> {
        self.with(target, Clone::clone)
    }

    /// The same, for who only looks at it.
    pub(crate) fn with<T>(&self, target: &TargetKey, look: impl FnOnce(&Answer) -> T) -> T {
        if let Some((last, answer)) = &*self.last.borrow()
            && last == target
        {
            return look(answer);
        }
        let answer = self.variables(target);
        let seen = look(&answer);
        *self.last.borrow_mut() = Some((*target, answer));
        seen
    }

    fn variables(&self, target: &TargetKey) -> Answer {
        let gone = |what: &str| VariableError(format!("the {what} is not in the catalog"));
        let deployment = self.deployment.ok_or_else(|| gone("deployment"))?;
        let resource = self.ws.resource(target.resource).ok_or_else(|| gone("resource"))?;
        if self.declared.is_empty() {
            return gathered(
                resource.spec.variables.iter().map(|(key, value)| (key, self.own(resource, key, value))),
            );
        }
        let here = Here {
            deployment,
            environment: self.ws.environment(target.environment),
            resource,
            asked: RefCell::default(),
            scope: RefCell::default(),
        };
        gathered(self.declared.iter().map(|declared| (&declared.variable.key, self.given(declared, &here))))
    }

    /// The value of a declared variable.
    fn given(&self, declared: &Declared<'a>, here: &Here<'a>) -> Result<Value, String> {
        let key = &declared.variable.key;
        if let Some((key, value)) = here.resource.spec.variables.get_key_value(key) {
            return self.own(here.resource, key, value);
        }
        let here_too = |what: &str, selector: &'a str| {
            self.selects(selector, here).map_err(|error| format!("the selector of {what}: {error}"))
        };
        for value in &declared.values {
            let selected = value.selector.as_deref().map(|selector| here_too("a value", selector));
            if selected.unwrap_or(Ok(true))? {
                return self.meant(&value.value, here.resource, &mut Trail::default());
            }
        }
        if let Some((id, why)) = self.ws.broken(Kind::VariableSet).next() {
            return Err(format!("the variable set {id}, which may give one, cannot be read: {why}"));
        }
        for set in &declared.sets {
            if here_too(&format!("variable set {:?}", set.meta.name), &set.spec.selector)? {
                return self.meant(&set.spec.variables[key], here.resource, &mut Trail::default());
            }
        }
        match &declared.variable.default {
            Some(value) => self.meant(value, here.resource, &mut Trail::default()),
            None => Err("neither the resource nor a value, a variable set or a default gives one".to_owned()),
        }
    }

    /// The value of a variable that the resource itself has.
    fn own(&self, resource: &'a Record<Resource>, key: &'a str, value: &'a Value) -> Result<Value, String> {
        let origin = Some((resource.meta.id, key));
        self.meant(value, resource, &mut Trail { origin, ..Trail::default() })
    }

    /// What a variable's value means on a resource.
    fn meant(
        &self,
        value: &'a Value,
        on: &'a Record<Resource>,
        trail: &mut Trail<'a>,
    ) -> Result<Value, String> {
        match Form::of(value) {
            Form::Literal => Ok(value.clone()),
            Form::Secret(name) if is_name_of_secret(name) => Ok(value.clone()),
            Form::Secret(_) => {
                Err("a secret's name has 1 to 100 letters, digits, `_` and `-`; this one does not".to_owned())
            }
            Form::Reference { relation, path } => self
                .referred(relation, path, on, trail)
                .map_err(|why| format!("the reference `{relation}` to `{path}`: {why}")),
        }
    }

    /// What is at the path of the related resource.
    fn referred(
        &self,
        relation: &'a str,
        path: &'a str,
        on: &'a Record<Resource>,
        trail: &mut Trail<'a>,
    ) -> Result<Value, String> {
        trail.references += 1;
        if trail.references > REFERENCES_MAX {
            return Err(format!("more than {REFERENCES_MAX} references lead from one to the next"));
        }
        let related = self.relations.one(relation, on)?;
        let identifier = &related.spec.identifier;
        let nothing = || format!("{identifier:?} has nothing there");
        let Some(path) = path.strip_prefix("variables.") else {
            if path == "variables" {
                return Err("one variable must be meant, as in `variables.region`".to_owned());
            }
            return plain(at(&resource_context(related), path).ok_or_else(nothing)?);
        };
        let (key, value, rest) = entry(&related.spec.variables, path).ok_or_else(nothing)?;
        let variable = (related.meta.id, key);
        if trail.origin == Some(variable) || trail.followed.contains(&variable) {
            return Err(format!("it comes back to `{key}` of {identifier:?}"));
        }
        trail.followed.push(variable);
        let value = self.meant(value, related, trail)?;
        match rest {
            None => Ok(value),
            Some(_) if super::secret_of(&value).is_some() => Err("a secret has no parts".to_owned()),
            Some(rest) => plain(at(&value, rest).ok_or_else(nothing)?),
        }
    }

    /// Whether a selector selects the target.
    fn selects(&self, selector: &'a str, here: &Here<'a>) -> Result<bool, SelectorError> {
        if let Some(answer) = here.asked.borrow().get(selector) {
            return answer.clone();
        }
        let answer = self.compiled(selector).and_then(|selector| selector.matches(&self.scope(here)?));
        here.asked.borrow_mut().insert(selector, answer.clone());
        answer
    }

    fn compiled(&self, selector: &'a str) -> Result<Selector, SelectorError> {
        let mut selectors = self.selectors.borrow_mut();
        selectors.entry(selector).or_insert_with(|| self.ws.compiled().selector(selector, PLACE)).clone()
    }

    fn scope(&self, here: &Here<'a>) -> Result<Scope, SelectorError> {
        if let Some(scope) = &*here.scope.borrow() {
            return Ok(scope.clone());
        }
        let environment =
            here.environment.ok_or_else(|| SelectorError("the environment is not in the catalog".into()))?;
        let scope = Scope::default()
            .with("deployment", self.value(here.deployment.meta.id, || deployment_context(here.deployment))?)
            .with("environment", self.value(environment.meta.id, || environment_context(environment))?)
            .with("resource", value_of(&resource_context(here.resource))?);
        *here.scope.borrow_mut() = Some(scope.clone());
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

impl<'a> Declared<'a> {
    fn of(ws: &'a WorkspaceCatalog, variable: &'a DeploymentVariable) -> Self {
        let mut values: Vec<_> = variable.values.iter().collect();
        values.sort_by_key(|value| Reverse(value.priority));
        let mut sets: Vec<_> =
            ws.variable_sets().filter(|set| set.spec.variables.contains_key(&variable.key)).collect();
        sets.sort_by_key(|set| (Reverse(set.spec.priority), &set.meta.name, set.meta.id));
        Self { variable, values, sets }
    }
}

/// All values, or which variables have none. A key that is there twice has none: which is meant cannot be told.
fn gathered<'k>(found: impl Iterator<Item = (&'k String, Result<Value, String>)>) -> Answer {
    let mut variables = Variables::new();
    let mut problems: BTreeSet<(&str, String)> = BTreeSet::new();
    for (key, value) in found {
        match value {
            Ok(value) => {
                if variables.insert(key.clone(), value).is_some() {
                    problems.insert((key, "it is declared twice".to_owned()));
                }
            }
            Err(why) => {
                problems.insert((key, why));
            }
        }
    }
    if problems.is_empty() {
        return Ok(variables);
    }
    let say = |(key, why): &(&str, String)| format!("variable `{key}` has no value here: {why}");
    let mut said: Vec<String> = problems.iter().take(PROBLEMS_MAX).map(say).collect();
    if problems.len() > PROBLEMS_MAX {
        said.push(format!("and {} more", problems.len() - PROBLEMS_MAX));
    }
    Err(VariableError(said.join("; ")))
}

/// A value that is no variable's means nothing but itself: a config that only looks like a secret must not become one.
fn plain(value: &Value) -> Result<Value, String> {
    match Form::of(value) {
        Form::Literal => Ok(value.clone()),
        Form::Secret(_) | Form::Reference { .. } => {
            Err("only a variable as a whole may be a secret or a reference".to_owned())
        }
    }
}

/// What is at a dotted path. A key with dots in it is found where it is the end of the path.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => match entry(map, path)? {
            (_, value, None) => Some(value),
            (_, value, Some(rest)) => at(value, rest),
        },
        Value::Array(items) => {
            let (index, rest) =
                path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
            let item = items.get(index.parse::<usize>().ok()?)?;
            rest.map_or(Some(item), |rest| at(item, rest))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The entry a path begins with, and what is left of the path.
fn entry<'v, 'p>(
    map: &'v Map<String, Value>,
    path: &'p str,
) -> Option<(&'v str, &'v Value, Option<&'p str>)> {
    if let Some((key, value)) = map.get_key_value(path) {
        return Some((key, value, None));
    }
    let (first, rest) = path.split_once('.')?;
    map.get_key_value(first).map(|(key, value)| (key.as_str(), value, Some(rest)))
}
