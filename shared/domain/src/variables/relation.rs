//! Relations: which resource is meant by a reference. One answer, or why there is none; each is found once while a
//! resolver lives.

use crate::catalog::{WorkspaceCatalog, resource_context};
use crate::entity::{Kind, Record, RelationshipRule, Resource};
use crate::near::did_you_mean;
use crate::selector::{Scope, ScopeValue, Selector, SelectorError, value_of};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// How many of several related resources an error names.
const NAMED_MAX: usize = 5;

/// The relations of a workspace.
pub(super) struct Relations<'a> {
    ws: &'a WorkspaceCatalog,
    rules: OnceCell<BTreeMap<&'a str, Vec<Rule<'a>>>>,
    found: RefCell<HashMap<Asked<'a>, Related<'a>>>,
}

/// A relation, and the resource whose it is.
type Asked<'a> = (&'a str, Uuid);
type Related<'a> = Result<&'a Record<Resource>, String>;

/// A rule whose expressions are compiled, and whom it selects, once somebody asks.
struct Rule<'a> {
    record: &'a Record<RelationshipRule>,
    expressions: Result<Expressions, String>,
    /// Whom `to` selects, by id.
    to: OnceCell<Result<Vec<Candidate<'a>>, String>>,
}

struct Expressions {
    from: Selector,
    to: Selector,
    matcher: Selector,
}

type Candidate<'a> = (&'a Record<Resource>, ScopeValue);

impl<'a> Relations<'a> {
    pub(super) fn of(ws: &'a WorkspaceCatalog) -> Self {
        Self { ws, rules: OnceCell::new(), found: RefCell::default() }
    }

    /// The one resource that is related to `from` by that name.
    pub(super) fn one(&self, relation: &'a str, from: &'a Record<Resource>) -> Related<'a> {
        let asked = (relation, from.meta.id);
        if let Some(found) = self.found.borrow().get(&asked) {
            return found.clone();
        }
        let found = self.find(relation, from);
        self.found.borrow_mut().insert(asked, found.clone());
        found
    }

    fn find(&self, relation: &str, from: &Record<Resource>) -> Related<'a> {
        // Either may be what makes the answer another one.
        for kind in [Kind::RelationshipRule, Kind::Resource] {
            if let Some((id, why)) = self.ws.broken(kind).next() {
                return Err(format!("the {} {id} cannot be read: {why}", kind.token()));
            }
        }
        let rules = self.rules.get_or_init(|| self.compiled());
        let Some(rules) = rules.get(relation) else {
            let hint = did_you_mean(relation, rules.keys().copied()).map(|hint| format!("; {hint}"));
            return Err(format!("there is no relation `{relation}`{}", hint.unwrap_or_default()));
        };
        let from_value = value_of(&resource_context(from)).map_err(|error| error.to_string())?;
        let mut related: BTreeMap<(&str, Uuid), &'a Record<Resource>> = BTreeMap::new();
        for rule in rules {
            let found = rule.related_to(&from_value, self.ws);
            for to in found.map_err(|why| format!("relation {:?}: {why}", rule.record.meta.name))? {
                related.insert((&to.spec.identifier, to.meta.id), to);
            }
        }
        let mut found = related.values().copied();
        match (found.next(), related.len()) {
            (Some(one), 1) => Ok(one),
            (None, _) => Err(format!("no resource is related to {:?} by `{relation}`", from.spec.identifier)),
            (Some(_), count) => {
                let names = related.keys().take(NAMED_MAX).map(|(identifier, _)| *identifier);
                let names = names.collect::<Vec<_>>().join(", ");
                let more = if count > NAMED_MAX { ", …" } else { "" };
                Err(format!(
                    "{count} resources are related to {:?} by `{relation}`, and one must be meant: {names}{more}",
                    from.spec.identifier
                ))
            }
        }
    }

    /// The rules by the name they give, in the order of their own names.
    fn compiled(&self) -> BTreeMap<&'a str, Vec<Rule<'a>>> {
        let mut rules: BTreeMap<&str, Vec<Rule<'a>>> = BTreeMap::new();
        for record in self.ws.relationship_rules() {
            rules.entry(&record.spec.reference).or_default().push(Rule::of(record));
        }
        for rules in rules.values_mut() {
            rules.sort_by_key(|rule| (&rule.record.meta.name, rule.record.meta.id));
        }
        rules
    }
}

impl<'a> Rule<'a> {
    fn of(record: &'a Record<RelationshipRule>) -> Self {
        let spec = &record.spec;
        let compile = |field: &str, source: &str, variables: &[&str]| {
            Selector::compile(source, variables).map_err(|error| format!("`{field}`: {error}"))
        };
        let expressions = compile("from", &spec.from, &["resource"]).and_then(|from| {
            let to = compile("to", &spec.to, &["resource"])?;
            Ok(Expressions { from, to, matcher: compile("matcher", &spec.matcher, &["from", "to"])? })
        });
        Self { record, expressions, to: OnceCell::new() }
    }

    /// The resources that are related by this rule.
    fn related_to(
        &self,
        from: &ScopeValue,
        ws: &'a WorkspaceCatalog,
    ) -> Result<Vec<&'a Record<Resource>>, String> {
        let expressions = self.expressions.as_ref().map_err(String::clone)?;
        let is_from = expressions.from.matches(&Scope::default().with("resource", from.clone()));
        if !is_from.map_err(|error| format!("`from`: {error}"))? {
            return Ok(Vec::new());
        }
        let candidates = self.to.get_or_init(|| candidates(&expressions.to, ws));
        let mut related = Vec::new();
        for (resource, value) in candidates.as_ref().map_err(String::clone)? {
            let scope = Scope::default().with("from", from.clone()).with("to", value.clone());
            let matches = expressions.matcher.matches(&scope);
            if matches.map_err(|error| of_resource("matcher", resource, &error))? {
                related.push(*resource);
            }
        }
        Ok(related)
    }
}

/// Whom the expression selects. If that cannot be told of one, it cannot be told at all.
fn candidates<'a>(to: &Selector, ws: &'a WorkspaceCatalog) -> Result<Vec<Candidate<'a>>, String> {
    let mut candidates = Vec::new();
    for resource in ws.resources() {
        let value = value_of(&resource_context(resource));
        let selected = value.and_then(|value| {
            Ok(to.matches(&Scope::default().with("resource", value.clone()))?.then_some(value))
        });
        if let Some(value) = selected.map_err(|error| of_resource("to", resource, &error))? {
            candidates.push((resource, value));
        }
    }
    Ok(candidates)
}

fn of_resource(field: &str, resource: &Record<Resource>, error: &SelectorError) -> String {
    format!("`{field}` of {:?}: {error}", resource.spec.identifier)
}
