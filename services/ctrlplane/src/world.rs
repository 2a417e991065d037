//! A whole system with a pretended GitHub beside it, wired together: for demo and bench. It does not know what is played.

use std::path::Path;

use anyhow::Context as _;
use domain::token::Slug;
use fake_github::{App, FakeGithub, Webhook};
use service::Supervisor;

use crate::args::ServerArgs;
use crate::client::Client;
use crate::dev::{self, Dev, Ports};
use crate::stage::{Prop, Stage, TemporaryDir};

/// The tenant that is played with.
pub(crate) const WORKSPACE: &str = "acme";
/// The pretended App.
const APP_ID: &str = "271828";
/// The name of the trigger source in the catalog, and of the secret its deliveries are signed with.
const SOURCE: &str = "github";
const WEBHOOK_SECRET: &str = "github-webhook";
/// The name of the secret with the App's private key.
const APP_KEY_SECRET: &str = "github-app-key";

/// Everything that is needed to play.
pub(crate) struct World {
    /// Servers and services.
    pub(crate) dev: Dev,
    /// The platform.
    pub(crate) github: FakeGithub,
    /// The API, as its administrator.
    pub(crate) client: Client,
}

/// What to build.
pub(crate) struct Plan<'a> {
    /// Where to keep the data; else in a temporary directory.
    pub(crate) data: Option<&'a Path>,
    /// Servers that are there already.
    pub(crate) servers: &'a ServerArgs,
    /// Where to listen.
    pub(crate) ports: Ports,
    /// The platform's repositories and manners. Its App is the sample one.
    pub(crate) github: fake_github::Options,
    /// Which events of runs the platform tells of.
    pub(crate) run_events: &'a [&'a str],
    /// Settings of the services, as variables.
    pub(crate) environment: Vec<(String, String)>,
}

impl World {
    /// Starts everything; what was started is on the stage.
    pub(crate) async fn build(
        plan: Plan<'_>,
        supervisor: &Supervisor,
        stage: &Stage,
    ) -> anyhow::Result<Self> {
        let data = match plan.data {
            Some(data) => data.to_owned(),
            None => {
                let dir = TemporaryDir::create().context("making a temporary directory")?;
                let path = dir.path().to_owned();
                stage.add(Prop::Temporary(dir));
                path
            }
        };
        let options = dev::Options {
            data: &data,
            servers: plan.servers,
            ports: plan.ports,
            environment: plan.environment,
        };
        let dev = dev::start(&options, supervisor, stage).await?;
        let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        dev.data.write_secret(WEBHOOK_SECRET, &secret)?;
        dev.data.write_secret(APP_KEY_SECRET, fake_github::SAMPLE_APP_PRIVATE_KEY_PEM)?;
        let app = Some(App::sample(APP_ID, WORKSPACE));
        let github = FakeGithub::start(fake_github::Options { app, ..plan.github }).await?;
        stage.add(Prop::Github(github.clone()));
        let url = format!("{}/webhooks/{WORKSPACE}/{SOURCE}", dev.running.webhooks_url());
        let events = plan.run_events.iter().map(|event| (*event).to_owned()).collect();
        github.set_webhook(Some(Webhook { events, ..Webhook::new(&url, &secret) }));
        let workspace: Slug = WORKSPACE.parse().context("the workspace's slug")?;
        let client = Client::new(&dev.running.api_url(), dev.data.admin_key(), workspace)?;
        Ok(Self { dev, github, client })
    }

    /// Puts what only this run knows into a catalog's text: where the platform is, and who we are to it.
    pub(crate) fn fill(&self, catalog: &str) -> String {
        [
            ("<GITHUB_URL>", self.github.base_url().as_str()),
            ("<APP_ID>", APP_ID),
            ("<APP_KEY_SECRET>", APP_KEY_SECRET),
            ("<WEBHOOK_SECRET>", WEBHOOK_SECRET),
            ("<SOURCE>", SOURCE),
            ("<WORKSPACE>", WORKSPACE),
        ]
        .iter()
        .fold(catalog.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}
