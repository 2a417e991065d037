use super::*;
use crate::catalog::Catalog;
use crate::dispatch::dispatch;
use crate::entity::{CatalogKey, Kind};
use crate::id::{DeploymentId, EnvironmentId, ReleaseId, ResourceId, SystemId, VersionId};
use crate::job::{Purpose, TerminalStatus};
use crate::target::TargetKey;
use serde_json::json;
use uuid::Uuid;

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn put(catalog: &mut Catalog, kind: &str, name: &str, id: Uuid, spec: Value) {
    let entity = json!({
        "kind": kind,
        "meta": { "id": id, "workspace": "acme", "name": name,
                  "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z" },
        "spec": spec,
    });
    let key = CatalogKey { workspace: acme(), kind: Kind::parse(kind).unwrap(), id };
    let applied =
        catalog.apply(&key.to_string(), Some(entity.to_string().as_bytes()), catalog.revision() + 1);
    assert_eq!(applied.broken, None, "{entity}");
}

fn policy() -> PolicyId {
    PolicyId::of(&acme(), "verified")
}

fn deployment() -> DeploymentId {
    DeploymentId::of(&acme(), "web")
}

/// A shop without any job agent, and a policy with these rules.
fn shop(policy_spec: Value) -> Catalog {
    let mut catalog = Catalog::default();
    let c = &mut catalog;
    let system = SystemId::of(&acme(), "shop").0;
    put(c, "System", "shop", system, json!({}));
    let environment = json!({ "systems": [system], "resourceSelector": "true" });
    put(c, "Environment", "production", EnvironmentId::of(&acme(), "production").0, environment);
    let resource = json!({ "identifier": "eu-1", "config": { "host": "eu-1.shop.example" } });
    put(c, "Resource", "eu-1", ResourceId::of(&acme(), "eu-1").0, resource);
    put(c, "Deployment", "web", deployment().0, json!({ "slug": "web", "systems": [system] }));
    let version = json!({ "deployment": deployment(), "tag": "v1" });
    put(c, "Version", "v1", VersionId::of(deployment(), "v1").0, version);
    put(c, "Policy", "verified", policy().0, policy_spec);
    catalog
}

fn rules(metrics: Value) -> Value {
    json!({ "selector": "true", "rules": [
        { "retry": {} },
        { "verification": { "metrics": metrics } },
    ] })
}

fn job(rule_index: u32) -> JobRef {
    JobRef {
        workspace: acme(),
        id: JobId(Uuid::from_u128(2)),
        target: TargetKey {
            deployment: deployment(),
            environment: EnvironmentId::of(&acme(), "production"),
            resource: ResourceId::of(&acme(), "eu-1"),
        },
        version: VersionId::of(deployment(), "v1"),
        tag: "v1".into(),
        release: ReleaseId(Uuid::from_u128(3)),
        attempt: 1,
        deployment: "web".parse().unwrap(),
        environment: "production".parse().unwrap(),
        purpose: Purpose::Verify { of: JobId(Uuid::from_u128(1)), policy: policy(), rule_index },
        content: None,
    }
}

fn plan_of(catalog: &Catalog, job: &JobRef) -> Result<Dispatch, Undispatchable> {
    dispatch(catalog.workspace(&acme()).unwrap(), job)
}

#[test]
fn every_text_is_rendered_and_no_agent_is_needed() {
    let catalog = shop(rules(json!([
        { "name": "home", "intervalSeconds": 30, "count": 4, "successCondition": "result.statusCode == 200 && {'a': 1}.a == 1",
          "provider": { "type": "http", "method": "POST", "url": "https://{{ resource.config.host }}/{{ version.tag }}",
            "headers": { "x-env": "{{ environment.name }}" }, "secretHeaders": { "authorization": "home-token" },
            "body": "{{ job.id }}", "timeoutSeconds": 5 } },
        { "name": "errors", "count": 2, "provider": { "type": "prometheus", "address": "http://prom:9090",
            "query": "rate(errors{{ '{' }}app='{{ deployment.slug }}'{{ '}' }}[5m])", "headers": { "x-org": "{{ workspace.slug }}" } } },
        { "name": "latency", "provider": { "type": "datadog", "site": "datadoghq.{{ 'eu' }}",
            "query": "avg:latency{env:{{ environment.name }}}", "apiKeySecret": "dd-api", "appKeySecret": "dd-app" } },
        { "name": "settle", "provider": { "type": "sleep", "durationSeconds": 90 } },
    ])));
    let dispatch = plan_of(&catalog, &job(1)).unwrap();
    assert_eq!((dispatch.platform.as_str(), dispatch.agent_name.as_str()), ("verification", "verification"));
    assert_eq!(dispatch.agent, JobAgentId::of(&acme(), "verification"));
    let config = Config::read(&dispatch.config).unwrap();
    assert_eq!(config.workspace, acme());
    let providers: Vec<_> = config.metrics.into_iter().map(|metric| metric.provider).collect();
    let [
        MetricProvider::Http(http),
        MetricProvider::Prometheus(prometheus),
        MetricProvider::Datadog(datadog),
        MetricProvider::Sleep(_),
    ] = &providers[..]
    else {
        panic!("{providers:?}")
    };
    assert_eq!(http.url, "https://eu-1.shop.example/v1");
    assert_eq!(http.headers["x-env"], "production");
    assert_eq!(http.secret_headers["authorization"], "home-token");
    assert_eq!(
        http.body.as_deref(),
        Some("00000000-0000-0000-0000-000000000001"),
        "the job that is verified"
    );
    assert_eq!(prometheus.query, "rate(errors{app='web'}[5m])");
    assert_eq!(prometheus.headers["x-org"], "acme");
    assert_eq!(
        (datadog.site.as_str(), datadog.query.as_str()),
        ("datadoghq.eu", "avg:latency{env:production}")
    );
    // 4 × (30 + 5), 2 × (60 + 10), 60 + 10, 90, and the margin.
    assert_eq!(dispatch.deadlines.run_seconds, 140 + 140 + 70 + 90 + 600);
}

#[test]
fn what_is_gone_meanwhile_is_skipped_and_what_cannot_be_rendered_is_refused() {
    let sleep = json!([{ "name": "settle", "provider": { "type": "sleep", "durationSeconds": 1 } }]);
    let skipped = |catalog: &Catalog, job: &JobRef, words: &str| {
        let refused = plan_of(catalog, job).unwrap_err();
        assert_eq!((refused.status, refused.reason), (TerminalStatus::Skipped, None));
        assert!(refused.message.contains(words), "{refused}");
    };
    let catalog = shop(rules(sleep.clone()));
    assert!(plan_of(&catalog, &job(1)).is_ok());
    skipped(&catalog, &job(0), "rule 0 of policy \"verified\" is no verification now");
    skipped(&catalog, &job(2), "rule 2");
    let mut of_another = job(1);
    of_another.purpose = Purpose::Verify { of: of_another.id, policy: PolicyId(Uuid::nil()), rule_index: 1 };
    skipped(&catalog, &of_another, "not in the catalog");
    let mut disabled = rules(sleep);
    disabled["enabled"] = json!(false);
    skipped(&shop(disabled), &job(1), "disabled");

    let unknown =
        json!([{ "name": "home", "provider": { "type": "http", "url": "https://{{ resource.hots }}" } }]);
    let refused = plan_of(&shop(rules(unknown)), &job(1)).unwrap_err();
    assert_eq!((refused.status, refused.reason), (TerminalStatus::InvalidJobAgent, Some(Reason::BadConfig)));
    assert!(
        refused.message.starts_with("metric \"home\": url: ") && refused.message.contains("hots"),
        "{refused}"
    );
}

#[test]
fn nobody_deploys_by_the_agent_that_verifies() {
    let mut catalog = shop(rules(json!([])));
    let agent = json!({ "type": "verification", "config": { "workspace": "globex" } });
    put(&mut catalog, "JobAgent", "verification", JobAgentId::of(&acme(), "verification").0, agent);
    let system = SystemId::of(&acme(), "shop").0;
    let web = json!({ "slug": "web", "systems": [system], "jobAgentSelector": "true" });
    put(&mut catalog, "Deployment", "web", deployment().0, web);
    let refused = plan_of(&catalog, &JobRef { purpose: Purpose::Deploy, ..job(1) }).unwrap_err();
    assert_eq!(refused.status, TerminalStatus::InvalidJobAgent);
    assert!(refused.message.contains("system's own"), "{refused}");
}

#[test]
fn a_config_without_metrics_is_none() {
    for config in
        [json!({ "workspace": "acme", "metrics": [] }), json!({ "metrics": 1 }), json!({ "repo": "x" })]
    {
        assert!(Config::read(config.as_object().unwrap()).is_err(), "{config}");
    }
}
