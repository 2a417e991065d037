use super::*;
use platform::config::of_workspace;
use serde_json::json;

fn with(more: Value) -> Map<String, Value> {
    let base = json!({ "project": "Acme/Shop", "tokenSecret": "pat", "unknown": [1], "$workspace": "acme" });
    let (Value::Object(mut base), Value::Object(more)) = (base, more) else { panic!("two maps") };
    base.extend(more);
    base
}

fn parse(more: Value) -> Result<GitlabConfig, String> {
    GitlabConfig::parse(&with(more), &AllowedHosts::default()).map_err(|error| error.to_string())
}

fn of_acme(name: &str) -> SecretName {
    SecretName { workspace: "acme".parse().unwrap(), name: name.to_owned() }
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse(json!({})).unwrap();
    assert_eq!((config.host.as_str(), config.git_ref.as_str()), ("gitlab.com", "main"));
    assert_eq!((config.job_id_input, config.job_id_variable.as_deref()), (None, Some("JOB_ID")));
    assert_eq!(config.credential, Credential { token: of_acme("pat"), trigger_token: None });
}

#[test]
fn a_project_is_a_path_of_any_depth_or_an_id_and_goes_as_one_segment() {
    for (project, url) in [
        (json!("acme/shop"), "https://gitlab.com/api/v4/projects/acme%2Fshop/pipelines/7"),
        (
            json!("/acme/a.b/web_shop/"),
            "https://gitlab.com/api/v4/projects/acme%2Fa.b%2Fweb_shop/pipelines/7",
        ),
        (json!(42), "https://gitlab.com/api/v4/projects/42/pipelines/7"),
        (json!("42"), "https://gitlab.com/api/v4/projects/42/pipelines/7"),
    ] {
        let config = parse(json!({ "project": project })).unwrap();
        assert_eq!(config.project_url(["pipelines", "7"]).as_str(), url);
    }
}

#[test]
fn a_gitlab_of_ones_own_may_live_below_a_path() {
    for base in [
        "https://Git.example:8443/gitlab",
        "https://git.example:8443/gitlab/",
        "https://git.example:8443/gitlab/api/v4/",
    ] {
        let hosts = AllowedHosts::new(["git.example:8443".to_owned()]);
        let config = GitlabConfig::parse(&with(json!({ "baseUrl": base })), &hosts).unwrap();
        assert_eq!(config.host, "git.example:8443");
        assert_eq!(
            config.project_url([]).as_str(),
            "https://git.example:8443/gitlab/api/v4/projects/Acme%2FShop"
        );
    }
    assert_eq!(parse(json!({ "baseUrl": "http://127.0.0.1:99" })).unwrap().host, "127.0.0.1:99");
}

#[test]
fn inputs_keep_their_types_and_never_carry_another_job_id() {
    let given =
        json!({ "text": "a", "flag": true, "number": 1.5, "none": null, "list": [1, "b"], "job": "mine" });
    let config = parse(json!({ "inputs": given, "jobIdInput": "job" })).unwrap();
    let expected = json!({ "text": "a", "flag": true, "number": 1.5, "list": [1, "b"] });
    assert_eq!(Value::Object(config.inputs), expected);
    assert_eq!((config.job_id_input.as_deref(), config.job_id_variable), (Some("job"), None));
}

#[test]
fn variables_become_text_and_never_carry_another_job_id() {
    let given = json!({ "A": "a", "FLAG": true, "N": 1, "NONE": null, "LIST": [1], "JOB_ID": "mine" });
    let variables: Vec<(String, String)> =
        parse(json!({ "variables": given })).unwrap().variables.into_iter().collect();
    let expected = [("A", "a"), ("FLAG", "true"), ("LIST", "[1]"), ("N", "1")];
    assert_eq!(variables, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn the_job_id_goes_where_the_config_says_or_nowhere() {
    let carried = |more: Value| {
        let config = parse(more).unwrap();
        (config.job_id_input, config.job_id_variable)
    };
    let both = carried(json!({ "jobIdInput": "id", "jobIdVariable": "CTRLPLANE_JOB" }));
    assert_eq!(both, (Some("id".into()), Some("CTRLPLANE_JOB".into())));
    assert_eq!(carried(json!({ "jobIdVariable": null })), (None, None));
    assert_eq!(carried(json!({ "jobIdInput": "" })), (None, Some("JOB_ID".into())));
}

#[test]
fn a_trigger_token_alone_is_not_enough_and_that_is_said() {
    let error = parse(json!({ "tokenSecret": null, "triggerTokenSecret": "t" })).unwrap_err();
    assert!(error.contains("`tokenSecret` is missing") && error.contains("read_api"), "{error}");
    let config = parse(json!({ "triggerTokenSecret": "t" })).unwrap();
    assert_eq!(config.credential.trigger_token, Some(of_acme("t")));
}

#[test]
fn what_does_not_fit_is_named() {
    for (more, message) in [
        (json!({ "project": null }), "`project` is missing"),
        (json!({ "project": "shop" }), "`project` is \"shop\""),
        (json!({ "project": "../shop" }), "`project`"),
        (json!({ "project": "acme//shop" }), "`project`"),
        (json!({ "project": "acme/sh?p" }), "`project`"),
        (json!({ "project": "/" }), "`project`"),
        (json!({ "tokenSecret": "" }), "`tokenSecret` is missing"),
        (json!({ "baseUrl": "ftp://x" }), "`baseUrl` must begin"),
        (json!({ "baseUrl": "https://user@x" }), "`baseUrl`"),
        (json!({ "baseUrl": "http://gitlab.com" }), "not one this agent may talk to"),
        (json!({ "baseUrl": "https://evil.example" }), "lists it in the setting `hosts`"),
        (json!({ "inputs": [1] }), "`inputs` must be a map"),
        (json!({ "variables": "a=b" }), "`variables` must be a map"),
        (json!({ "jobIdInput": {} }), "`jobIdInput` must be a text"),
        (json!({ "rateLimit": { "writesPerMinute": -1 } }), "`rateLimit.writesPerMinute`"),
    ] {
        let error = parse(more.clone()).unwrap_err();
        assert!(error.contains(message), "{more}: {error}");
    }
}

#[test]
fn an_agent_may_be_tied_to_its_hosts() {
    let only = AllowedHosts::new(["GitLab.internal:8080".to_owned()]);
    let at = |base: &str| GitlabConfig::parse(&with(json!({ "baseUrl": base })), &only).is_ok();
    assert!(at("http://gitlab.internal:8080/git"));
    assert!(!at("https://gitlab.com"));
    assert!(!at("https://gitlab.internal"));
}

#[test]
fn the_example_of_the_readme_is_a_config() {
    let readme = include_str!("../../../README.md");
    let example = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config: Map<String, Value> = serde_yaml_ng::from_str(example).unwrap();
    let parsed = GitlabConfig::parse(
        &of_workspace(config.clone(), &"acme".parse().unwrap()),
        &AllowedHosts::new(["gitlab.com".to_owned(), "gitlab.example.com".to_owned()]),
    )
    .unwrap();
    assert_eq!(parsed.inputs["dry_run"], false);
    assert_eq!(parsed.writes_per_minute, Some(25));
    let known =
        [include_str!("../config.rs"), include_str!("../../../../../shared/platform/src/config.rs")].concat();
    assert!(config.keys().all(|key| known.contains(&format!("\"{key}\""))), "{config:?}");
}
