//! Which entities an entity names: they must exist when it is written, and may not go while it is there.

use domain::entity::{
    AgentChoice, CatalogKey, Entity, Kind, Policy, PolicyRule, Skip, TriggerAction, WorkflowJob,
};
use domain::id::{EnvironmentId, ResourceId};
use domain::manifest::Ids;
use domain::token::Slug;
use uuid::Uuid;

/// One entity named by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The path of the field that names it.
    pub(crate) field: String,
    /// What it names.
    pub(crate) to: CatalogKey,
}

/// Everything the entity names, beside its workspace.
pub(crate) fn references(entity: &Entity, ids: &dyn Ids) -> Vec<Reference> {
    let workspace = &entity.meta().workspace;
    let one = |field: String, kind: Kind, id: Uuid| Reference {
        field,
        to: CatalogKey { workspace: workspace.clone(), kind, id },
    };
    let systems = |ids: &[domain::id::SystemId]| -> Vec<Reference> {
        let each = ids.iter().enumerate();
        each.map(|(index, id)| one(format!("spec.systems[{index}]"), Kind::System, id.0)).collect()
    };
    match entity {
        Entity::Workspace(_)
        | Entity::System(_)
        | Entity::ResourceProvider(_)
        | Entity::JobAgent(_)
        | Entity::Policy(_)
        | Entity::TriggerSource(_)
        | Entity::Freeze(_)
        | Entity::VariableSet(_)
        | Entity::RelationshipRule(_)
        // A run has all it needs of its workflow, and outlives it.
        | Entity::WorkflowRun(_) => Vec::new(),
        Entity::Workflow(record) => {
            let mut all = Vec::new();
            for (index, job) in record.spec.jobs.iter().enumerate() {
                if let AgentChoice::Ref(text) = &job.agent {
                    let field = format!("spec.jobs[{index}].agent.ref");
                    let named = by_text(ids, workspace, Kind::JobAgent, text);
                    all.extend(named.map(|id| one(field, Kind::JobAgent, id)));
                }
            }
            all
        }
        Entity::Environment(record) => systems(&record.spec.systems),
        Entity::Resource(record) => {
            let provider = record.spec.provider;
            let named = provider.map(|id| one("spec.provider".to_owned(), Kind::ResourceProvider, id.0));
            named.into_iter().collect()
        }
        Entity::Deployment(record) => {
            let mut all = systems(&record.spec.systems);
            for (index, agent) in record.spec.job_agents.iter().enumerate() {
                let field = format!("spec.jobAgents[{index}].ref");
                let named = by_text(ids, workspace, Kind::JobAgent, &agent.name);
                all.extend(named.map(|id| one(field, Kind::JobAgent, id)));
            }
            all
        }
        Entity::Trigger(record) => {
            let source = ids.id(workspace, Kind::TriggerSource, &record.spec.source);
            let source = source.map(|id| one("spec.source".to_owned(), Kind::TriggerSource, id));
            let (field, kind, id) = match &record.spec.then {
                TriggerAction::CreateVersion(create) => {
                    ("spec.then.createVersion.deployment", Kind::Deployment, create.deployment.0)
                }
                TriggerAction::RunWorkflow(run) => {
                    ("spec.then.runWorkflow.workflow", Kind::Workflow, run.workflow.0)
                }
            };
            source.into_iter().chain([one(field.to_owned(), kind, id)]).collect()
        }
        Entity::Version(record) => {
            let mut all = vec![one("spec.deployment".to_owned(), Kind::Deployment, record.spec.deployment.0)];
            for (index, dependency) in record.spec.dependencies.iter().enumerate() {
                let field = format!("spec.dependencies[{index}].deployment");
                all.push(one(field, Kind::Deployment, dependency.deployment.0));
            }
            all
        }
        Entity::Skip(record) => {
            let mut all = vec![
                one("spec.policy".to_owned(), Kind::Policy, record.spec.policy.0),
                one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            ];
            all.extend(scope(&one, record.spec.environment, record.spec.resource));
            all
        }
        Entity::Pin(record) => {
            let mut all = vec![
                one("spec.deployment".to_owned(), Kind::Deployment, record.spec.deployment.0),
                one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            ];
            all.extend(scope(&one, record.spec.environment, record.spec.resource));
            all
        }
        Entity::Redeploy(record) => {
            let target = record.spec.target;
            let mut all =
                vec![one("spec.target.deployment".to_owned(), Kind::Deployment, target.deployment.0)];
            all.push(one("spec.target.environment".to_owned(), Kind::Environment, target.environment.0));
            all.push(one("spec.target.resource".to_owned(), Kind::Resource, target.resource.0));
            all.extend(record.spec.version.map(|id| one("spec.version".to_owned(), Kind::Version, id.0)));
            all
        }
        Entity::RolloutControl(record) => vec![
            one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            one("spec.environment".to_owned(), Kind::Environment, record.spec.environment.0),
        ],
        Entity::Approval(record) => vec![
            one("spec.version".to_owned(), Kind::Version, record.spec.version.0),
            one("spec.environment".to_owned(), Kind::Environment, record.spec.environment.0),
        ],
    }
}

/// Whether the entity names a job agent by this text, and will look for it: a run that is over does not.
pub(crate) fn names_agent(entity: &Entity, text: &str) -> bool {
    let any = |jobs: &[WorkflowJob]| jobs.iter().any(|job| job.agent == AgentChoice::Ref(text.to_owned()));
    if let Entity::Workflow(workflow) = entity {
        return any(&workflow.spec.jobs);
    }
    if let Entity::WorkflowRun(run) = entity {
        return run.spec.end.is_none() && any(&run.spec.jobs);
    }
    let Entity::Deployment(deployment) = entity else { return false };
    deployment.spec.job_agents.iter().any(|agent| agent.name == text)
}

/// The id that a text means which is an id or a name.
fn by_text(ids: &dyn Ids, workspace: &Slug, kind: Kind, text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok().or_else(|| ids.id(workspace, kind, text))
}

/// What narrows a scope.
fn scope(
    one: &impl Fn(String, Kind, Uuid) -> Reference,
    environment: Option<EnvironmentId>,
    resource: Option<ResourceId>,
) -> impl Iterator<Item = Reference> {
    let environment = environment.map(|id| one("spec.environment".to_owned(), Kind::Environment, id.0));
    environment.into_iter().chain(resource.map(|id| one("spec.resource".to_owned(), Kind::Resource, id.0)))
}

/// Why a skip names no rule of its policy: the field, and what is wrong with it.
pub(crate) fn names_no_rule(skip: &Skip, policy: &Policy) -> Option<(&'static str, String)> {
    let named = |rule: &PolicyRule| rule.name() == skip.rule;
    let indexes: Vec<String> = (0..)
        .zip(&policy.rules)
        .filter(|(_, rule)| named(rule))
        .map(|(n, _): (u32, _)| n.to_string())
        .collect();
    match skip.rule_index {
        _ if indexes.is_empty() => {
            let rules: Vec<&str> =
                policy.rules.iter().filter(|rule| rule.is_gate()).map(PolicyRule::name).collect();
            let has =
                if rules.is_empty() { "nothing that can be skipped".to_owned() } else { rules.join(", ") };
            Some(("spec.rule", format!("the policy has no rule {}; it has {has}", skip.rule)))
        }
        None if indexes.len() > 1 => Some((
            "spec.ruleIndex",
            format!("is missing: the policy has several rules {}, at {}", skip.rule, indexes.join(", ")),
        )),
        Some(index) if !indexes.contains(&index.to_string()) => Some((
            "spec.ruleIndex",
            format!(
                "rule {index} of the policy (counted from 0) is no {}; look at {}",
                skip.rule,
                indexes.join(", ")
            ),
        )),
        Some(_) | None => None,
    }
}

/// What goes with the thing it belongs to, when that is asked for: the versions of a deployment, what was said of a
/// version or for an environment.
pub(crate) fn is_owned(kind: Kind) -> bool {
    match kind {
        Kind::Version | Kind::Approval | Kind::Skip | Kind::Pin | Kind::Redeploy | Kind::RolloutControl => {
            true
        }
        Kind::Freeze
        | Kind::VariableSet
        | Kind::RelationshipRule
        | Kind::ResourceProvider
        | Kind::Workspace
        | Kind::System
        | Kind::Environment
        | Kind::Resource
        | Kind::JobAgent
        | Kind::Deployment
        | Kind::Policy
        | Kind::TriggerSource
        | Kind::Trigger
        | Kind::Workflow
        | Kind::WorkflowRun => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{PolicyId, VersionId};
    use serde_json::json;

    fn policy(rules: serde_json::Value) -> Policy {
        serde_json::from_value(json!({ "selector": "true", "rules": rules })).unwrap()
    }

    #[test]
    fn a_skip_names_exactly_one_rule_of_its_policy() {
        let approval = json!({ "anyApproval": { "minApprovals": 1 } });
        let cooldown = json!({ "versionCooldown": { "intervalSeconds": 60 } });
        let retry = json!({ "retry": {} });
        for (rules, rule, index, wrong) in [
            (json!([approval]), "anyApproval", None, None),
            (json!([cooldown, approval]), "anyApproval", Some(1), None),
            (json!([cooldown, approval]), "anyApproval", Some(0), Some(("spec.ruleIndex", "look at 1"))),
            (json!([approval]), "anyApproval", Some(7), Some(("spec.ruleIndex", "rule 7"))),
            (json!([approval, cooldown, approval]), "anyApproval", None, Some(("spec.ruleIndex", "at 0, 2"))),
            (json!([approval, cooldown, approval]), "anyApproval", Some(2), None),
            (json!([approval, retry]), "versionCooldown", None, Some(("spec.rule", "it has anyApproval"))),
            (
                json!([retry]),
                "versionCooldown",
                Some(0),
                Some(("spec.rule", "it has nothing that can be skipped")),
            ),
        ] {
            let skip = Skip {
                policy: PolicyId(Uuid::nil()),
                rule: rule.to_owned(),
                rule_index: index,
                version: VersionId(Uuid::nil()),
                environment: None,
                resource: None,
                expires_at: None,
                reason: "x".to_owned(),
                created_by: "ann".to_owned(),
            };
            let found = names_no_rule(&skip, &policy(rules.clone()));
            match (&found, wrong) {
                (None, None) => {}
                (Some((field, message)), Some((wanted, part))) => {
                    assert_eq!(*field, wanted, "{rules} {rule} {index:?}");
                    assert!(message.ends_with(part) || message.starts_with(part), "{message}");
                }
                (found, wrong) => panic!("{rules} {rule} {index:?}: {found:?} ≠ {wrong:?}"),
            }
        }
    }
}
