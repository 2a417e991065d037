use super::*;
use platform::config::of_workspace;
use serde_json::json;

fn with(more: Value) -> Map<String, Value> {
    let base = json!({
        "owner": "Acme", "repo": "shop", "workflow": "deploy.yml", "tokenSecret": "pat", "unknown": [1],
        "$workspace": "acme",
    });
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("two maps") };
    base.extend(more);
    base
}

fn parse(more: Value) -> Result<GithubConfig, String> {
    GithubConfig::parse(&with(more), &AllowedHosts::default()).map_err(|error| error.to_string())
}

fn of_acme(name: &str) -> SecretName {
    SecretName { workspace: "acme".parse().unwrap(), name: name.to_owned() }
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(json!({})).unwrap();
    assert_eq!(config.host, "api.github.com");
    assert_eq!(config.scope(), "acme/shop");
    assert_eq!(config.git_ref, "main");
    assert_eq!(config.job_id_input.as_deref(), Some("job_id"));
    assert_eq!(config.neutral_is, Neutral::Successful);
    assert_eq!(
        config.repo_url(["actions", "workflows", "a b.yml"]).as_str(),
        "https://api.github.com/repos/Acme/shop/actions/workflows/a%20b.yml"
    );
}

#[test]
fn ghes_keeps_its_path_and_ports_belong_to_the_host() {
    let hosts = AllowedHosts::new(["gh.example".to_owned()]);
    let config = with(json!({ "baseUrl": "https://GH.example/api/v3/" }));
    let config = GithubConfig::parse(&config, &hosts).unwrap();
    assert_eq!(config.host, "gh.example");
    assert_eq!(config.repo_url([]).as_str(), "https://gh.example/api/v3/repos/Acme/shop");
    assert_eq!(parse(json!({ "baseUrl": "http://127.0.0.1:99" })).unwrap().host, "127.0.0.1:99");
}

#[test]
fn both_kinds_of_credentials_are_read() {
    let mut map = with(json!({ "appId": 12, "privateKeySecret": "key", "installationId": "7" }));
    map.remove("tokenSecret");
    let config = GithubConfig::parse(&map, &AllowedHosts::default()).unwrap();
    let app = Credential::App { id: "12".into(), key_secret: of_acme("key"), installation: Some(7) };
    assert_eq!(config.credential, app);
    assert_eq!(parse(json!({})).unwrap().credential, Credential::Token { secret: of_acme("pat") });
}

#[test]
fn inputs_become_text_and_never_carry_another_job_id() {
    let config = parse(json!({ "inputs": {
        "text": "a", "flag": true, "number": 1.5, "none": null, "list": [1, "b"], "job_id": "mine",
    } }));
    let inputs: Vec<(String, String)> = config.unwrap().inputs.into_iter().collect();
    let expected = [("flag", "true"), ("list", "[1,\"b\"]"), ("number", "1.5"), ("text", "a")];
    assert_eq!(inputs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(parse(json!({ "jobIdInput": null })).unwrap().job_id_input, None);
    assert_eq!(parse(json!({ "jobIdInput": "" })).unwrap().job_id_input, None);
}

#[test]
fn what_does_not_fit_is_named() {
    let many: Map<String, Value> = (0..25).map(|n| (format!("i{n}"), json!(n))).collect();
    for (more, message) in [
        (json!({ "owner": null }), "`owner` is missing"),
        (json!({ "repo": "../x" }), "`repo` is \"../x\""),
        (json!({ "repo": ".." }), "`repo`"),
        (json!({ "workflow": "a/b.yml" }), "`workflow`"),
        (json!({ "workflow": {} }), "`workflow` must be a text"),
        (json!({ "tokenSecret": "" }), "`appId` is missing"),
        (json!({ "tokenSecret": null, "appId": 1 }), "`privateKeySecret` is missing"),
        (json!({ "appId": 1, "privateKeySecret": "k" }), "both given"),
        (json!({ "installationId": "x" }), "`installationId`"),
        (json!({ "baseUrl": "ftp://x" }), "`baseUrl` must begin"),
        (json!({ "baseUrl": "https://user@x" }), "`baseUrl`"),
        (json!({ "baseUrl": "https://evil.example" }), "lists it in the setting `hosts`"),
        (json!({ "baseUrl": "http://github.example" }), "not one this agent may talk to"),
        (json!({ "inputs": [1] }), "`inputs` must be a map"),
        (json!({ "inputs": many }), "`inputs` has 26"),
        (json!({ "inputs": { "a": "x".repeat(70_000) } }), "`inputs` is longer"),
        (json!({ "neutralIs": "good" }), "`neutralIs`"),
        (json!({ "rateLimit": 5 }), "`rateLimit`"),
        (json!({ "rateLimit": { "writesPerMinute": -1 } }), "`rateLimit.writesPerMinute`"),
    ] {
        let error = parse(more.clone()).unwrap_err();
        assert!(error.contains(message), "{more}: {error}");
    }
}

#[test]
fn an_agent_may_be_tied_to_its_hosts() {
    let only = AllowedHosts::new(["GitHub.internal:8080".to_owned()]);
    let at = |base: &str| GithubConfig::parse(&with(json!({ "baseUrl": base })), &only).is_ok();
    assert!(at("http://github.internal:8080/api/v3"));
    assert!(!at("https://api.github.com"));
    assert!(!at("https://github.internal"));
}

#[test]
fn the_example_of_the_readme_is_a_config() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config: Map<String, Value> = serde_yaml_ng::from_str(example).unwrap();
    let hosts = AllowedHosts::new(["github.example.com".to_owned(), "api.github.com".to_owned()]);
    let parsed =
        GithubConfig::parse(&of_workspace(config.clone(), &"acme".parse().unwrap()), &hosts).unwrap();
    assert_eq!(parsed.inputs["dryRun"], "false");
    assert_eq!(parsed.writes_per_minute, Some(80));
    let readers = [
        include_str!("../config.rs"),
        include_str!("../deliveries.rs"),
        include_str!("../../../../../shared/platform/src/config.rs"),
    ];
    let is_read = |key: &String| readers.iter().any(|reader| reader.contains(&format!("\"{key}\"")));
    assert!(config.keys().all(is_read));
}
