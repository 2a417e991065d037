//! Files as people write them, right and wrong.

use super::*;
use crate::TimeDelta;
use crate::entity::TriggerAction;
use crate::id::{
    ApprovalId, DeploymentId, EnvironmentId, PolicyId, ResourceId, SkipId, SystemId, VersionId, WorkflowId,
};
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
    let defaults = Defaults { workspace: Some(&workspace), now: now(), by: "ann", ids: &OfNames };
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
kind: ResourceProvider
metadata: { name: scanner }
spec: { description: Finds clusters }
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
  variables:
    - key: replicas
      default: 1
      values: [{ selector: environment.name == 'production', priority: 10, value: 3 }]
    - key: db_password
      default: { secretRef: shop-db }
---
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.name == 'production'
  rules:
    - anyApproval: { minApprovals: 2, approvers: "user.name != ''", expiresAfterSeconds: 60 }
    - environmentProgression: { dependsOnEnvironmentSelector: environment.name == 'staging' }
    - versionSelector: { selector: version.tag.startsWith('v') }
    - gradualRollout: { rolloutType: linear-normalized, timeScaleInterval: 600, maxFailures: 1 }
    - deploymentWindow: { rrule: "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0", durationMinutes: 60, timezone: Europe/Berlin }
    - versionCooldown: { intervalSeconds: 60 }
    - deploymentDependency: { dependsOn: deployment.name == 'db' && version.tag != '' }
    - retry: { maxRetries: 3, backoffSeconds: 30, backoffStrategy: exponential, maxBackoffSeconds: 600 }
    - rollback: {}
    - verification:
        metrics:
          - name: health
            count: 3
            successCondition: result.statusCode == 200
            failureCondition: result.statusCode >= 500
            provider: { type: http, url: "https://{{ resource.config.host }}/health", secretHeaders: { Authorization: health } }
          - name: errors
            provider: { type: prometheus, address: "http://prometheus:9090", query: "up{job='{{ deployment.name }}'}" }
            successCondition: result.value < 0.01
          - { name: dog, successCondition: result.value < 1, provider: { type: datadog, query: "avg:x{*}", apiKeySecret: dd, appKeySecret: ddapp } }
          - { name: rest, provider: { type: sleep, durationSeconds: 60 } }
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
spec: { deployment: Web Shop, tag: v1, dependencies: [{ deployment: db, versionSelector: version.tag == 'v3' }] }
---
kind: Approval
spec: { deployment: Web Shop, version: v1, environment: production, user: ann, status: approved }
---
kind: RelationshipRule
metadata: { name: cluster of vpc }
spec: { reference: vpc, from: resource.type == 'cluster', to: resource.type == 'vpc', matcher: from.metadata.vpc == to.identifier }
---
kind: VariableSet
metadata: { name: eu }
spec:
  selector: resource.config.region == 'eu'
  priority: 5
  variables: { region: eu-1, token: { secretRef: eu-token }, network: { reference: vpc, path: config.cidr }, limits: { cpu: 2 } }
---
kind: Skip
spec: { policy: gate, rule: anyApproval, deployment: Web Shop, version: v1, environment: production, resource: cluster/eu, reason: hotfix }
---
kind: Freeze
metadata: { name: holidays }
spec: { reason: nobody is here, selector: environment.name == 'production', from: "2026-12-24T00:00:00Z", until: "2027-01-02T00:00:00Z" }
---
kind: Pin
spec: { deployment: Web Shop, version: v1, environment: production, reason: incident 7, createdBy: bob }
---
kind: Redeploy
spec: { deployment: Web Shop, environment: production, resource: cluster/eu, version: v1, reason: config drift }
---
kind: RolloutControl
spec: { deployment: Web Shop, version: v1, environment: production, action: pause }
---
kind: Workflow
metadata: { name: Ship It }
spec:
  description: builds, then brings it everywhere
  inputs:
    - { key: tag, required: true }
    - { key: regions, type: array, default: [eu, us] }
  jobs:
    - { name: build, agent: { ref: github }, config: { inputs: { tag: "{{ inputs.tag }}" } } }
    - name: deploy
      agent: { selector: "jobAgent.type == 'gitlab'" }
      needs: [build]
      forEach: regions
      if: succeeded && item != 'us'
      config: { region: "{{ item }}" }
      deadlines: { queueSeconds: 60, runSeconds: 600 }
    - { name: clean-up, agent: { ref: github }, needs: [deploy], if: needs.deploy.status != 'skipped' }
---
kind: Trigger
metadata: { name: ship }
spec:
  source: github
  event: release
  then: { runWorkflow: { workflow: Ship It, inputs: { tag: "{{ event.release.tag_name }}" } } }
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
    // A run is begun and not declared.
    assert_eq!(kinds.len(), Kind::ALL.len() - 1, "every kind is in the example");
    let web = DeploymentId::of(&workspace, "Web Shop");
    let version = VersionId::of(web, "v1");
    let production = EnvironmentId::of(&workspace, "production");
    let cluster = ResourceId::of(&workspace, "cluster/eu");
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
            Entity::Trigger(trigger) => match &trigger.spec.then {
                TriggerAction::CreateVersion(action) => assert_eq!(action.deployment, web),
                TriggerAction::RunWorkflow(action) => {
                    assert_eq!(action.workflow, WorkflowId::of(&workspace, "Ship It"));
                }
            },
            Entity::Version(v) => {
                assert_eq!((meta.id, v.spec.deployment, meta.name.as_str()), (version.0, web, "v1"));
                assert_eq!(v.spec.dependencies[0].deployment, DeploymentId::of(&workspace, "db"));
            }
            Entity::Approval(approval) => {
                assert_eq!((approval.spec.version, approval.spec.environment), (version, production));
                assert_eq!(
                    (meta.id, approval.spec.at),
                    (ApprovalId::of(version, production, "ann").0, now())
                );
            }
            Entity::Skip(skip) => {
                assert_eq!((skip.spec.version, skip.spec.environment), (version, Some(production)));
                assert_eq!(skip.spec.policy, PolicyId::of(&workspace, "gate"));
                assert_eq!(skip.spec.resource, Some(cluster));
                assert_eq!((meta.id, skip.spec.created_by.as_str()), (SkipId::of(&skip.spec).0, "ann"));
            }
            Entity::Pin(pin) => {
                assert_eq!((pin.spec.deployment, pin.spec.version), (web, version));
                assert_eq!((pin.spec.environment, pin.spec.resource), (Some(production), None));
                assert_eq!(pin.spec.created_by, "bob");
            }
            Entity::Redeploy(redeploy) => {
                let target = TargetKey { deployment: web, environment: production, resource: cluster };
                assert_eq!((redeploy.spec.target, redeploy.spec.version), (target, Some(version)));
                assert_eq!((redeploy.spec.at, redeploy.spec.by.as_str()), (now(), "ann"));
            }
            Entity::RolloutControl(control) => {
                assert_eq!((control.spec.version, control.spec.environment), (version, production));
                assert_eq!((control.spec.at, control.spec.by.as_str()), (now(), "ann"));
            }
            Entity::Workflow(workflow) => {
                assert_eq!(meta.id, WorkflowId::of(&workspace, "Ship It").0);
                assert_eq!((workflow.spec.slug.as_str(), workflow.spec.jobs.len()), ("Ship-It", 3));
            }
            Entity::WorkflowRun(run) => panic!("a run was declared: {run:?}"),
            Entity::Freeze(freeze) => assert_eq!(freeze.spec.owner, "ann"),
            Entity::Workspace(_) => assert_eq!(meta.name, "shop-inc"),
            Entity::System(_)
            | Entity::JobAgent(_)
            | Entity::Policy(_)
            | Entity::TriggerSource(_)
            | Entity::VariableSet(_)
            | Entity::ResourceProvider(_)
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
    let written = |kind: Kind| {
        let entity = entities.iter().find(|entity| entity.kind() == kind).unwrap();
        to_yaml(&[to_manifest(entity, &Known(entities.clone()))]).unwrap()
    };
    // What is nowhere keeps its id.
    let db = DeploymentId::of(&"shop-inc".parse().unwrap(), "db");
    assert_eq!(
        written(Kind::Version),
        format!(
            "kind: Version\nmetadata:\n  name: v1\n  workspace: shop-inc\nspec:\n  dependencies:\n  - deployment: {db}\n    \
             versionSelector: version.tag == 'v3'\n  deployment: Web Shop\n  status: ready\n  tag: v1\n"
        )
    );
    assert_eq!(
        written(Kind::Redeploy),
        "kind: Redeploy\nmetadata:\n  name: redeploy\n  workspace: shop-inc\nspec:\n  at: 2026-01-02T03:04:05Z\n  by: ann\n  \
         deployment: Web Shop\n  environment: production\n  reason: config drift\n  resource: cluster/eu\n  version: v1\n"
    );
    assert_eq!(
        written(Kind::Skip),
        "kind: Skip\nmetadata:\n  name: skip of anyApproval\n  workspace: shop-inc\nspec:\n  createdBy: ann\n  \
         deployment: Web Shop\n  environment: production\n  policy: gate\n  reason: hotfix\n  resource: cluster/eu\n  \
         rule: anyApproval\n  version: v1\n"
    );
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
            "6 spec.resourceSelector: there is no variable `resurce` here; …e.g. `resource.metadata.region == 'eu'`",
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
    - anyApproval: { minApprovals: 1, approvers: user == "ann" }
    - anyApproval: { minApprovals: 1, approvers: 'user in ["ann", "bob"]' }
    - environmentProgression: { dependsOnEnvironmentSelector: environment == "production" }
    - versionSelector: { selector: version == "v1" || resource.startsWith("eu") }
"#,
        &[
            "5 spec.selector: `environment.` is no expression: …(it is CEL over environment, deployment, resource, e.g. `environment.name == 'production'`)",
            "8 spec.rules[0].anyApproval.minApprovals: must be at least 1 (it is a whole number from 1)",
            "9 spec.rules[0].anyApproval.expiresAfterSeconds: must be at least 1 (leave it out",
            "10 spec.rules[0].anyApproval.approvers: there is no variable `usr`",
            "12 spec.rules[1].environmentProgression.dependsOnEnvironmentSelector: there is no variable `resource`",
            "13 spec.rules[1].environmentProgression.minimumSuccessPercentage: a percentage is 0 to 100, not 101 (write 80 for four of five)",
            "14 spec.rules[1].environmentProgression.maximumAgeHours: must be at least 1",
            "15 spec.rules[2].versionSelector.selector: `version.tag` is no boolean but a string (compare it, e.g. `version.tag == '…'`)",
            "16 spec.rules[3].anyApproval.approvers: `user` has fields: compare one of them, e.g. `user.name`",
            "17 spec.rules[4].anyApproval.approvers: `user` has fields: compare one of them, e.g. `user.name`",
            "18 spec.rules[5].environmentProgression.dependsOnEnvironmentSelector: `environment` has fields: compare one of them, e.g. `environment.name`",
            "19 spec.rules[6].versionSelector.selector: `version` has fields: compare one of them, e.g. `version.tag`",
        ],
    );
}

#[test]
fn a_misspelt_field_of_what_always_has_the_same_is_refused_and_the_one_that_is_meant_named() {
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.nmae == 'x'
  rules:
    - versionSelector: { selector: version.tga != 'v1' && has(resource.zone) }
    - versionSelector: { selector: version.config.anything == 1 && deployment.metadata.team == 'web' }
    - deploymentDependency: { dependsOn: 'deployment["nam"] == "db"' }
    - anyApproval: { minApprovals: 1, approvers: user.role == 'admin' || user.nme == 'ann' }
---
kind: Environment
metadata: { name: a }
spec: { systems: [shop], resourceSelector: resource.labels.env == 'a' }
---
kind: RelationshipRule
metadata: { name: vpc }
spec: { reference: vpc, from: "true", to: "true", matcher: from.config.vpc == to.identifer }
---
kind: Deployment
metadata: { name: web }
spec: { systems: [shop], jobAgentSelector: jobAgent.platform == 'github-app' }
"#,
        &[
            "5 spec.selector: there is no `environment.nmae` (did you mean `name`?)",
            "7 spec.rules[0].versionSelector.selector: there is no `resource.zone` (`resource` has id, name, identifier",
            "9 spec.rules[2].deploymentDependency.dependsOn: there is no `deployment.nam` (did you mean `name`?)",
            "10 spec.rules[3].anyApproval.approvers: there is no `user.nme`; there are `user.name`, `user.role`",
            "14 spec.resourceSelector: there is no `resource.labels` (`resource` has",
            "18 spec.matcher: there is no `to.identifer` (did you mean `identifier`?)",
            "22 spec.jobAgentSelector: there is no `jobAgent.platform` (`jobAgent` has id, name, type, config, metadata)",
        ],
    );
}

#[test]
fn an_expression_that_no_value_makes_a_boolean_is_refused_wherever_one_is_expected() {
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: environment.name
  rules:
    - versionSelector: { selector: "version.tag.matches('^v(') || resource.kind" }
    - versionSelector: { selector: version.config.enabled && resource.config.canary }
    - deploymentDependency: { dependsOn: size(version.tag) }
    - anyApproval: { minApprovals: 1, approvers: "'ann'" }
    - environmentProgression: { dependsOnEnvironmentSelector: "'prod' in environment.name" }
    - verification:
        metrics:
          - name: errors
            successCondition: result.value + 1
            failureCondition: result.value > timestamp('yesterday')
            provider: { type: http, url: https://shop.example }
---
kind: Environment
metadata: { name: a }
spec: { systems: [shop], resourceSelector: "true ? resource.name : false" }
---
kind: Deployment
metadata: { name: web }
spec: { systems: [shop], resourceSelector: resource.name.contains(), jobAgentSelector: "['a']" }
---
kind: Trigger
metadata: { name: push }
spec:
  source: git
  event: push
  when: type
  then: { createVersion: { deployment: web, tag: "{{ event.after }}" } }
---
kind: Workflow
metadata: { name: nightly }
spec:
  jobs: [{ name: a, agent: { ref: x } }, { name: b, agent: { ref: x }, needs: [a], if: needs.a.status }]
"#,
        &[
            "5 spec.selector: `environment.name` is no boolean but a string (compare it, e.g. `environment.name == '…'`)",
            "7 spec.rules[0].versionSelector.selector: `^v(` is no regular expression: unclosed group (as RE2 has them",
            "9 spec.rules[2].deploymentDependency.dependsOn: `size(…)` is no boolean but a number (it is CEL over deployment, version, e.g.",
            "10 spec.rules[3].anyApproval.approvers: `'ann'` is no boolean but a string (it is CEL over user, e.g.",
            "11 spec.rules[4].environmentProgression.dependsOnEnvironmentSelector: `in` looks in a list or a map",
            "15 spec.rules[5].verification.metrics[0].successCondition: what `+` makes is no boolean (it is CEL over result, e.g.",
            "16 spec.rules[5].verification.metrics[0].failureCondition: `timestamp('yesterday')` is no timestamp (RFC 3339",
            "21 spec.resourceSelector: `resource.name` is no boolean but a string",
            "25 spec.jobAgentSelector: `[…]` is no boolean but a list",
            "25 spec.resourceSelector: `contains` takes 1 argument, not 0",
            "32 spec.when: `type` is no boolean but a string",
            "38 spec.jobs[1].if: `needs.a.status` is no boolean but a string",
        ],
    );
}

#[test]
fn a_window_whose_openings_are_all_over_is_refused_where_it_would_block_for_good() {
    let window = |rrule: &str, rest: &str, enabled: bool| {
        format!(
            "kind: Policy\nmetadata: {{ name: gate }}\nspec:\n  selector: 'true'\n  enabled: {enabled}\n  rules:\n    \
             - deploymentWindow: {{ rrule: '{rrule}', durationMinutes: 60{rest} }}"
        )
    };
    let day = (now() - TimeDelta::days(1)).format("%Y%m%d").to_string();
    let told = |text: &str| {
        let problems = super::over(&good(text)[0], now()).into_iter();
        problems.map(|problem| format!("{}: {}", problem.field, problem.message)).collect::<Vec<_>>()
    };
    let said = "spec.rules[0].deploymentWindow.rrule: all of its openings are over: nothing would ever pass";
    let lasts = |text: &str| assert_eq!(told(text), [""; 0], "{text}");
    for over in [
        format!("FREQ=HOURLY;UNTIL={day}"),
        "DTSTART:20200101T090000 RRULE:FREQ=DAILY;COUNT=3".to_owned(),
        "FREQ=DAILY;UNTIL=20200101T000000Z".to_owned(),
    ] {
        assert_eq!(told(&window(&over, "", true)), [said]);
        // Nothing is held by what is disabled, and by a quiet that is over.
        lasts(&window(&over, "", false));
        lasts(&window(&over, ", allowWindow: false", true));
    }
    for coming in ["FREQ=DAILY;COUNT=3", "FREQ=DAILY;UNTIL=20991231", "FREQ=DAILY"] {
        lasts(&window(coming, "", true));
    }
    // One that is open for the last time is not over.
    let begun = (now() - TimeDelta::minutes(30)).format("%Y%m%dT%H%M%SZ").to_string();
    lasts(&window(&format!("DTSTART:{begun} RRULE:FREQ=DAILY;COUNT=1"), "", true));
}

#[test]
fn a_window_of_quiet_that_never_ends_is_refused() {
    let window = |rrule: &str, minutes: u32, timezone: &str| {
        format!(
            "kind: Policy\nmetadata: {{ name: gate }}\nspec:\n  selector: 'true'\n  rules:\n    \
             - deploymentWindow: {{ rrule: '{rrule}', durationMinutes: {minutes}, timezone: {timezone}, allowWindow: false }}"
        )
    };
    let daily = "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0";
    for (rrule, minutes, timezone) in [
        (daily, 1440, "UTC"),
        (daily, 1441, "UTC"),
        // But for an hour when clocks are put back.
        (daily, 1440, "Europe/Berlin"),
        ("FREQ=HOURLY", 90, "UTC"),
        ("FREQ=MINUTELY", 2, "UTC"),
        ("FREQ=WEEKLY;BYDAY=MO", 7 * 1440, "UTC"),
    ] {
        let said =
            "6 spec.rules[0].deploymentWindow.durationMinutes: it opens again before it closes…1440 minutes";
        check(&window(rrule, minutes, timezone), &[said]);
    }
    for (rrule, minutes) in
        [(daily, 1380), ("FREQ=HOURLY", 59), ("FREQ=DAILY;COUNT=3", 1440), ("FREQ=YEARLY", 60 * 1440)]
    {
        good(&window(rrule, minutes, "Europe/Berlin"));
    }
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
    let jobs = "jobs: [{ name: a, agent: { ref: b } }]";
    check(
        &format!(
            "kind: Workflow\nmetadata: {{ name: a b }}\nspec: {{ {jobs} }}\n---\n\
             kind: Workflow\nmetadata: {{ name: a-b }}\nspec: {{ {jobs} }}\n"
        ),
        &["7 spec.slug: the slug `a-b` is already that of the workflow at shop.yaml:1 (give"],
    );
}

#[test]
fn files_of_one_workspace_may_all_declare_it_as_long_as_they_agree() {
    let shop = "kind: Workspace\nmetadata: { name: acme }\nspec: { displayName: Acme }\n";
    let parsed = |other: &str| {
        let files = [File { name: "a", text: shop }, File { name: "b", text: other }];
        parse(&files, &Defaults { workspace: None, now: now(), by: "ann", ids: &OfNames })
    };
    let same = parsed(&format!("{shop}---\nkind: System\nmetadata: {{ name: s }}\n")).unwrap();
    assert_eq!(same.iter().map(|one| one.entity.kind()).collect::<Vec<_>>(), [Kind::Workspace, Kind::System]);
    let errors = parsed("kind: Workspace\nmetadata: { name: acme }\n").unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("already declared at a:1"), "{told:?}");
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
        let found = parse(&files, &Defaults { workspace: default, now: now(), by: "ann", ids: &OfNames });
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
    let errors =
        parse(&files, &Defaults { workspace: None, now: now(), by: "ann", ids: &OfNames }).unwrap_err();
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

#[test]
fn rules_that_contradict_themselves_are_told() {
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: "true"
  rules:
    - environmentProgression:
        dependsOnEnvironmentSelector: "true"
        minimumSoakTimeMinutes: 121
        maximumAgeHours: 2
        successStatuses: []
    - gradualRollout: { timeScaleInterval: 0, maxFailures: 2, pauseOnFailure: false }
    - gradualRollout: { timeScaleInterval: 0 }
    - deploymentWindow: { rrule: FREQ=WEEKLY;BYDAY=MON, durationMinutes: 60 }
    - deploymentWindow: { rrule: FREQ=DAILY, durationMinutes: 0 }
    - deploymentWindow: { rrule: FREQ=DAILY, durationMinutes: 60, timezone: Europe/Berln }
    - versionCooldown: { intervalSeconds: 0 }
    - deploymentDependency: { dependsOn: resource.name == 'a' }
    - retry:
        maxRetries: 3
        backoffSeconds: 60
        maxBackoffSeconds: 30
        retryOnStatuses: [failure, successful]
    - retry: { backoffSeconds: 60 }
    - rollback: { onJobStatuses: [], onVerificationFailure: false }
    - rollback: { onJobStatuses: [successful] }
"#,
        &[
            "10 spec.rules[0].environmentProgression.maximumAgeHours: a success is too old after 2 h, before it has soaked for 121 min",
            "11 spec.rules[0].environmentProgression.successStatuses: without a status",
            "12 spec.rules[1].gradualRollout.maxFailures: with `pauseOnFailure: false`",
            "13 spec.rules[2].gradualRollout: a policy rolls out in one way",
            "14 spec.rules[3].deploymentWindow.rrule: `MON` is not a day of the week (did you mean `MO`?)",
            "15 spec.rules[4].deploymentWindow.durationMinutes: a window is open for 1 to",
            "16 spec.rules[5].deploymentWindow.timezone: there is no time zone `Europe/Berln` (did you mean `Europe/Berlin`?)",
            "17 spec.rules[6].versionCooldown.intervalSeconds: must be at least 1",
            "18 spec.rules[7].deploymentDependency.dependsOn: there is no variable `resource`",
            "22 spec.rules[8].retry.maxBackoffSeconds: the longest pause of 30 s is shorter than the first of 60 s",
            "23 spec.rules[8].retry.retryOnStatuses[1]: a success is never run again",
            "24 spec.rules[9].retry.maxRetries: with 0 retries there is no pause",
            "25 spec.rules[10].rollback.onJobStatuses: nothing would roll back (name a status",
            "26 spec.rules[11].rollback.onJobStatuses[0]: a success is nothing to roll back from",
        ],
    );
}

#[test]
fn metrics_are_checked_to_the_last_header() {
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: "true"
  rules:
    - verification: { metrics: [] }
    - verification:
        metrics:
          - name: a
            intervalSeconds: 0
            count: 2
            successThreshold: 3
            failureThreshold: 4
            successCondition: result.
            failureCondition: metric.value > 1
            provider:
              type: http
              url: ftp://shop.example
              method: PATCH
              headers: { Authorization: Bearer abc, X-Tenant: "{{ tenant }}", "a b": c }
              secretHeaders: { x-tenant: tenant, X-Key: ghp_abc }
              body: "{}"
              timeoutSeconds: 61
          - name: a
            provider: { type: http, url: "{{ resource.config.url }}/health" }
          - name: b
            provider: { type: prometheus, address: prometheus, query: ' ', headers: { Authorization: Bearer abc } }
          - name: c
            provider: { type: datadog, query: "{{ a", aggregator: average, lookbackSeconds: 0, apiKeySecret: '', appKeySecret: a }
          - name: d
            provider: { type: sleep, durationSeconds: 0 }
          - name: e
            provider: { type: http, url: "https://me:secret@shop.example/" }
"#,
        &[
            "7 spec.rules[0].verification.metrics: without a metric there is nothing to measure",
            "11 spec.rules[1].verification.metrics[0].intervalSeconds: must be at least 1",
            "13 spec.rules[1].verification.metrics[0].successThreshold: 3 measurements never happen: there are 2 at most (raise",
            "14 spec.rules[1].verification.metrics[0].failureThreshold: 4 measurements",
            "15 spec.rules[1].verification.metrics[0].successCondition:",
            "16 spec.rules[1].verification.metrics[0].failureCondition: there is no variable `metric`",
            "19 spec.rules[1].verification.metrics[0].provider.url: a URL begins with https:// or http://",
            "20 spec.rules[1].verification.metrics[0].provider.method: `PATCH` is no method a metric asks by",
            "21 spec.rules[1].verification.metrics[0].provider.headers.Authorization: `Authorization` would keep a secret in the catalog (name the secret under `secretHeaders` instead)",
            "21 spec.rules[1].verification.metrics[0].provider.headers.X-Tenant: …there is no `tenant` here",
            "21 spec.rules[1].verification.metrics[0].provider.headers.a b: `a b` is no name of a header",
            "22 spec.rules[1].verification.metrics[0].provider.secretHeaders.X-Key: this looks like a secret",
            "22 spec.rules[1].verification.metrics[0].provider.secretHeaders.x-tenant: is among the plain headers, too",
            "23 spec.rules[1].verification.metrics[0].provider.body: a PATCH has no body",
            "24 spec.rules[1].verification.metrics[0].provider.timeoutSeconds: is 1 to 60 seconds, not 61",
            "25 spec.rules[1].verification.metrics[1].name: there is a metric `a` already",
            "28 spec.rules[1].verification.metrics[2].provider.address: a URL begins with",
            "28 spec.rules[1].verification.metrics[2].provider.headers.Authorization: …`bearerTokenSecret`",
            "28 spec.rules[1].verification.metrics[2].provider.query: is empty",
            "30 spec.rules[1].verification.metrics[3].provider.aggregator: `average` is no way to make one of many (there are avg",
            "30 spec.rules[1].verification.metrics[3].provider.apiKeySecret: is empty",
            "30 spec.rules[1].verification.metrics[3].provider.lookbackSeconds: must be at least 1",
            "30 spec.rules[1].verification.metrics[3].provider.query: `{{ a`",
            "32 spec.rules[1].verification.metrics[4].provider.durationSeconds: must be at least 1",
            "34 spec.rules[1].verification.metrics[5].provider.url: a URL here carries no user or password",
        ],
    );
}

#[test]
fn what_is_nested_reports_at_its_field() {
    check(
        r#"
kind: Policy
metadata: { name: gate }
spec:
  selector: "true"
  rules:
    - verification:
        metrics:
          - name: a
            conut: 1
            provider: { type: http, url: "https://a", metod: GET }
---
kind: Policy
metadata: { name: other }
spec:
  selector: "true"
  rules:
    - verification: { metrics: [{ name: a, provider: { type: htp } }] }
---
kind: Policy
metadata: { name: third }
spec:
  selector: "true"
  rules:
    - verification: { metrics: [{ name: a, provider: { type: sleep } }, { name: b, provider: { url: "https://a" } }] }
    - retry: { backoffStrategy: exponentional, retryOnStatus: [failure] }
---
kind: Policy
metadata: { name: fourth }
spec:
  selector: "true"
  rules:
    - verification:
        metrics:
          - name: a
            provider:
              type: sleep
              durationSeconds: long
---
kind: Deployment
metadata: { name: web }
spec:
  systems: [shop]
  variables: [{ key: a, values: [{ valu: 1 }] }]
"#,
        &[
            "10 spec.rules[0].verification.metrics[0].conut: there is no field `conut` here (did you mean `count`?)",
            "11 spec.rules[0].verification.metrics[0].provider.metod: there is no field `metod` here (did you mean `method`?)",
            "18 spec.rules[0].verification.metrics[0].provider",
            "25 spec.rules[0].verification.metrics[0].provider.durationSeconds: `durationSeconds` is missing",
            "25 spec.rules[0].verification.metrics[1].provider.type: `type` is missing",
            "26 spec.rules[1].retry.backoffStrategy: `exponentional` is none",
            "26 spec.rules[1].retry.retryOnStatus: there is no field `retryOnStatus` here (did you mean `retryOnStatuses`?)",
            "38 spec.rules[0].verification.metrics[0].provider.durationSeconds: this is",
            "44 spec.variables[0].values[0].valu: there is no field `valu` here (did you mean `value`?)",
            "44 spec.variables[0].values[0].value: `value` is missing",
        ],
    );
}

#[test]
fn variables_and_relations_are_checked() {
    check(
        r#"
kind: Deployment
metadata: { name: web }
spec:
  systems: [shop]
  variables:
    - { key: db-url, default: x }
    - { key: a, values: [{ selector: version.tag == '', value: 1 }, { value: { secretRef: s, more: 1 } }] }
    - { key: a, default: { secretRef: 1 } }
    - { key: token, default: abc }
    - { key: b, default: { reference: vpc } }
    - { key: c, default: { reference: a b, path: config..x, also: 1 } }
    - { key: d, default: { secretRef: "" } }
---
kind: VariableSet
metadata: { name: eu }
spec: { selector: version.tag == '', variables: { "1a": 1, password: abc, region: { path: x, reference: 1 } } }
---
kind: RelationshipRule
metadata: { name: vpc }
spec: { reference: the vpc, from: form.a == 1, to: from.a == 1, matcher: resource.a == 1 }
---
kind: Version
spec: { deployment: web, tag: a, dependencies: [{ deployment: web, versionSelector: resource.a == 1 }] }
"#,
        &[
            "7 spec.variables[0].key: `db-url` is not letters, digits and `_`",
            "8 spec.variables[1].values[0].selector: there is no variable `version`",
            "8 spec.variables[1].values[1].value.more: there is no field `more` here (a secret is",
            "9 spec.variables[2].default.secretRef: is the name of a secret",
            "9 spec.variables[2].key: there is a variable `a` already",
            "10 spec.variables[3].default: `token` would keep a secret in the catalog (name a secret instead, as in `{secretRef: name-of-the-secret}`)",
            "11 spec.variables[4].default.path: is the path of a property",
            "12 spec.variables[5].default.also: there is no field `also` here (a reference is",
            "12 spec.variables[5].default.path: is the path of a property",
            "12 spec.variables[5].default.reference: `a b` is not letters",
            "13 spec.variables[6].default.secretRef: is empty",
            "17 spec.selector: there is no variable `version`",
            "17 spec.variables.1a: `1a` is not letters",
            "17 spec.variables.password: `password` would keep a secret",
            "17 spec.variables.region.reference: is the name of a relation",
            "21 spec.from: there is no variable `form`",
            "21 spec.matcher: there is no variable `resource`",
            "21 spec.reference: `the vpc` is not letters",
            "21 spec.to: there is no variable `from`",
            "24 spec.dependencies[0].deployment: a version cannot depend on its own deployment",
            "24 spec.dependencies[0].versionSelector: there is no variable `resource`",
        ],
    );
}

#[test]
fn what_people_say_against_the_course_is_checked() {
    check(
        r#"
kind: Skip
spec: { policy: gate, rule: anyAproval, deployment: web, version: a, reason: '', expiresAt: "2026-01-02T03:04:05Z" }
---
kind: Skip
spec: { policy: gate, rule: retry, deployment: web, version: a, reason: x }
---
kind: Skip
spec: { policy: gate, rule: freeze, version: a, reason: x }
---
kind: Freeze
metadata: { name: f }
spec: { selector: version.tag == '', reason: ' ', owner: '', from: "2026-02-01T00:00:00Z", until: "2026-02-01T00:00:00Z" }
---
kind: Freeze
spec: { reason: x }
---
kind: Pin
spec: { deployment: web, version: a, reason: '', createdBy: '' }
---
kind: Redeploy
spec: { deployment: web, resource: a, reason: '', by: '' }
---
kind: Redeploy
spec: { target: { deployment: web, resource: a, environment: b }, at: now }
---
kind: RolloutControl
spec: { deployment: web, version: a, environment: b, action: stop }
---
kind: RolloutControl
spec: { deployment: web, version: a, environment: b, action: resume, at: "2026-01-02T03:04:06Z" }
---
kind: Redeploy
spec: { deployment: web, environment: b, resource: a, at: "2026-01-02T03:04:06Z" }
"#,
        &[
            "3 spec.expiresAt: it has expired at 2026-01-02T03:04:05+00:00 already (give it",
            "3 spec.reason: is empty",
            "3 spec.rule: there is no rule `anyAproval` (did you mean `anyApproval`?)",
            "6 spec.rule: `retry` cannot be skipped (what can be skipped is anyApproval, environmentProgression",
            "9 spec.deployment: is missing: the version's tag is unique in its deployment",
            "13 spec.owner: is empty",
            "13 spec.reason: is empty",
            "13 spec.selector: there is no variable `version`",
            "13 spec.until: it ends before it begins",
            "15 metadata.name: `name` is missing",
            "19 spec.createdBy: is empty",
            "19 spec.reason: is empty",
            "22 spec.environment: `environment` is missing",
            "25 spec.at: …",
            "28 spec.action: `stop` is none of what it can be (there are pause, resume)",
            "31 spec.at: 2026-01-02T03:04:06+00:00 is yet to come (take it out",
            "34 spec.at: 2026-01-02T03:04:06+00:00 is yet to come (take it out",
        ],
    );
}

#[test]
fn what_can_be_skipped_are_the_gates() {
    use crate::entity::PolicyRule;
    let entities = good(EVERYTHING);
    let rules: Vec<&PolicyRule> = entities
        .iter()
        .filter_map(
            |entity| if let Entity::Policy(policy) = entity { Some(&policy.spec.rules) } else { None },
        )
        .flatten()
        .collect();
    let shown: std::collections::BTreeSet<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(shown, PolicyRule::NAMES.iter().copied().collect(), "every rule is in the example");
    for rule in rules {
        let name = rule.name();
        assert_eq!(rule.is_gate(), PolicyRule::GATES.contains(&name), "{name}");
        assert_eq!(rule.is_gate(), !PolicyRule::AFTERWARDS.contains(&name), "{name}");
    }
}

#[test]
fn a_document_knows_what_it_says_and_what_it_leaves_open() {
    let documents = read("kind: Redeploy\nspec: { deployment: a, environment: b, resource: c }\n").unwrap();
    assert!(documents[0].says("spec.resource"));
    assert!(!documents[0].says("spec.at"));
}

#[test]
fn no_workspace_is_all_of_them_and_no_key_of_metadata_is_a_text() {
    let said = |text: &str| match read(text) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    assert!(said("kind: Workspace\nmetadata: { name: all }\n").contains("stands for all workspaces"));
    assert_eq!(said("kind: Workspace\nmetadata: { name: all-of-us }\n"), "");
    let with_key = |bytes: usize| {
        said(&format!("kind: System\nmetadata: {{ name: a, metadata: {{ ? {} : v }} }}\n", "k".repeat(bytes)))
    };
    assert_eq!(with_key(256), "");
    let too_long = with_key(300_000);
    assert!(too_long.contains("has 300000 bytes; 256 are allowed") && too_long.len() < 1_000, "{too_long}");
}

#[test]
fn a_workflow_is_checked_when_it_is_written() {
    let of = |spec: &str| format!("kind: Workflow\nmetadata: {{ name: w, workspace: a }}\nspec:\n{spec}");
    let jobs =
        |jobs: &str| of(&format!("  inputs: [{{ key: tag }}, {{ key: all, type: array }}]\n  jobs:\n{jobs}"));
    check(&of("  jobs: []"), &["4 spec.jobs: a workflow without a job does nothing"]);
    check(
        &jobs("    - { name: a, agent: { ref: g }, needs: [a] }"),
        &["6 spec.jobs[0].needs: `a` needs itself"],
    );
    check(
        &jobs(
            "    - { name: a, agent: { ref: g }, needs: [c] }\n    - { name: b, agent: { ref: g }, needs: [a] }\n    \
             - { name: c, agent: { ref: g }, needs: [b] }",
        ),
        &["6 spec.jobs[0].needs: `a`", "7 spec.jobs[1].needs: `b`", "8 spec.jobs[2].needs: `c`"],
    );
    for (job, told) in [
        ("needs: [buidl]", "7 spec.jobs[1].needs[0]: there is no job `buidl` (did you mean `build`?)"),
        ("needs: [build, build]", "7 spec.jobs[1].needs[1]: `build` is named twice"),
        ("if: inputs.tga == ''", "7 spec.jobs[1].if: there is no `inputs.tga` (did you mean `tag`?)"),
        ("if: needs.build.status == ''", "7 spec.jobs[1].if: there is no `needs.build`"),
        ("if: 'inputs.tag =='", "7 spec.jobs[1].if: `inputs.tag ==` is no expression"),
        ("if: item == 'a'", "7 spec.jobs[1].if: `item` is null"),
        ("forEach: tag", "7 spec.jobs[1].forEach: input `tag` is no array"),
        ("forEach: al", "7 spec.jobs[1].forEach: there is no input `al` (did you mean `all`?)"),
        ("forEach: []", "7 spec.jobs[1].forEach: has 0 items"),
        ("config: { a: '{{ input.tag }}' }", "7 spec.jobs[1].config.a: …there is no `input` here"),
        ("config: { a: '{{ deployment.name }}' }", "7 spec.jobs[1].config.a: …there is no `deployment` here"),
        ("config: { baseUrl: x }", "7 spec.jobs[1].config.baseUrl: only the job agent itself"),
        ("deadlines: { runSeconds: 0 }", "7 spec.jobs[1].deadlines.runSeconds: must be at least 1"),
    ] {
        let text = format!(
            "    - {{ name: build, agent: {{ ref: g }} }}\n    - {{ name: x, agent: {{ ref: g }}, {job} }}"
        );
        check(&jobs(&text), &[told]);
    }
    let twice = "    - { name: a, agent: { ref: g } }\n    - { name: a, agent: { ref: g } }";
    check(&jobs(twice), &["7 spec.jobs[1].name: there is another job `a`"]);
    check(
        &jobs("    - { name: a, agent: { selector: 'resource.name == 1' } }"),
        &["6 spec.jobs[0].agent.selector: there is no variable `resource`"],
    );
    for (input, told) in [
        ("key: tag, type: number, default: x", "4 spec.inputs[0].default: is a string, but must be a number"),
        ("key: a-b", "4 spec.inputs[0].key: is no name"),
        ("key: a, options: [1]", "4 spec.inputs[0].options[0]: is a number, but must be a string"),
        ("key: a, default: c, options: [b]", "4 spec.inputs[0].default: must be one of \"b\""),
    ] {
        check(
            &of(&format!("  inputs: [{{ {input} }}]\n  jobs: [{{ name: a, agent: {{ ref: g }} }}]")),
            &[told],
        );
    }
    check(
        "kind: WorkflowRun\nmetadata: { name: w, workspace: a }",
        &["1 kind: a run of a workflow is begun and not declared"],
    );
}
