//! `GET /approvals/pending`: what waits for somebody's word.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use domain::decision::{RuleVerdict, Verdict};
use domain::entity::{AnyApproval, Kind};
use domain::id::{EnvironmentId, VersionId};
use domain::target::TargetKey;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::context::App;
use crate::openapi::shapes::Listed;
use crate::problem::Problem;
use crate::request::{Page, Params, Segments};

/// A version that waits in an environment.
struct Waiting {
    target: TargetKey,
    tag: String,
    targets: usize,
    rules: Vec<Value>,
}

/// `GET /approvals/pending`: a version in an environment once, however many targets wait
#[utoipa::path(get, path = "/approvals/pending", params(Page), responses((status = 200, description = "A page of what waits", body = Listed)))]
pub(super) async fn pending(
    State(app): State<App>,
    caller: Caller,
    Segments(w): Segments<String>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Problem> {
    let workspace = app.workspace(&caller, &w)?;
    let mut all: BTreeMap<(VersionId, EnvironmentId), Waiting> = BTreeMap::new();
    for decision in app.decisions.of(&workspace) {
        for considered in &decision.considered {
            let waiting = considered.rules.iter().filter(|rule| waits(rule));
            let rules: Vec<Value> = waiting
                .map(|rule| {
                    json!({ "policyId": rule.policy, "policy": rule.policy_name, "ruleIndex": rule.rule_index,
                            "reason": rule.reason, "inputs": rule.inputs })
                })
                .collect();
            if rules.is_empty() {
                continue;
            }
            let entry =
                all.entry((considered.version, decision.target.environment)).or_insert_with(|| Waiting {
                    target: decision.target,
                    tag: considered.tag.clone(),
                    targets: 0,
                    rules: Vec::new(),
                });
            entry.targets += 1;
            for rule in rules {
                if !entry.rules.contains(&rule) {
                    entry.rules.push(rule);
                }
            }
        }
    }
    let mut items: Vec<((VersionId, EnvironmentId), Waiting)> = all.into_iter().collect();
    let created = |version: VersionId| {
        app.catalog.get(&workspace, Kind::Version, version.0).map(|version| version.meta().created_at)
    };
    items.sort_by_cached_key(|((version, environment), _)| {
        (std::cmp::Reverse(created(*version)), *environment)
    });
    Ok(Json(page.show(&items, |((version, environment), waiting)| {
        let name = |kind: Kind, id| app.catalog.name(&workspace, kind, id);
        let deployment = waiting.target.deployment.0;
        json!({
            "versionId": version, "version": waiting.tag, "createdAt": created(*version),
            "deploymentId": deployment, "deployment": name(Kind::Deployment, deployment),
            "environmentId": environment, "environment": name(Kind::Environment, environment.0),
            "targets": waiting.targets, "rules": waiting.rules,
        })
    })))
}

/// Whether it waits for somebody's word.
pub(super) fn waits(rule: &RuleVerdict) -> bool {
    let is_open = match rule.verdict {
        Verdict::Wait { .. } => true,
        Verdict::Allow | Verdict::Deny => false,
    };
    is_open && rule.rule == AnyApproval::RULE
}
