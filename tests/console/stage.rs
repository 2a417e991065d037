//! What the story plays on: the whole system, stand-ins for GitHub and GitLab, and a browser that looks at it.

use std::time::Duration;

use fake_github::{Ending, Plan, Script, When};
use fake_gitlab::FakeGitlab;
use fake_oidc::{Client, FakeIssuer};
use serde_json::{Value, json};
use system_tests::{Options, System, eventually, gitlab};

use crate::NODE;
use crate::browser::Browser;

const CATALOG: &str = include_str!("../stories/console.yaml");
pub(crate) const WITHIN: Duration = Duration::from_secs(30);
/// A job that there is not.
pub(crate) const NO_JOB: &str = "00000000-0000-0000-0000-000000000000";
/// What is asked for to learn whether it is there.
const ASKED_FOR: [&str; 4] = ["/api/v1/login", "/api/v1/session", "/audit", NO_JOB];

pub(crate) struct Stage<'a> {
    pub(crate) browser: &'a Browser,
    pub(crate) system: System,
    pub(crate) gitlab: FakeGitlab,
    /// Lets people in as `ann@example.com`.
    _issuer: FakeIssuer,
}

impl<'a> Stage<'a> {
    pub(crate) async fn set(browser: &'a Browser) -> Self {
        let gitlab = gitlab::shop().await;
        let (issuer, login) = issuer().await;
        let system = System::start(Options {
            catalog: CATALOG.replace("GITLAB_URL", &gitlab.subpath_url()),
            environment: gitlab::secrets(),
            environment_of: login,
            ..Options::new(NODE)
        })
        .await;
        gitlab::attach(&gitlab, &system).await;
        Self { browser, system, gitlab, _issuer: issuer }
    }

    /// An address of the console.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/console/{path}", self.system.client.base())
    }

    /// Somebody pushes; the runs and pipelines of the version go like that.
    pub(crate) async fn push(&self, tag: &str, message: &str, github: Script, gitlab: fake_gitlab::Script) {
        assert!(self.system.github.set_script("acme/shop", "deploy.yml", github));
        assert!(self.gitlab.set_script("acme/shop", gitlab));
        let pushed = self.system.github.push("acme/shop", "main", tag, message).await;
        assert_eq!(pushed.unwrap().1, 202);
    }

    /// Waits until the job of the version on the resource has the status.
    pub(crate) async fn job(&self, tag: &str, resource: &str, status: &str) -> Value {
        let client = &self.system.client;
        let what = format!("{tag} on {resource} is {status}");
        eventually(&what, WITHIN, || async {
            let jobs = client.jobs_where(&format!("&resource={resource}&version=web:{tag}")).await?;
            let found = jobs.iter().find(|job| job["status"] == status).cloned();
            found.ok_or_else(|| format!("{jobs:?}"))
        })
        .await
    }

    /// What the browser complained of, beside what was to be expected.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let mut complaints = self.browser.complaints().await;
        complaints.retain(|text| {
            let is_known = ASKED_FOR.iter().any(|path| text.contains(path));
            !(is_known && text.contains("Failed to load resource"))
        });
        complaints
    }

    /// Waits until a view has been loaded and drawn.
    pub(crate) async fn drawn(&self) {
        let done = "const main = document.querySelector('main'); \
                    return Boolean(main && main.querySelector('h1') && !main.hasAttribute('aria-busy') && !document.querySelector('.bones'))";
        eventually("the view is drawn", WITHIN, || async {
            if self.browser.run(done, json!([])).await == true { Ok(()) } else { Err("it is not") }
        })
        .await;
    }
}

/// An issuer, and what the api is told of it: where people come back to is known before the api is there.
async fn issuer() -> (FakeIssuer, Vec<(&'static str, &'static str, String)>) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let public = format!("http://{address}");
    let client = Client {
        id: "ctrlplane".to_owned(),
        secret: None,
        redirect_uri: format!("{public}/api/v1/login/oidc/callback"),
    };
    let issuer = FakeIssuer::start(client).await.expect("a port");
    issuer.person(
        json!({ "sub": "1", "email": "ann@example.com", "email_verified": true, "groups": ["platform"] }),
    );
    let settings = [
        ("CTRLPLANE_HTTP__BIND", address),
        ("CTRLPLANE_AUTH__PUBLIC_URL", public),
        ("CTRLPLANE_OIDC__ISSUER", issuer.issuer().to_owned()),
        ("CTRLPLANE_OIDC__CLIENT_ID", "ctrlplane".to_owned()),
        ("CTRLPLANE_OIDC__NAME", "Example".to_owned()),
        ("CTRLPLANE_OIDC__ROLES", "platform=admin".to_owned()),
    ];
    (issuer, settings.map(|(name, value)| ("api", name, value)).to_vec())
}

/// Runs that go on until they are told, but on that resource only.
pub(crate) fn held_on(resource: &str) -> Script {
    Script::success().when(When::input("resource", resource), Plan::new(Ending::Hold))
}
