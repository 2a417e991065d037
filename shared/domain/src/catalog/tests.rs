use super::*;
use crate::dispatch::{as_asked_for, dispatch};
use crate::id::{EnvironmentId, PolicyId, ReleaseId, ResourceId, VersionId};
use crate::job::{JobRef, Purpose, Reason, TerminalStatus};
use crate::target::TargetKey;
use crate::trigger::TriggerAttributes;
use crate::trigger_rule;
use serde_json::{Value, json};
use uuid::Uuid;

fn acme() -> Slug {
    "acme".parse().unwrap()
}

/// Puts an entity given as JSON: kind, name, spec, metadata.
fn put(
    catalog: &mut Catalog,
    id: uuid::Uuid,
    kind: &str,
    name: &str,
    metadata: Value,
    spec: Value,
) -> Applied {
    let entity = json!({
        "kind": kind,
        "meta": { "id": id, "workspace": "acme", "name": name, "metadata": metadata,
                  "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z" },
        "spec": spec,
    });
    let kind = Kind::parse(kind).unwrap();
    let key = CatalogKey { workspace: acme(), kind, id };
    let revision = catalog.revision() + 1;
    catalog.apply(&key.to_string(), Some(entity.to_string().as_bytes()), revision)
}

fn system() -> uuid::Uuid {
    crate::id::SystemId::of(&acme(), "shop").0
}

fn deployment() -> DeploymentId {
    DeploymentId::of(&acme(), "web")
}

fn shop() -> Catalog {
    let mut catalog = Catalog::default();
    let c = &mut catalog;
    put(c, system(), "System", "shop", json!({}), json!({}));
    for stage in ["staging", "production"] {
        let spec = json!({ "systems": [system()], "resourceSelector": format!("resource.metadata.stage == '{stage}'") });
        put(c, EnvironmentId::of(&acme(), stage).0, "Environment", stage, json!({}), spec);
    }
    for (name, stage) in [("s-1", "staging"), ("p-1", "production"), ("p-2", "production")] {
        let spec = json!({ "identifier": name, "variables": { "replicas": 2 } });
        put(c, ResourceId::of(&acme(), name).0, "Resource", name, json!({ "stage": stage }), spec);
    }
    let agent = json!({ "type": "github-app", "config": {
        "baseUrl": "https://api.github.com", "workflow": "deploy.yml",
        "inputs": { "tag": "{{ version.tag }}", "replicas": "{{ variables.replicas }}" } } });
    put(c, crate::id::JobAgentId::of(&acme(), "github").0, "JobAgent", "github", json!({}), agent);
    put(c, deployment().0, "Deployment", "web", json!({}), web(json!({})));
    let version = json!({ "deployment": deployment(), "tag": "v1" });
    put(c, VersionId::of(deployment(), "v1").0, "Version", "v1", json!({}), version);
    catalog
}

fn web(more: Value) -> Value {
    let mut spec = json!({ "slug": "web", "systems": [system()], "jobAgents": [{ "ref": "github" }] });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

fn resources(catalog: &Catalog, environment: &str) -> Vec<ResourceId> {
    let environment = EnvironmentId::of(&acme(), environment);
    let targets = catalog.workspace(&acme()).unwrap().targets_of(deployment());
    targets.into_iter().filter(|t| t.environment == environment).map(|t| t.resource).collect()
}

fn job(resource: &str, environment: &str) -> JobRef {
    let version = VersionId::of(deployment(), "v1");
    JobRef {
        workspace: acme(),
        id: crate::id::JobId(uuid::Uuid::from_u128(1)),
        target: TargetKey {
            deployment: deployment(),
            environment: EnvironmentId::of(&acme(), environment),
            resource: ResourceId::of(&acme(), resource),
        },
        version,
        tag: "v1".into(),
        release: ReleaseId(uuid::Uuid::from_u128(2)),
        attempt: 1,
        deployment: "web".parse().unwrap(),
        environment: environment.parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

#[test]
fn a_target_is_what_both_select_and_follows_every_change() {
    let mut catalog = shop();
    assert_eq!(resources(&catalog, "staging").len(), 1);
    assert_eq!(resources(&catalog, "production").len(), 2);

    let narrow = web(json!({ "resourceSelector": "resource.name != 'p-2'" }));
    let applied = put(&mut catalog, deployment().0, "Deployment", "web", json!({}), narrow);
    assert_eq!(applied.affected, Affected::deployment(deployment()));
    assert_eq!(resources(&catalog, "production"), [ResourceId::of(&acme(), "p-1")]);

    let moved = json!({ "identifier": "p-1" });
    put(
        &mut catalog,
        ResourceId::of(&acme(), "p-1").0,
        "Resource",
        "p-1",
        json!({ "stage": "staging" }),
        moved,
    );
    assert_eq!(resources(&catalog, "production"), []);
    assert_eq!(resources(&catalog, "staging").len(), 2);

    let key = CatalogKey { workspace: acme(), kind: Kind::Resource, id: ResourceId::of(&acme(), "s-1").0 };
    assert_eq!(catalog.apply(&key.to_string(), None, 99).affected, Affected::deployment(deployment()));
    assert_eq!(resources(&catalog, "staging"), [ResourceId::of(&acme(), "p-1")]);
    assert_eq!(catalog.revision(), 99);
}

#[test]
fn a_resource_concerns_the_deployments_that_can_reach_it_and_no_others() {
    let mut catalog = shop();
    let elsewhere = web(json!({ "slug": "other", "systems": [crate::id::SystemId::of(&acme(), "other")] }));
    put(&mut catalog, DeploymentId::of(&acme(), "other").0, "Deployment", "other", json!({}), elsewhere);
    let mut change = |stage: &str| {
        let spec = json!({ "identifier": "s-1" });
        let id = ResourceId::of(&acme(), "s-1").0;
        put(&mut catalog, id, "Resource", "s-1", json!({ "stage": stage }), spec).affected
    };
    assert_eq!(change("production"), Affected::deployment(deployment()));
    assert_eq!(change("nowhere"), Affected::deployment(deployment()), "it leaves an environment");
    assert_eq!(change("nowhere else"), Affected::none());
}

#[test]
fn a_deployment_and_an_environment_must_share_a_system() {
    let mut catalog = shop();
    let elsewhere = web(json!({ "systems": [crate::id::SystemId::of(&acme(), "other")] }));
    put(&mut catalog, deployment().0, "Deployment", "web", json!({}), elsewhere);
    assert_eq!(catalog.workspace(&acme()).unwrap().targets_of(deployment()), []);
}

#[test]
fn a_selector_that_cannot_be_evaluated_selects_nothing_and_says_so() {
    let mut catalog = shop();
    let broken = web(json!({ "resourceSelector": "resource.config.zone == 'a'" }));
    put(&mut catalog, deployment().0, "Deployment", "web", json!({}), broken);
    let workspace = catalog.workspace(&acme()).unwrap();
    assert_eq!(workspace.targets_of(deployment()), []);
    let problems = workspace.selection_problems(deployment());
    assert!(problems[0].of == deployment().0 && problems[0].why.contains("zone"), "{problems:?}");
}

#[test]
fn a_problem_goes_with_the_resource_it_was_about() {
    let staging = EnvironmentId::of(&acme(), "staging");
    let zoned = json!({ "systems": [crate::id::SystemId::of(&acme(), "shop")],
        "resourceSelector": "resource.config.zone == 'a'" });
    let mut catalog = shop();
    put(&mut catalog, staging.0, "Environment", "staging", json!({}), zoned);
    let problems =
        |catalog: &Catalog| catalog.workspace(&acme()).unwrap().selection_problems(deployment()).len();
    assert_eq!(problems(&catalog), 1);
    for name in ["s-1", "p-1"] {
        let zoned = json!({ "identifier": name, "config": { "zone": "b" } });
        put(
            &mut catalog,
            ResourceId::of(&acme(), name).0,
            "Resource",
            name,
            json!({ "stage": "production" }),
            zoned,
        );
        assert_eq!(problems(&catalog), 1, "p-2 has no zone");
    }
    let last = CatalogKey { workspace: acme(), kind: Kind::Resource, id: ResourceId::of(&acme(), "p-2").0 };
    catalog.apply(&last.to_string(), None, 90);
    assert_eq!(problems(&catalog), 0);
}

#[test]
fn what_cannot_be_read_is_kept_as_broken_and_does_not_stop_the_fold() {
    let mut catalog = shop();
    let key = CatalogKey {
        workspace: acme(),
        kind: Kind::Environment,
        id: EnvironmentId::of(&acme(), "staging").0,
    };
    let applied = catalog.apply(&key.to_string(), Some(b"{}"), 50);
    assert!(applied.broken.is_some() && applied.affected == Affected::Workspace);
    assert_eq!(resources(&catalog, "staging"), []);
    assert_eq!(catalog.workspace(&acme()).unwrap().broken(Kind::Environment).count(), 1);
    assert!(catalog.apply("nonsense", Some(b"{}"), 51).key.is_none());
    assert_eq!(catalog.revision(), 51);

    let pin = CatalogKey { workspace: acme(), kind: Kind::Pin, id: Uuid::nil() };
    catalog.apply(&pin.to_string(), Some(b"{}"), 52);
    let entity = json!({ "kind": "Pin", "meta": { "id": Uuid::nil(), "workspace": "acme", "name": "pin",
        "createdAt": "2026-02-01T00:00:00Z", "updatedAt": "2026-02-01T00:00:00Z" },
        "spec": { "deployment": deployment(), "version": VersionId::of(deployment(), "v1"),
            "reason": "it works", "createdBy": "ann" } });
    let mended = catalog.apply(&pin.to_string(), Some(entity.to_string().as_bytes()), 53);
    assert_eq!((mended.broken, mended.affected), (None, Affected::Workspace), "it held back everybody");
}

#[test]
fn versions_come_newest_first_and_things_are_found_by_name() {
    let mut catalog = shop();
    let id = VersionId::of(deployment(), "v2").0;
    let entity = json!({ "kind": "Version", "meta": { "id": id, "workspace": "acme", "name": "v2",
        "createdAt": "2026-02-01T00:00:00Z", "updatedAt": "2026-02-01T00:00:00Z" },
        "spec": { "deployment": deployment(), "tag": "v2" } });
    let key = CatalogKey { workspace: acme(), kind: Kind::Version, id };
    catalog.apply(&key.to_string(), Some(entity.to_string().as_bytes()), 60);
    let workspace = catalog.workspace(&acme()).unwrap();
    let tags: Vec<&str> = workspace.versions_of(deployment()).map(|v| v.spec.tag.as_str()).collect();
    assert_eq!(tags, ["v2", "v1"]);
    assert_eq!(workspace.find(Kind::Version, "web:v1").unwrap().meta().name, "v1");
    assert_eq!(workspace.find(Kind::Resource, "p-1").unwrap().kind(), Kind::Resource);
    assert!(workspace.find(Kind::Resource, "nothing").is_none());
}

#[test]
fn a_job_gets_its_agent_and_its_rendered_config() {
    let mut catalog = shop();
    let over = web(json!({ "jobAgentConfig": { "baseUrl": "https://evil.example", "ref": "release",
                                               "inputs": { "where": "{{ environment.name }}/{{ resource.name }}" } } }));
    put(&mut catalog, deployment().0, "Deployment", "web", json!({}), over);
    let dispatch = dispatch(catalog.workspace(&acme()).unwrap(), &job("s-1", "staging")).unwrap();
    assert_eq!(dispatch.agent_name, "github");
    assert_eq!(
        Value::Object(dispatch.config),
        json!({ "baseUrl": "https://api.github.com", "workflow": "deploy.yml", "ref": "release",
                "inputs": { "tag": "v1", "replicas": 2, "where": "staging/s-1" } })
    );
    assert_eq!(dispatch.context["environment"]["name"], "staging");
}

#[test]
fn what_cannot_be_dispatched_says_why() {
    for (change, reason, words) in [
        (json!({ "jobAgents": [{ "ref": "nobody" }] }), Reason::NoAgent, "nobody"),
        (
            json!({ "jobAgents": [{ "ref": "github", "selector": "false" }] }),
            Reason::NoAgent,
            "no job agent matches",
        ),
        (json!({ "jobAgents": [], "jobAgentSelector": "jobAgent.x == 1" }), Reason::NoAgent, "selector"),
        (json!({ "jobAgentConfig": { "a": "{{ nothing }}" } }), Reason::BadConfig, "nothing"),
    ] {
        let mut catalog = shop();
        put(&mut catalog, deployment().0, "Deployment", "web", json!({}), web(change));
        let refused = dispatch(catalog.workspace(&acme()).unwrap(), &job("s-1", "staging")).unwrap_err();
        assert_eq!(refused.reason, Some(reason));
        assert!(refused.message.contains(words), "{refused}");
    }
    let catalog = shop();
    assert!(dispatch(catalog.workspace(&acme()).unwrap(), &job("gone", "staging")).is_err());
}

#[test]
fn a_job_does_not_bring_what_a_version_became_after_it_was_asked_for() {
    let (asked, changed) = ("2026-02-01T00:00:00Z", "2026-02-01T00:00:01Z");
    let verifies =
        Purpose::Verify { of: job("s-1", "staging").id, policy: PolicyId(uuid::Uuid::nil()), rule_index: 0 };
    for (content_since, purpose, refused) in [
        (json!(changed), Purpose::Deploy, true),
        (json!(asked), Purpose::Deploy, false),
        (Value::Null, Purpose::Deploy, false),
        (json!(changed), verifies, false),
    ] {
        let mut catalog = shop();
        let version = json!({ "deployment": deployment(), "tag": "v1", "contentSince": content_since });
        put(&mut catalog, VersionId::of(deployment(), "v1").0, "Version", "v1", json!({}), version);
        let job = JobRef { purpose, ..job("s-1", "staging") };
        let workspace = catalog.workspace(&acme()).unwrap();
        let at = asked.parse().unwrap();
        let answer = as_asked_for(workspace, &job, at);
        assert_eq!(answer.is_err(), refused, "{answer:?}");
        // Where its content is known, instants say nothing: they may be of another's clock.
        let content = workspace.version(job.version).unwrap().content();
        let of = |content| as_asked_for(workspace, &JobRef { content: Some(content), ..job.clone() }, at);
        assert_eq!(of(content), Ok(()));
        assert_eq!(of(uuid::Uuid::nil()).is_err(), purpose.is_deploy());
        if let Err(why) = answer {
            assert_eq!((why.status, why.reason), (TerminalStatus::Cancelled, Some(Reason::Superseded)));
        }
    }
}

#[test]
fn a_job_gets_the_names_of_secrets_and_where_they_belong() {
    let declared = json!([{ "key": "db", "default": { "secretRef": "db-key" } },
                          { "key": "replicas", "default": 3 }]);
    let dispatched = |config: Value| {
        let mut catalog = shop();
        let spec = web(json!({ "variables": declared, "jobAgentConfig": config }));
        put(&mut catalog, deployment().0, "Deployment", "web", json!({}), spec);
        let version = json!({ "deployment": deployment(), "tag": "v1",
            "jobAgentConfig": { "of": { "version": { "secretRef": "db-key" } } } });
        put(&mut catalog, VersionId::of(deployment(), "v1").0, "Version", "v1", json!({}), version);
        dispatch(catalog.workspace(&acme()).unwrap(), &job("s-1", "staging"))
    };
    let whole = dispatched(json!({ "inputs": { "password": "{{ variables.db }}" } })).unwrap();
    assert_eq!(json!(whole.secrets), json!({ "/inputs/password": "db-key" }));
    assert_eq!(whole.config["inputs"], json!({ "tag": "v1", "replicas": 2, "password": null }));
    assert_eq!(whole.config["of"]["version"], json!({ "secretRef": "db-key" }), "a version binds no secret");
    assert_eq!(whole.context["variables"]["db"], json!({ "secretRef": "db-key" }));
    assert!(dispatched(json!({})).unwrap().secrets.is_empty(), "nobody asked for it");

    let mixed = dispatched(json!({ "url": "postgres://{{ variables.db }}@host" })).unwrap_err();
    assert_eq!(mixed.reason, Some(Reason::BadConfig));
    assert!(mixed.message.contains("config: url: ") && mixed.message.contains("no text"), "{mixed}");
}

#[test]
fn no_secret_becomes_what_an_agent_is_reached_by() {
    let mut catalog = shop();
    let agent = json!({ "type": "github-app", "config": { "privateKeySecret": "{{ variables.db }}" } });
    put(&mut catalog, crate::id::JobAgentId::of(&acme(), "github").0, "JobAgent", "github", json!({}), agent);
    let spec = web(json!({ "variables": [{ "key": "db", "default": { "secretRef": "db-key" } }] }));
    put(&mut catalog, deployment().0, "Deployment", "web", json!({}), spec);
    let refused = dispatch(catalog.workspace(&acme()).unwrap(), &job("s-1", "staging")).unwrap_err();
    assert_eq!(refused.reason, Some(Reason::BadConfig));
    assert!(refused.message.contains("privateKeySecret: "), "{refused}");
}

#[test]
fn the_selector_of_a_deployment_takes_the_first_agent_by_name() {
    let mut catalog = shop();
    let other = json!({ "type": "argo-workflow" });
    put(&mut catalog, crate::id::JobAgentId::of(&acme(), "argo").0, "JobAgent", "argo", json!({}), other);
    let by_selector = web(json!({ "jobAgents": [], "jobAgentSelector": "true" }));
    put(&mut catalog, deployment().0, "Deployment", "web", json!({}), by_selector);
    let dispatch = dispatch(catalog.workspace(&acme()).unwrap(), &job("s-1", "staging")).unwrap();
    assert_eq!(dispatch.agent_name, "argo");
}

#[test]
fn an_event_makes_the_version_its_trigger_describes() {
    let trigger = |when: &str, tag: &str| -> crate::entity::Record<crate::entity::Trigger> {
        serde_json::from_value(json!({
            "meta": { "id": uuid::Uuid::nil(), "workspace": "acme", "name": "push",
                      "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z" },
            "spec": { "source": "github", "event": "push", "when": when, "then": { "createVersion": {
                "deployment": deployment(), "tag": tag, "config": { "sha": "{{ event.after }}" } } } },
        }))
        .unwrap()
    };
    let attributes: TriggerAttributes = serde_json::from_value(json!({
        "specversion": "1.0", "id": "d-1", "source": "https://github.com/acme/shop", "type": "push",
        "time": "2026-01-01T00:00:00Z", "workspace": "acme", "triggersource": "github", "sourcekind": "github",
    }))
    .unwrap();
    let event = json!({ "ref": "refs/heads/main", "after": "abcdef", "sender": { "login": "ann" } });
    let at = attributes.time;
    let apply_to = |event: &serde_json::Value, when, tag| {
        let rule = trigger_rule::Rule::new(trigger(when, tag));
        let catalog = WorkspaceCatalog::new(acme());
        trigger_rule::apply(&rule, &trigger_rule::Event::new(&attributes, event), &catalog, at)
    };
    let apply = |when, tag| apply_to(&event, when, tag);

    let Some(Entity::Version(version)) =
        apply("event.ref == 'refs/heads/main'", "{{ event.after[:3] }}").unwrap()
    else {
        panic!("no version")
    };
    assert_eq!(version.spec.tag, "abc");
    assert_eq!(version.meta.id, VersionId::of(deployment(), "abc").0);
    assert_eq!(version.spec.config["sha"], "abcdef");
    assert_eq!(version.meta.metadata["ctrlplane/delivery"], "d-1");
    assert_eq!(version.created_by(), Some("ann"));
    for (event, maker) in [
        (json!({ "after": "abcdef", "user_username": "bob" }), Some("bob")),
        (json!({ "after": "abcdef", "user": { "username": "cid" } }), Some("cid")),
        (json!({ "after": "abcdef", "user": { "name": "Cid" } }), None),
        (json!({ "after": "abcdef", "user_username": "" }), None),
    ] {
        let Some(Entity::Version(version)) = apply_to(&event, "true", "x").unwrap() else {
            panic!("no version")
        };
        assert_eq!(version.created_by(), maker, "{event}");
    }

    assert_eq!(apply("event.ref == 'refs/heads/dev'", "x").unwrap(), None);
    assert!(apply("event.nothing == 1", "x").is_err());
    assert!(apply("true", "{{ event.nothing }}").is_err());
    assert!(apply("true", " ").is_err());
}
