//! Who may import whom, read from `cargo metadata`.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const SERVICES: [&str; 11] = [
    "trigger-ingester",
    "policy-evaluator",
    "dispatcher",
    "agent-argo-workflows",
    "agent-github-actions",
    "agent-http-pull",
    "agent-gitlab-ci",
    "agent-kubernetes-jobs",
    "agent-verification",
    "status-syncer",
    "api",
];

/// What each crate may use of ours, outside its tests.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let everything = [
        "domain",
        "bus",
        "projections",
        "platform",
        "service",
        "telemetry",
        "servers",
        "cluster",
        "fake-argo",
        "fake-github",
        "fake-gitlab",
        "fake-kubernetes",
        "misbehaviour",
    ];
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("domain", BTreeSet::new()),
        ("telemetry", BTreeSet::new()),
        ("servers", BTreeSet::new()),
        ("misbehaviour", BTreeSet::new()),
        ("fake-argo", BTreeSet::from(["misbehaviour"])),
        ("fake-github", BTreeSet::from(["misbehaviour"])),
        ("fake-gitlab", BTreeSet::from(["misbehaviour"])),
        ("fake-kubernetes", BTreeSet::from(["misbehaviour"])),
        ("fake-oidc", BTreeSet::new()),
        ("kubelab", BTreeSet::from(["servers"])),
        ("bus", BTreeSet::from(["domain", "telemetry"])),
        ("projections", BTreeSet::from(["domain", "telemetry"])),
        ("platform", BTreeSet::from(["domain", "telemetry", "bus"])),
        ("cluster", BTreeSet::from(["domain", "telemetry", "platform"])),
        ("service", BTreeSet::from(["domain", "telemetry", "bus"])),
        ("ctrlplane", everything.into_iter().chain(SERVICES).collect()),
        ("system-tests", everything.into_iter().chain(SERVICES).chain(["ctrlplane", "fake-oidc"]).collect()),
    ]);
    for service in SERVICES {
        allowed.insert(
            service,
            BTreeSet::from(["domain", "telemetry", "bus", "projections", "platform", "cluster", "service"]),
        );
    }
    allowed
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_crate_imports_only_what_its_layer_may() {
    let allowed = allowed();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    assert_eq!(
        ours,
        allowed.keys().copied().collect(),
        "a crate without a layer, or a layer without a crate"
    );
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let outside_tests = dependency["kind"] != "dev";
            if outside_tests && ours.contains(used) {
                assert!(allowed[name].contains(used), "{name} may not use {used}");
            }
        }
    }
}

#[test]
fn the_pure_core_has_no_runtime_and_no_wire() {
    let metadata = metadata();
    let domain = metadata["packages"].as_array().unwrap().iter().find(|p| p["name"] == "domain").unwrap();
    for dependency in domain["dependencies"].as_array().unwrap() {
        let used = dependency["name"].as_str().unwrap();
        let impure = ["tokio", "async-nats", "redis", "reqwest", "axum", "tracing", "metrics", "config"];
        assert!(!(dependency["kind"].is_null() && impure.contains(&used)), "domain uses {used}");
    }
}
