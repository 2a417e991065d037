//! Files as people write them, right and wrong.

use super::*;
use crate::entity::{Kind, TriggerAction};
use crate::id::{ApprovalId, DeploymentId, EnvironmentId, PolicyId, ResourceId, SystemId, VersionId};
use crate::target::TargetKey;
use serde_json::json;
use uuid::Uuid;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn read(text: &str) -> Result<Vec<Document>, Vec<ManifestError>> {
    let workspace = acme();
    let defaults = Defaults { workspace: Some(&workspace), now: now() };
    parse(&[File { name: "shop.yaml", text }], &defaults)
}

fn good(text: &str) -> Vec<Entity> {
    match read(text) {
        Ok(documents) => documents.into_iter().map(|document| document.entity).collect(),
        Err(errors) => panic!("{text}\n{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()),
    }
}

const EVERYTHING: &str = r#"
kind: Workspace
metadata: { name: shop-inc }
spec: { displayName: Shop }
---
apiVersion: ctrlplane.dev/v1
kind: System
metadata: { name: shop, labels: { port: 80 } }
---
kind: Environment
metadata: { name: production, labels: { stage: prod }, metadata: { owner: sre } }
spec:
  systems: [shop, 29a51467-f7cc-52a4-900d-eddf4607415f]
  resourceSelector: resource.metadata.stage == 'prod'
---
kind: Resource
metadata: { name: Europe }
spec: { identifier: cluster/eu, type: kubernetes-cluster, config: { region: eu }, variables: { replicas: 3 } }
---
kind: Resource
metadata: { name: cluster-us }
---
kind: job-agent
metadata: { name: github }
spec: { type: github-app, maxConcurrent: 4, config: { appId: "1", privateKeySecret: app-key } }
---
kind: Deployment
metadata: { name: Web Shop }
spec:
  systems: [shop]
  jobAgents: [{ ref: github, selector: resource.name == 'Europe' }]
  jobAgentConfig: { workflow: deploy.yml, inputs: { tag: "{{ version.tag }}" } }
---
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.name == 'production'
  rules:
    - anyApproval: { minApprovals: 2, approvers: "user.name != ''", expiresAfterSeconds: 60 }
    - environmentProgression: { dependsOnEnvironmentSelector: environment.name == 'staging' }
    - versionSelector: { selector: version.tag.startsWith('v') }
---
kind: TriggerSource
metadata: { name: github }
spec: { sender: { type: github }, secretRefs: [github-webhook] }
---
kind: Trigger
metadata: { name: push }
spec:
  source: github
  event: push
  when: event.ref == 'refs/heads/main'
  then: { createVersion: { deployment: Web Shop, tag: "{{ event.after[:7] }}" } }
---
kind: Version
spec: { deployment: Web Shop, tag: v1 }
---
kind: Approval
spec: { deployment: Web Shop, version: v1, environment: production, user: ann, status: approved }
---
kind: Freeze
metadata: { name: christmas }
spec: { reason: holidays, owner: sre, from: "2026-12-20T00:00:00Z", until: "2027-01-02T00:00:00Z" }
---
kind: VariableSet
metadata: { name: regions }
spec: { selector: resource.config.region == 'eu', variables: { host: eu.example } }
---
kind: RelationshipRule
metadata: { name: vpc }
spec:
  reference: network
  from: resource.type == 'kubernetes-cluster'
  to: resource.type == 'vpc'
  matcher: from.metadata.vpc == to.identifier
---
kind: Skip
spec:
  policy: gate
  rule: anyApproval
  deployment: Web Shop
  version: v1
  environment: production
  resource: cluster/eu
  reason: hotfix
---
kind: Pin
spec: { deployment: Web Shop, version: v1, environment: production, resource: cluster/eu, reason: incident, createdBy: ann }
---
kind: Redeploy
spec: { deployment: Web Shop, environment: production, resource: cluster/eu, version: v1 }
---
kind: RolloutControl
spec: { deployment: Web Shop, version: v1, environment: production, action: pause, by: ann }
---
kind: Version
spec:
  deployment: Web Shop
  tag: v2
  dependencies: [{ deployment: Web Shop, versionSelector: version.tag == 'v1' }]
"#;

#[test]
fn every_kind_is_read_and_names_become_ids() {
    let entities = good(EVERYTHING);
    let workspace: Slug = "shop-inc".parse().unwrap();
    assert!(
        entities
            .iter()
            .all(|entity| entity.meta().workspace == workspace && entity.meta().created_at == now())
    );
    let kinds: std::collections::BTreeSet<Kind> = entities.iter().map(Entity::kind).collect();
    assert_eq!(kinds.len(), Kind::ALL.len(), "every kind is in the example");
    let web = DeploymentId::of(&workspace, "Web Shop");
    let version = VersionId::of(web, "v1");
    let production = EnvironmentId::of(&workspace, "production");
    let europe = ResourceId::of(&workspace, "cluster/eu");
    for entity in &entities {
        let meta = entity.meta();
        match entity {
            Entity::Environment(environment) => {
                let other = "29a51467-f7cc-52a4-900d-eddf4607415f".parse().unwrap();
                assert_eq!(environment.spec.systems, [SystemId::of(&workspace, "shop"), other]);
                assert_eq!(json!(meta.metadata), json!({"owner": "sre", "stage": "prod"}));
            }
            Entity::Resource(resource) => {
                assert_eq!(meta.id, ResourceId::of(&workspace, &resource.spec.identifier).0);
                assert!(["cluster/eu", "cluster-us"].contains(&resource.spec.identifier.as_str()));
            }
            Entity::Deployment(deployment) => {
                assert_eq!((meta.id, deployment.spec.slug.as_str()), (web.0, "Web-Shop"));
            }
            Entity::Trigger(trigger) => {
                let TriggerAction::CreateVersion(action) = &trigger.spec.then;
                assert_eq!(action.deployment, web);
            }
            Entity::Version(v) => {
                assert_eq!((meta.id, v.spec.deployment), (VersionId::of(web, &meta.name).0, web));
                assert!(v.spec.dependencies.iter().all(|dependency| dependency.deployment == web));
            }
            Entity::Approval(approval) => {
                assert_eq!((approval.spec.version, approval.spec.environment), (version, production));
                assert_eq!(
                    (meta.id, approval.spec.at),
                    (ApprovalId::of(version, production, "ann").0, now())
                );
            }
            Entity::Skip(skip) => {
                assert_eq!(skip.spec.policy, PolicyId::of(&workspace, "gate"));
                assert_eq!((skip.spec.version, skip.spec.environment), (version, Some(production)));
                assert_eq!((skip.spec.resource, skip.spec.created_by.as_str()), (Some(europe), "apply"));
            }
            Entity::Pin(pin) => {
                assert_eq!((pin.spec.deployment, pin.spec.version), (web, version));
                assert_eq!((pin.spec.environment, pin.spec.resource), (Some(production), Some(europe)));
            }
            Entity::Redeploy(redeploy) => {
                let target = TargetKey { deployment: web, environment: production, resource: europe };
                assert_eq!((redeploy.spec.target, redeploy.spec.version), (target, Some(version)));
                assert_eq!((redeploy.spec.at, redeploy.spec.by.as_str()), (now(), "apply"));
            }
            Entity::RolloutControl(control) => {
                assert_eq!((control.spec.version, control.spec.environment), (version, production));
                assert_eq!((control.spec.at, control.spec.by.as_str()), (now(), "ann"));
            }
            Entity::Workspace(_) => assert_eq!(meta.name, "shop-inc"),
            Entity::System(_)
            | Entity::JobAgent(_)
            | Entity::Policy(_)
            | Entity::TriggerSource(_)
            | Entity::Freeze(_)
            | Entity::VariableSet(_)
            | Entity::RelationshipRule(_) => {
                assert_ne!(meta.id, Uuid::nil())
            }
        }
    }
}

struct Known(Vec<Entity>);

impl Names for Known {
    fn name(&self, _: &Slug, kind: Kind, id: Uuid) -> Option<String> {
        let found = self.0.iter().find(|entity| entity.kind() == kind && entity.meta().id == id);
        found.map(|entity| {
            let Entity::Resource(resource) = entity else { return entity.meta().name.clone() };
            resource.spec.identifier.clone()
        })
    }

    fn version(&self, _: &Slug, id: VersionId) -> Option<(DeploymentId, String)> {
        self.0.iter().find_map(|entity| {
            let Entity::Version(version) = entity else { return None };
            (version.meta.id == id.0).then(|| (version.spec.deployment, version.spec.tag.clone()))
        })
    }
}

#[test]
fn what_is_written_reads_back_the_same_with_names_and_without() {
    let entities = good(EVERYTHING);
    for names in [Known(entities.clone()), Known(Vec::new())] {
        let documents: Vec<_> = entities.iter().map(|entity| to_manifest(entity, &names)).collect();
        let text = to_yaml(&documents).unwrap();
        assert_eq!(good(&text), entities, "{text}");
        let json = serde_json::to_string_pretty(&documents).unwrap();
        assert_eq!(good(&json), entities);
    }
    let text = to_yaml(&[to_manifest(&entities[10], &Known(entities.clone()))]).unwrap();
    let expected = "kind: Version\nmetadata:\n  name: v1\n  workspace: shop-inc\nspec:\n  deployment: Web Shop\n  status: ready\n  tag: v1\n";
    assert_eq!(text, expected);
}

/// Every error as `line field: message (hint)`; each expected text must be part of the error at its place.
fn check(text: &str, expected: &[&str]) {
    let errors = read(text).err().unwrap_or_default();
    let told: Vec<String> =
        errors.iter().map(|error| format!("{} {}", error.place.line, error.problem)).collect();
    assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        let matches =
            expected.split('…').try_fold(told.as_str(), |rest, part| Some(rest.split_once(part)?.1));
        assert!(
            matches.is_some() && told.starts_with(expected.split('…').next().unwrap_or_default()),
            "{text}\n{told}\n≠ {expected}"
        );
    }
}

#[test]
fn the_frame_of_a_document_is_checked() {
    check("a", &["1 a document is a map"]);
    check("metadata: { name: a }", &["1 kind: `kind` is missing (it is one of Workspace, System"]);
    check(
        "kind: Deploymnt\nmetadata: { name: a }",
        &["1 kind: there is no kind `Deploymnt` (did you mean `Deployment`?)"],
    );
    check(
        "kind: System\nmetdata: { name: a }",
        &[
            "1 metadata.name: `name` is missing",
            "2 metdata: there is no field `metdata` here (did you mean `metadata`?)",
        ],
    );
    check(
        "kind: System\nmetadata:\n  nam: a",
        &[
            "2 metadata.name: `name` is missing",
            "3 metadata.nam: there is no field `nam` here (did you mean `name`?)",
        ],
    );
    check("kind: System\nmetadata:\n  name: a\n  workspace: a.b", &["4 metadata.workspace: …'.'"]);
    check("kind: System\nmetadata: { name: a }\nspec: [x]", &["3 spec: a spec is a map"]);
    check(
        "kind: Workspace\nmetadata: { name: a b }",
        &["2 metadata.name: the name of a workspace has the character ' '"],
    );
    check("kind: System\nmetadata: { name: '' }", &["2 metadata.name: is empty"]);
    check(
        "kind: System\nmetadata: { name: a, metadata: { port: 80, on: true, release: 1.10 } }",
        &["2 metadata.metadata.release: this is …1.1…, but must be a string (write it in quotes)"],
    );
    check(
        "kind: System\nmetadata: { name: a, metadata: { ctrlplane/links: 'no' } }",
        &["2 metadata.metadata.ctrlplane/links: links are"],
    );
}

#[test]
fn every_error_of_every_document_is_told_at_its_line() {
    check(
        r#"
kind: Environment
metadata: { name: staging }
spec:
  systems: []
  resourceSelector: resurce.name == 'a'
---
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.
  rules:
    - anyApproval:
        minApprovals: 0
    - environmentProgression:
        dependsOnEnvironmentSelector: environment.name == 'a'
        minimumSuccessPercentage: 101
    - anyApproval:
        minAprovals: 1
---
kind: Environment
metadata: { name: b }
spec: { resourceSelectr: "true" }
"#,
        &[
            "5 spec.systems: an environment belongs to at least one system",
            "6 spec.resourceSelector: there is no variable `resurce` here",
            "18 spec.rules[2].anyApproval.minApprovals: `minApprovals` is missing",
            "19 spec.rules[2].anyApproval.minAprovals: there is no field `minAprovals` here (did you mean `minApprovals`?)",
            "23 spec.resourceSelector: `resourceSelector` is missing",
            "23 spec.resourceSelectr: there is no field `resourceSelectr` here (did you mean `resourceSelector`?)",
            "23 spec.systems: `systems` is missing",
        ],
    );
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.
  rules:
    - anyApproval:
        minApprovals: 0
        expiresAfterSeconds: 0
        approvers: usr.name == 'a'
    - environmentProgression:
        dependsOnEnvironmentSelector: resource.name == 'a'
        minimumSuccessPercentage: 101
        maximumAgeHours: 0
    - versionSelector: { selector: version.tag }
"#,
        &[
            "5 spec.selector:",
            "8 spec.rules[0].anyApproval.minApprovals: must be at least 1",
            "9 spec.rules[0].anyApproval.expiresAfterSeconds: must be at least 1",
            "10 spec.rules[0].anyApproval.approvers: there is no variable `usr`",
            "12 spec.rules[1].environmentProgression.dependsOnEnvironmentSelector: there is no variable `resource`",
            "13 spec.rules[1].environmentProgression.minimumSuccessPercentage: a percentage is 0 to 100, not 101",
            "14 spec.rules[1].environmentProgression.maximumAgeHours: must be at least 1",
        ],
    );
}

#[test]
fn configs_keep_no_secret_no_broken_template_and_no_foreign_credentials() {
    check(
        r#"
kind: JobAgent
metadata: { name: github }
spec:
  type: github-app
  maxConcurrent: 0
  config:
    token: abc
    ref: "{{ version.tag"
---
kind: Deployment
metadata: { name: web }
spec:
  systems: [shop]
  deadlines: { runSeconds: 0 }
  jobAgents: [{ ref: github, selector: jobagent.name == '' }]
  jobAgentConfig:
    baseUrl: https://evil.example
    inputs: { list: ["{{ a b }}", "{{ versoin.tag }}"] }
---
kind: Version
metadata: { name: v1 }
spec: { deployment: web, tag: 1.10, config: { password: abc } }
"#,
        &[
            "6 spec.maxConcurrent: must be at least 1",
            "8 spec.config.token: `token` would keep a secret in the catalog (name a secret instead",
            "9 spec.config.ref:",
            "15 spec.deadlines.runSeconds: must be at least 1",
            "16 spec.jobAgents[0].selector: there is no variable `jobagent`",
            "18 spec.jobAgentConfig.baseUrl: only the job agent itself may set `baseUrl`",
            "19 spec.jobAgentConfig.inputs.list[0]:",
            "19 spec.jobAgentConfig.inputs.list[1]: …did you mean `version`?",
            "23 spec.tag: …but must be a string (write it in quotes)",
        ],
    );
}

#[test]
fn triggers_sources_and_approvals_are_checked() {
    check(
        r#"
kind: TriggerSource
metadata: { name: git hub }
spec: { sender: { type: githb }, secretRefs: [a] }
---
kind: TriggerSource
metadata: { name: git hub }
spec: { sender: { type: github }, secretRefs: [] }
---
kind: Trigger
metadata: { name: push }
spec:
  source: github
  event: ''
  when: evnt.ref == ''
  then: { createVersion: { deployment: web, tag: "{{ event.", metadata: { a: "{% if %}" } } }
---
kind: Trigger
metadata: { name: pull }
spec:
  source: github
  event: pull
  then: { createVersions: { deployment: web, tag: a } }
---
kind: Approval
spec: { version: v1, environment: production, user: '', status: aproved }
"#,
        &[
            "4 spec.sender.type: `githb` is none of what it can be (did you mean `github`?)",
            "7 metadata.name: the name is part of a URL and has the character ' '",
            "8 spec.secretRefs: without a secret every delivery is refused",
            "14 spec.event: is empty",
            "15 spec.when: there is no variable `evnt`",
            "16 spec.then.createVersion.metadata.a:",
            "16 spec.then.createVersion.tag:",
            "23 spec.then: `createVersions` is none of what it can be (…createVersion",
            "26 spec.deployment: is missing: the version's tag",
            "26 spec.status: `aproved` is none of what it can be (did you mean `approved`?)",
        ],
    );
}

#[test]
fn nothing_is_declared_twice() {
    check(
        "kind: System\nmetadata: { name: a }\n---\nkind: System\nmetadata:\n  name: a\n---\n\
         kind: Deployment\nmetadata: { name: a b }\nspec: { systems: [a] }\n---\n\
         kind: Deployment\nmetadata: { name: a-b }\nspec: { systems: [a] }\n",
        &[
            "6 metadata.name: System `a` is already declared at shop.yaml:1",
            "14 spec.slug: the slug `a-b` is already that of the deployment at shop.yaml:8 (give",
        ],
    );
}

#[test]
fn a_file_that_stops_being_yaml_is_told_beside_the_errors_before() {
    check(
        "kind: Sistem\nmetadata: { name: a }\n---\nkind: [\n",
        &["1 kind: there is no kind `Sistem` (did you mean `System`?)", "5 this is not YAML"],
    );
}

#[test]
fn the_workspace_comes_from_the_document_the_files_or_the_default() {
    let system = "kind: System\nmetadata: { name: a }\n";
    let named = "kind: System\nmetadata: { name: a, workspace: named }\n";
    let sole = "kind: Workspace\nmetadata: { name: sole }\n";
    let other = "kind: Workspace\nmetadata: { name: other }\n";
    let default = acme();
    for (files, default, expected) in [
        (vec![system], Some(&default), Ok("acme")),
        (vec![named], Some(&default), Ok("named")),
        (vec![system, sole], Some(&default), Ok("sole")),
        (vec![system, sole, other], Some(&default), Ok("acme")),
        (vec![named, sole], None, Ok("named")),
        (vec![system, sole, other], None, Err("metadata.workspace")),
        (vec![system], None, Err("metadata.workspace")),
    ] {
        let files: Vec<File<'_>> = files.into_iter().map(|text| File { name: "f", text }).collect();
        let found = parse(&files, &Defaults { workspace: default, now: now() });
        match (found, expected) {
            (Ok(documents), Ok(workspace)) => {
                assert_eq!(documents[0].entity.meta().workspace.as_str(), workspace);
            }
            (Err(errors), Err(field)) => {
                assert_eq!((errors.len(), errors[0].problem.field.as_str()), (1, field))
            }
            (found, expected) => panic!("{found:?} ≠ {expected:?}"),
        }
    }
}

#[test]
fn files_are_named_in_their_order_and_errors_are_bounded() {
    let wrong = "kind: X\n---\n".repeat(300);
    let files = [File { name: "b", text: "kind: X" }, File { name: "a", text: &wrong }];
    let errors = parse(&files, &Defaults { workspace: None, now: now() }).unwrap_err();
    assert_eq!(errors.len(), ERRORS_MAX);
    let places: Vec<(&str, usize, usize)> =
        errors.iter().take(3).map(|e| (e.place.file.as_str(), e.place.document, e.place.line)).collect();
    assert_eq!(places, [("b", 1, 1), ("a", 1, 1), ("a", 2, 3)]);
    assert_eq!(json!(errors[1])["field"], "kind");
}

#[test]
fn a_document_still_knows_its_lines() {
    let documents = read("kind: System\nmetadata:\n  name: a\n").unwrap();
    assert_eq!(
        (documents[0].place.to_string().as_str(), documents[0].line_of("metadata.name")),
        ("shop.yaml:1", 3)
    );
}

#[test]
fn a_version_may_be_named_by_its_tag_alone() {
    let entities = good("kind: Version\nmetadata: { name: v1 }\nspec: { deployment: web }\n");
    let Entity::Version(version) = &entities[0] else { panic!("{entities:?}") };
    assert_eq!(
        (version.spec.tag.as_str(), version.meta.id),
        ("v1", VersionId::of(DeploymentId::of(&acme(), "web"), "v1").0)
    );
}
