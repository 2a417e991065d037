//! Precedence, and what a person reads when a setting is wrong.

use super::*;
use crate::{Provision, hidden};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Own {
    github: GitHub,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct GitHub {
    base_url: String,
    slots_max: u16,
    hosts: Vec<String>,
    labels: BTreeMap<String, String>,
    poll_seconds: Option<u64>,
    #[serde(with = "hidden")]
    hook_secret: Option<SecretString>,
}

impl Default for Own {
    fn default() -> Self {
        let base_url = "https://api.github.com".to_owned();
        Self {
            github: GitHub {
                base_url,
                slots_max: 4,
                hosts: vec!["a".into()],
                labels: BTreeMap::new(),
                poll_seconds: None,
                hook_secret: None,
            },
        }
    }
}

impl Default for GitHub {
    fn default() -> Self {
        Own::default().github
    }
}

impl Documented for Own {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("github.base_url", "Where the API is."),
        Setting::new("github.slots_max", "Calls at once."),
        Setting::new("github.hosts", "Hosts."),
        Setting::new("github.labels", "Labels."),
        Setting::new("github.poll_seconds", "Seconds between looks."),
        Setting::secret("github.hook_secret", "Signs deliveries."),
    ];

    fn check(&self) -> Result<(), Invalid> {
        match self.github.slots_max {
            0 => Err(Invalid { key: "github.slots_max", reason: "at least one is needed".into() }),
            _ => Ok(()),
        }
    }
}

/// Loads with a file of this name and text, and these variables.
fn loaded(file: Option<(&str, &str)>, variables: &[(&str, &str)]) -> Result<Loaded<Own>, SettingsError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = file.map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    });
    let environment = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    load(&CommonSettings::listening_on(8101), &Sources { file: path, environment })
}

/// The message, which must contain all of this and none of the secret.
#[track_caller]
fn refused(file: Option<(&str, &str)>, variables: &[(&str, &str)], expected: &[&str]) {
    let error = loaded(file, variables).expect_err("refused").to_string();
    for part in expected {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    assert!(!error.contains("hunter2"), "a secret is in: {error}");
}

#[test]
fn the_table_is_whole() {
    crate::assert_documented::<Own>();
}

#[test]
fn nothing_given_is_the_defaults() {
    let settings = loaded(None, &[]).expect("fits");
    assert_eq!(settings.own.github.slots_max, 4);
    assert_eq!(settings.own.github.hosts, ["a"]);
    assert_eq!(settings.common.http.bind.expect("of the service").port(), 8101);
    assert!(settings.warnings.is_empty());
}

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let toml = "drain_seconds = 7\n[github]\nslots_max = 5\nbase_url = 'https://file'\nlabels = {a = 'b'}\n[nats]\nprovision = 'verify'";
    let settings = loaded(
        Some(("c.toml", toml)),
        &[
            ("CTRLPLANE_GITHUB__SLOTS_MAX", "6"),
            ("CTRLPLANE_NATS__PASSWORD", "0123"),
            ("OTHER_GITHUB__HOSTS", "x"),
        ],
    )
    .expect("fits");
    assert_eq!((settings.own.github.slots_max, settings.own.github.base_url.as_str()), (6, "https://file"));
    assert_eq!((settings.common.drain_seconds, settings.common.nats.provision), (7, Provision::Verify));
    assert_eq!(settings.own.github.labels["a"], "b");
    assert_eq!(settings.own.github.hosts, ["a"]);
    assert_eq!(settings.common.nats.password.expect("given").expose_secret(), "0123", "a text, not a number");
    assert_eq!(settings.common.http.bind.expect("of the service").port(), 8101);
}

#[test]
fn yaml_does_too() {
    let yaml = "http: {bind: '0.0.0.0:9'}\ngithub:\n  hosts: [x, y]\n  poll_seconds: 3\n";
    let settings = loaded(Some(("c.yaml", yaml)), &[]).expect("fits");
    assert_eq!(settings.common.http.bind.expect("given").to_string(), "0.0.0.0:9");
    assert_eq!((settings.own.github.hosts.len(), settings.own.github.poll_seconds), (2, Some(3)));
    let settings = loaded(Some(("c.yaml", "http: {bind: ~}")), &[]).expect("fits");
    assert_eq!(settings.common.http.bind, None, "null is no listener");
}

#[test]
fn variables_become_numbers_and_lists_and_empty_ones_are_unset() {
    let settings = loaded(
        None,
        &[
            ("CTRLPLANE_GITHUB__HOSTS", "x, y,,z"),
            ("CTRLPLANE_GITHUB__POLL_SECONDS", "15"),
            ("CTRLPLANE_GITHUB__SLOTS_MAX", ""),
            ("CTRLPLANE_LOG__FORMAT", "json"),
        ],
    )
    .expect("fits");
    assert_eq!(settings.own.github.hosts, ["x", "y", "z"]);
    assert_eq!((settings.own.github.poll_seconds, settings.own.github.slots_max), (Some(15), 4));
    assert_eq!(settings.common.log.format, crate::LogFormat::Json);
}

#[test]
fn a_wrong_value_names_setting_source_and_reason() {
    refused(
        None,
        &[("CTRLPLANE_GITHUB__SLOTS_MAX", "many")],
        &["github.slots_max", "CTRLPLANE_GITHUB__SLOTS_MAX", "integer", "many"],
    );
    refused(None, &[("CTRLPLANE_HTTP__BIND", "here")], &["http.bind", "CTRLPLANE_HTTP__BIND", "address"]);
    refused(Some(("c.toml", "[http]\nbind = 'here'")), &[], &["http.bind", "c.toml", "address"]);
    refused(Some(("c.toml", "[log]\nformat = 'xml'")), &[], &["log.format", "c.toml", "xml"]);
    refused(Some(("c.yaml", "drain_seconds: -1")), &[], &["drain_seconds", "c.yaml"]);
    refused(Some(("c.yaml", "github: {hosts: [[1]]}")), &[], &["github.hosts", "c.yaml"]);
    refused(
        Some(("c.toml", "[github]\nslots_max = 0")),
        &[],
        &["github.slots_max", "c.toml", "at least one"],
    );
    refused(None, &[("CTRLPLANE_NATS__URL", "http://x")], &["nats.url", "CTRLPLANE_NATS__URL", "nats://"]);
    refused(None, &[("CTRLPLANE_GITHUB__LABELS", "a=b")], &["CTRLPLANE_GITHUB__LABELS", "file"]);
}

#[test]
fn a_secret_is_never_shown() {
    refused(Some(("c.toml", "[nats]\npassword = ['hunter2']")), &[], &["nats.password", "c.toml", "secret"]);
    refused(Some(("c.yaml", "github: {hook_secret: {x: hunter2}}")), &[], &["github.hook_secret"]);
    refused(Some(("c.toml", "[nats]\npassword = hunter2")), &[], &["c.toml", "line 2"]);
    refused(Some(("c.yaml", "nats: {password: 'hunter2")), &[], &["c.yaml"]);
    refused(Some(("c.toml", "[nats]\nurl = 'nat://u:hunter2@h'")), &[], &["nats.url"]);
}

#[test]
fn an_unknown_key_is_refused_with_what_there_is() {
    refused(Some(("c.toml", "[nats]\nuri = 'x'")), &[], &["nats.uri", "c.toml", "unknown", "url, user"]);
    refused(Some(("c.yaml", "githup: {slots_max: 1}")), &[], &["githup", "unknown", "github"]);
    refused(Some(("c.yaml", "nats: hunter2")), &[], &["nats", "section", "url"]);
    refused(None, &[("CTRLPLANE_NATS__URI", "hunter2")], &["nats.uri", "CTRLPLANE_NATS__URI", "url"]);
}

#[test]
fn a_variable_of_another_service_is_only_a_warning() {
    let settings = loaded(
        None,
        &[
            ("CTRLPLANE_GITLAB__SLOTS_MAX", "hunter2"),
            ("CTRLPLANE_NATS_SERVICE_HOST", "10.0.0.1"),
            ("CTRLPLANE_SECRET_HOOK", "hunter2"),
            ("CTRLPLANE_CONFIG", "x.toml"),
        ],
    )
    .expect("fits");
    let warnings = settings.warnings.join("\n");
    assert_eq!(settings.warnings.len(), 2, "{warnings}");
    assert!(warnings.contains("CTRLPLANE_GITLAB__SLOTS_MAX") && !warnings.contains("hunter2"), "{warnings}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let sources = Sources { file: Some("nowhere/c.toml".into()), environment: Vec::new() };
    let error = load::<Own>(&CommonSettings::default(), &sources).expect_err("refused").to_string();
    assert!(error.contains("nowhere/c.toml") && error.contains("No such file"), "{error}");
}
