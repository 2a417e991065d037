//! What waits, version by version: a version in an environment once, however many targets wait for it there.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use domain::Timestamp;
use domain::decision::RuleVerdict;
use domain::entity::Kind;
use domain::id::{EnvironmentId, PolicyId, VersionId};
use domain::target::TargetKey;
use serde_json::{Value, json};

use super::pending::waits;
use super::waiting::{Held, Query, held_on, holding, version_shown};
use crate::caller::Caller;
use crate::context::App;
use crate::explain;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};
use crate::spelling::spelt;

/// So many targets of each version are named.
const TARGETS_NAMED: usize = 6;

/// A version that is held back in an environment.
struct Group<'a> {
    /// One of the targets.
    held: &'a Held<'a>,
    newest: bool,
    targets: usize,
    named: Vec<TargetKey>,
    /// By policy, rule and its place in the policy: what it says to the first target, and to how many it says no.
    rules: BTreeMap<(Option<PolicyId>, &'a str, u32), (&'a RuleVerdict, usize)>,
    next_look: Option<Timestamp>,
}

/// How many targets wait with their newest version, over all versions.
#[derive(Default)]
struct Summary {
    targets: usize,
    for_people: usize,
    for_rules: usize,
    policies: BTreeMap<PolicyId, BTreeSet<TargetKey>>,
}

/// `GET /waiting/versions?rule=&limit=&offset=`: a version in an environment once, newest first, with `targets`, how many of
/// them each rule holds back, and in `summary` how many targets wait for people, how many for rules alone, and how many each policy holds back.
#[utoipa::path(get, path = "/waiting/versions", params(Page, Query), responses((status = 200, description = "A page of the versions that are held back", body = Listed)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
    Params(query): Params<Query>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let decisions = app.decisions.of(&workspace);
    let rule = query.rule();
    let held: Vec<Held<'_>> = decisions.iter().flat_map(|decision| held_on(decision, rule)).collect();
    let mut summary = Summary::default();
    let mut groups: BTreeMap<(VersionId, EnvironmentId), Group<'_>> = BTreeMap::new();
    for held in &held {
        summary.count(held);
        let key = (held.version.version, held.decision.target.environment);
        groups.entry(key).or_insert_with(|| Group::of(held)).take(held);
    }
    let mut groups: Vec<Group<'_>> = groups.into_values().collect();
    let created = |version: VersionId| {
        app.catalog.get(&workspace, Kind::Version, version.0).map(|version| version.meta().created_at)
    };
    groups.sort_by_cached_key(|group| {
        (std::cmp::Reverse(created(group.held.version.version)), group.held.decision.target)
    });
    let mut answer = page.show(&groups, |group| {
        let decision = group.held.decision;
        let name = |kind: Kind, id| json!({ "id": id, "name": app.catalog.name(&workspace, kind, id) });
        let named = group.named.iter().map(|target| explain::target(&app.catalog, &workspace, target));
        let rules = group.rules.values().map(|(verdict, targets)| {
            let mut shown = spelt(verdict);
            shown["targets"] = json!(targets);
            shown
        });
        json!({
            "version": version_shown(&app, &workspace, group.held.version),
            "deployment": name(Kind::Deployment, decision.target.deployment.0),
            "environment": name(Kind::Environment, decision.target.environment.0),
            "newest": group.newest,
            "targets": group.targets,
            "named": named.collect::<Vec<_>>(),
            "rules": rules.collect::<Vec<_>>(),
            "nextLook": group.next_look,
        })
    });
    answer["summary"] = summary.shown();
    Ok(Json(answer))
}

impl<'a> Group<'a> {
    fn of(held: &'a Held<'a>) -> Self {
        Self { held, newest: false, targets: 0, named: Vec::new(), rules: BTreeMap::new(), next_look: None }
    }

    fn take(&mut self, held: &'a Held<'a>) {
        self.newest |= held.newest;
        self.targets += 1;
        if self.named.len() < TARGETS_NAMED {
            self.named.push(held.decision.target);
        }
        for verdict in holding(held.version) {
            let key = (verdict.policy, verdict.rule.as_str(), verdict.rule_index);
            self.rules.entry(key).or_insert((verdict, 0)).1 += 1;
        }
        self.next_look = self.next_look.into_iter().chain(held.decision.next_look).min();
    }
}

impl Summary {
    fn count(&mut self, held: &Held<'_>) {
        for policy in holding(held.version).filter_map(|verdict| verdict.policy) {
            self.policies.entry(policy).or_default().insert(held.decision.target);
        }
        if held.newest {
            self.targets += 1;
            match holding(held.version).any(waits) {
                true => self.for_people += 1,
                false => self.for_rules += 1,
            }
        }
    }

    fn shown(self) -> Value {
        let policies: BTreeMap<PolicyId, usize> =
            self.policies.into_iter().map(|(policy, targets)| (policy, targets.len())).collect();
        json!({
            "targets": self.targets,
            "forPeople": self.for_people,
            "forRules": self.for_rules,
            "policies": policies,
        })
    }
}
