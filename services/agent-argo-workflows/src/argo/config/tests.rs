use super::*;
use platform::config::of_workspace;
use serde_json::json;

fn with(more: Value) -> Map<String, Value> {
    let base = json!({
        "baseUrl": "https://argo.example/argo/", "tokenSecret": "argo-token", "namespace": "ci", "template": "deploy",
        "unknown": [1], "$workspace": "acme",
    });
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("two maps") };
    base.extend(more);
    base
}

fn parse(more: Value) -> Result<ArgoConfig, String> {
    let hosts = AllowedHosts::new(["argo.example".to_owned(), "k8s.example:6443".to_owned()]);
    ArgoConfig::parse(&with(more), &hosts).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(json!({})).unwrap();
    assert_eq!(config.ui.as_ref().unwrap().host(), "argo.example");
    assert_eq!(config.template, Template::Namespaced("deploy".to_owned()));
    assert_eq!(config.ui.unwrap().below(["x"]).as_str(), "https://argo.example/argo/x");
    assert_eq!((config.service_account, config.entrypoint, config.writes_per_minute), (None, None, 0));
    assert!(config.parameters.is_empty() && config.labels.is_empty());
}

#[test]
fn parameters_are_text() {
    let config = parse(json!({ "parameters": {
        "text": " a=b ", "flag": true, "number": 1.5, "none": null, "list": [1, "b"],
    } }));
    let parameters: Vec<(String, String)> = config.unwrap().parameters.into_iter().collect();
    let expected = [("flag", "true"), ("list", "[1,\"b\"]"), ("number", "1.5"), ("text", " a=b ")];
    assert_eq!(parameters, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_config_shows_no_parameter() {
    let config = parse(json!({ "parameters": { "password": "pl4nted" } })).unwrap();
    assert!(!format!("{config:?}").contains("pl4nted"));
}

#[test]
fn the_kubernetes_api_is_chosen_by_name() {
    let of = |more: Value| {
        let config = parse(more).unwrap();
        let Place::Cluster(access) = &config.place else { panic!("{config:?}") };
        (access.name(), config.ui.is_some())
    };
    let base = json!({ "via": "kubernetes", "baseUrl": "https://k8s.example:6443" });
    assert_eq!(of(base), ("namespace ci of k8s.example:6443 by argo-token of acme".to_owned(), false));
    let own =
        json!({ "via": "kubernetes", "baseUrl": null, "tokenSecret": null, "uiUrl": "https://argo.example" });
    assert_eq!(of(own), ("namespace ci of own cluster".to_owned(), true));
}

#[test]
fn what_does_not_fit_is_named() {
    for (more, message) in [
        (
            json!({ "baseUrl": "https://evil.example" }),
            "`baseUrl` has the host evil.example, which is not one",
        ),
        (json!({ "baseUrl": "argo" }), "`baseUrl` is not a URL"),
        (json!({ "baseUrl": null }), "`baseUrl` is missing"),
        (json!({ "via": "grpc" }), "`via` is \"grpc\""),
        (json!({ "via": "kubernetes", "kubeconfigSecret": "kube" }), "both given"),
        (json!({ "tokenSecret": null }), "`tokenSecret` is missing"),
        (json!({ "namespace": "" }), "`namespace` is missing"),
        (json!({ "namespace": "a.b" }), "`namespace` is \"a.b\""),
        (json!({ "namespace": "../x" }), "`namespace`"),
        (json!({ "namespace": "a".repeat(64) }), "`namespace`"),
        (json!({ "template": null }), "one of them must be given"),
        (json!({ "template": "Deploy" }), "`template` is \"Deploy\""),
        (json!({ "clusterTemplate": "deploy" }), "both given"),
        (json!({ "template": {} }), "`template` must be a text"),
        (json!({ "serviceAccount": "a/b" }), "`serviceAccount`"),
        (json!({ "parameters": [1] }), "`parameters` must be a map"),
        (json!({ "parameters": { "a=b": 1 } }), "which no parameter can have"),
        (json!({ "parameters": { "a": "x".repeat(600_000) } }), "`parameters` is longer"),
        (json!({ "labels": { "a,b": "c" } }), "`labels` has \"a,b\""),
        (json!({ "labels": { "a": "c,d=e" } }), "`labels` has \"a\""),
        (json!({ "labels": { "a": [] } }), "`labels` has \"a\""),
        (json!({ "labels": { "ctrlplane.dev/job-id": "x" } }), "ours to set"),
        (json!({ "uiUrl": "ftp://x" }), "`uiUrl`"),
        (json!({ "rateLimit": 5 }), "`rateLimit`"),
        (json!({ "rateLimit": { "writesPerMinute": -1 } }), "`rateLimit.writesPerMinute`"),
    ] {
        let error = parse(more.clone()).unwrap_err();
        assert!(error.contains(message), "{more}: {error}");
    }
}

#[test]
fn labels_of_other_controllers_are_taken() {
    let labels =
        json!({ "workflows.argoproj.io/controller-instanceid": "blue", "team": "shop", "empty": "", "n": 3 });
    assert_eq!(parse(json!({ "labels": labels })).unwrap().labels.len(), 4);
}

#[test]
fn the_examples_of_the_readme_are_configs() {
    let readme = include_str!("../../../README.md");
    let examples: Vec<&str> =
        readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let configs: Vec<Map<String, Value>> = examples
        .iter()
        .filter_map(|example| serde_yaml_ng::from_str(example).ok())
        .filter(|config: &Map<String, Value>| config.contains_key("namespace"))
        .collect();
    assert!(!configs.is_empty());
    for config in configs {
        let hosts = AllowedHosts::new(["argo.example".to_owned(), "10.0.0.1:6443".to_owned()]);
        ArgoConfig::parse(&of_workspace(config.clone(), &"acme".parse().unwrap()), &hosts).unwrap();
        let sources = concat!(
            include_str!("../config.rs"),
            include_str!("../../../../../shared/cluster/src/access.rs")
        );
        assert!(config.keys().all(|key| sources.contains(&format!("\"{key}\""))), "{config:?}");
    }
}
