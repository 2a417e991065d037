//! docs/settings.md says what the code says: rewritten when it is stale, and then this fails, so that somebody looks.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use service::{CommonSettings, Documented, Service, Setting};

const HEAD: &str = "\
# Settings

<!-- Written by the test services/ctrlplane/tests/settings_doc.rs out of the services' own tables. -->

Each service reads, in order of precedence, the environment (an empty variable counts as unset), the file of `--config` (TOML
or YAML, `section: {key: value}`), and these defaults. Two underscores in a variable stand for a dot; lists in a variable are
separated by commas. What is unknown or wrong stops the start with its name and the reason; `--check` only looks.
`CTRLPLANE_SECRET_<NAME>` gives a secret by its name where `secrets.dir` has no file for it.
";

#[test]
fn the_settings_page_is_what_the_services_say() {
    let mut page = format!("{HEAD}\n## All services\n\n");
    page.push_str(&table::<CommonSettings>(CommonSettings::SETTINGS, &CommonSettings::default()));
    page.push_str(&section::<trigger_ingester::TriggerIngester>());
    page.push_str(&section::<policy_evaluator::PolicyEvaluator>());
    page.push_str(&section::<dispatcher::Dispatcher>());
    page.push_str(&section::<agent_argo_workflows::AgentArgoWorkflows>());
    page.push_str(&section::<agent_github_actions::AgentGithubActions>());
    page.push_str(&section::<agent_http_pull::AgentHttpPull>());
    page.push_str(&section::<agent_gitlab_ci::AgentGitlabCi>());
    page.push_str(&section::<agent_kubernetes_jobs::AgentKubernetesJobs>());
    page.push_str(&section::<agent_verification::AgentVerification>());
    page.push_str(&section::<status_syncer::StatusSyncer>());
    page.push_str(&section::<api::Api>());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found != page {
        std::fs::write(&path, &page).expect("docs/settings.md can be written");
        panic!("docs/settings.md was stale and is rewritten: look at it and commit it");
    }
}

/// On one machine each service has a port of its own.
#[test]
fn no_two_services_listen_on_one_port() {
    let usual = [
        usual::<trigger_ingester::TriggerIngester>(),
        usual::<policy_evaluator::PolicyEvaluator>(),
        usual::<dispatcher::Dispatcher>(),
        usual::<agent_argo_workflows::AgentArgoWorkflows>(),
        usual::<agent_github_actions::AgentGithubActions>(),
        usual::<agent_http_pull::AgentHttpPull>(),
        usual::<agent_gitlab_ci::AgentGitlabCi>(),
        usual::<agent_kubernetes_jobs::AgentKubernetesJobs>(),
        usual::<agent_verification::AgentVerification>(),
        usual::<status_syncer::StatusSyncer>(),
        usual::<api::Api>(),
    ];
    let ports: BTreeSet<u16> = usual.iter().map(|(_, port)| *port).collect();
    assert_eq!(ports.len(), usual.len(), "{usual:?}");
}

fn usual<S: Service>() -> (&'static str, u16) {
    (S::NAME, S::defaults().http.bind.map_or(0, |address| address.port()))
}

/// A service's own settings, and its listener.
fn section<S: Service>() -> String
where
    S::Settings: Documented,
{
    let bind = S::defaults().http.bind.map_or_else(|| "none".to_owned(), |address| format!("`{address}`"));
    let mut text = format!("\n## {}\n\n{} Listens on {bind} by default.\n\n", S::NAME, S::ABOUT);
    let rows = <S::Settings as Documented>::SETTINGS;
    match rows.is_empty() {
        true => text.push_str("No settings of its own.\n"),
        false => text.push_str(&table::<S::Settings>(rows, &S::Settings::default())),
    }
    text
}

fn table<T: Documented>(rows: &[Setting], defaults: &T) -> String {
    let defaults = serde_json::to_value(defaults).expect("settings are JSON");
    let mut text = String::from("| setting | variable | default | |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let default = row.key.split('.').try_fold(&defaults, |at, part| at.get(part));
        text.push_str(&format!(
            "| `{}` | `{}` | {} | {} |\n",
            row.key,
            row.variable(),
            shown(default),
            row.what.replace('|', "\\|")
        ));
    }
    text
}

fn shown(default: Option<&Value>) -> String {
    match default {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if text.is_empty() => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if items.is_empty() => String::new(),
        Some(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            format!("`{value}`")
        }
    }
}
