//! How long it takes to decide: `cargo bench -p domain`. One thread; the aims are in the names.
//!
//! It also prints what a target takes in memory and on the wire, measured over the same decisions.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use chrono::TimeDelta;
use criterion::{Criterion, criterion_group, criterion_main};
use domain::Timestamp;
use domain::catalog::Catalog;
use domain::decision::TargetDecision;
use domain::entity::{CatalogKey, Kind};
use domain::evaluate::{DeploymentView, Facts};
use domain::id::{ApprovalId, DeploymentId, EnvironmentId, PolicyId, ResourceId, SystemId, VersionId};
use domain::job::{JobEvent, JobFact, TerminalStatus};
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;
use uuid::Uuid;

/// As every service has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENVIRONMENTS: [&str; 4] = ["dev", "staging", "canary", "production"];

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn web() -> DeploymentId {
    DeploymentId::of(&acme(), "web")
}

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
}

fn put(catalog: &mut Catalog, kind: Kind, id: Uuid, name: &str, metadata: Value, spec: Value, minute: i64) {
    let entity = json!({
        "kind": kind.name(),
        "meta": { "id": id, "workspace": "acme", "name": name, "metadata": metadata,
                  "createdAt": at(minute), "updatedAt": at(minute) },
        "spec": spec,
    });
    let key = CatalogKey { workspace: acme(), kind, id }.to_string();
    let revision = catalog.revision() + 1;
    let applied = catalog.apply(&key, Some(entity.to_string().as_bytes()), revision);
    assert_eq!(applied.broken, None, "{name}");
}

/// A deployment on so many targets in four environments under five rules of three policies each. Each environment comes
/// after the one before; or, for a version to go to all at once, after `qa`, where nothing is.
fn catalog(targets: usize, after: Option<&str>) -> Catalog {
    let mut catalog = Catalog::default();
    let c = &mut catalog;
    let system = SystemId::of(&acme(), "shop").0;
    put(c, Kind::System, system, "shop", json!({}), json!({}), 0);
    for name in ["qa"].into_iter().chain(ENVIRONMENTS) {
        let selector = format!("resource.metadata.env == '{name}'");
        let spec = json!({ "systems": [system], "resourceSelector": selector });
        put(c, Kind::Environment, EnvironmentId::of(&acme(), name).0, name, json!({}), spec, 0);
    }
    for n in 0..targets {
        let name = format!("cluster-{n}");
        let metadata = json!({ "env": ENVIRONMENTS[n % 4], "region": "eu", "tier": "large" });
        let spec = json!({ "identifier": name, "type": "cluster", "variables": { "replicas": 3 } });
        put(c, Kind::Resource, ResourceId::of(&acme(), &name).0, &name, metadata, spec, 0);
    }
    put(c, Kind::Deployment, web().0, "web", json!({}), json!({ "slug": "web", "systems": [system] }), 0);
    let window = json!([
        { "deploymentWindow": { "rrule": "FREQ=DAILY;BYHOUR=0;BYMINUTE=2;BYSECOND=0", "durationMinutes": 1439 } },
    ]);
    let rest = json!([{ "versionCooldown": { "intervalSeconds": 60 } }]);
    policy(c, "window", "resource.metadata.tier == 'large'", window);
    policy(c, "rest", "true", rest);
    for (before, name) in ["qa"].into_iter().chain(ENVIRONMENTS).zip(ENVIRONMENTS) {
        let before = after.unwrap_or(before);
        let gate = json!([
            { "anyApproval": { "minApprovals": 1 } },
            { "environmentProgression": { "dependsOnEnvironmentSelector": format!("environment.name == '{before}'") } },
            { "versionSelector": { "selector": "version.tag.startsWith('v') && resource.metadata.region == 'eu'" } },
        ]);
        policy(c, name, &format!("environment.name == '{name}'"), gate);
    }
    version(c, "v1", 2);
    catalog
}

fn policy(catalog: &mut Catalog, name: &str, selector: &str, rules: Value) {
    let spec = json!({ "selector": selector, "rules": rules });
    put(catalog, Kind::Policy, PolicyId::of(&acme(), name).0, name, json!({}), spec, 1);
}

fn version(catalog: &mut Catalog, tag: &str, minute: i64) {
    let spec = json!({ "deployment": web(), "tag": tag });
    put(catalog, Kind::Version, VersionId::of(web(), tag).0, tag, json!({}), spec, minute);
    for name in ENVIRONMENTS {
        let (environment, version) = (EnvironmentId::of(&acme(), name), VersionId::of(web(), tag));
        let id = ApprovalId::of(version, environment, "ann").0;
        let spec = json!({ "version": version, "environment": environment, "user": "ann",
                           "status": "approved", "at": at(minute + 1) });
        put(catalog, Kind::Approval, id, "a yes", json!({}), spec, minute + 1);
    }
}

/// Everything decided once, and every job that was asked for ended well.
fn settled(catalog: &Catalog) -> (Facts, BTreeMap<TargetKey, TargetDecision>) {
    let ws = catalog.workspace(&acme()).unwrap();
    let (mut facts, mut decided, mut sequence) = (Facts::default(), BTreeMap::new(), 0);
    for environment in ENVIRONMENTS {
        let here = EnvironmentId::of(&acme(), environment);
        let outcomes: Vec<_> = {
            let view = DeploymentView::of(ws, &facts, &decided, web(), at(10));
            let targets = ws.targets_of(web()).into_iter().filter(|target| target.environment == here);
            targets.map(|target| view.decide(&target, None)).collect()
        };
        for outcome in outcomes {
            if let Some(job) = outcome.request {
                sequence += 1;
                let fact = JobFact::ended(TerminalStatus::Successful, None, "done");
                let event = JobEvent { job, at: at(10), cause: None, traceparent: None, fact };
                facts.apply(&event, sequence);
            }
            decided.insert(outcome.decision.target, outcome.decision);
        }
    }
    (facts, decided)
}

/// Every target looked at again; how many ask for a job.
fn look(
    catalog: &Catalog,
    facts: &Facts,
    decided: &BTreeMap<TargetKey, TargetDecision>,
    minute: i64,
) -> usize {
    let ws = catalog.workspace(&acme()).unwrap();
    let view = DeploymentView::of(ws, facts, decided, web(), at(minute));
    ws.targets_of(web()).iter().filter(|target| view.decide(target, None).request.is_some()).count()
}

/// The pages of memory this process has, in bytes.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn evaluate(criterion: &mut Criterion) {
    const MANY: usize = 100_000;
    const FAN_OUT: usize = 10_000;
    let before = resident_bytes();
    let many = catalog(MANY, None);
    let with_catalog = resident_bytes();
    let (facts, decided) = settled(&many);
    let with_all = resident_bytes();
    assert!(decided.len() == MANY && facts.len() == MANY);
    let wire: usize = decided.values().map(|decision| serde_json::to_vec(decision).unwrap().len()).sum();
    println!(
        "memory per target: {} B of catalog, {} B of facts and decision; {} B on the wire",
        (with_catalog - before) / MANY,
        (with_all - with_catalog) / MANY,
        wire / MANY
    );
    let mut group = criterion.benchmark_group("decide");
    group.sample_size(10).measurement_time(Duration::from_secs(12));
    group.bench_function("100,000 targets x 5 rules again, aim 1 s", |bench| {
        bench.iter(|| assert_eq!(black_box(look(&many, &facts, &decided, 30)), 0));
    });
    let mut few = catalog(FAN_OUT, Some("qa"));
    let (facts, decided) = settled(&few);
    version(&mut few, "v2", 20);
    group.bench_function("one version fanned out to 10,000 targets, aim 300 ms", |bench| {
        bench.iter(|| assert_eq!(black_box(look(&few, &facts, &decided, 30)), FAN_OUT));
    });
    let slow = json!([{ "gradualRollout": { "timeScaleInterval": 3600, "maxFailures": 50 } }]);
    policy(&mut few, "slow", "true", slow);
    group.bench_function("the same in a rollout, each environment from one target to the next", |bench| {
        bench.iter(|| assert_eq!(black_box(look(&few, &facts, &decided, 30)), ENVIRONMENTS.len()));
    });
    let mut one = catalog(ENVIRONMENTS.len(), Some("qa"));
    for n in 0..10_000 {
        // Nobody says yes to them.
        let (tag, spec) = (format!("v1.{n}"), json!({ "deployment": web(), "tag": format!("v1.{n}") }));
        put(&mut one, Kind::Version, VersionId::of(web(), &tag).0, &tag, json!({}), spec, 20);
    }
    let (facts, decided) = (Facts::default(), BTreeMap::new());
    group.bench_function("an older version behind 10,000 on each of 4 targets, aim 80 ms", |bench| {
        bench.iter(|| assert_eq!(black_box(look(&one, &facts, &decided, 30)), ENVIRONMENTS.len()));
    });
    group.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
