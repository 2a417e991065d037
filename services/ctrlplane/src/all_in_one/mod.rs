//! Every service in this process, under one supervisor. It knows which services there are and where each setting they
//! share comes from; NATS and Redis are there already.

mod ready;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_argo_workflows::AgentArgoWorkflows;
use agent_github_actions::AgentGithubActions;
use agent_gitlab_ci::AgentGitlabCi;
use agent_http_pull::AgentHttpPull;
use agent_kubernetes_jobs::AgentKubernetesJobs;
use agent_verification::AgentVerification;
use anyhow::Context as _;
use api::Api;
use dispatcher::Dispatcher;
use policy_evaluator::PolicyEvaluator;
use service::{Plan, Secrets, Service, Sources, Supervisor, load};
use status_syncer::StatusSyncer;
use trigger_ingester::TriggerIngester;

pub use ready::{NotReady, wait_until_ready};

/// How long all services may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What the services are wired to.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// The bus.
    pub nats_url: String,
    /// The views.
    pub redis_url: String,
    /// One file per secret.
    pub secrets_dir: PathBuf,
    /// The file with the API key that may do everything.
    pub admin_key_file: PathBuf,
    /// Where the API listens, on the loopback interface; 0 is any free port.
    pub api_port: u16,
    /// Where webhooks come in, likewise.
    pub webhook_port: u16,
    /// Where pullers claim jobs, likewise.
    pub pull_port: u16,
    /// Variables `CTRLPLANE_…` with further settings of the services. What is wired here comes before them.
    pub environment: Vec<(String, String)>,
}

/// Where the services listen.
#[derive(Clone, Debug)]
pub struct Running {
    /// The API.
    pub api: SocketAddr,
    /// The webhooks.
    pub webhooks: SocketAddr,
    /// The queues of pull agents.
    pub pullers: SocketAddr,
}

impl Running {
    /// `http://host:port` of the API.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// `http://host:port` of the webhooks.
    pub fn webhooks_url(&self) -> String {
        format!("http://{}", self.webhooks)
    }

    /// `http://host:port` of the queues of pull agents.
    pub fn pullers_url(&self) -> String {
        format!("http://{}", self.pullers)
    }
}

/// Starts every service and waits until all are ready.
///
/// # Errors
/// When a setting does not fit, a port cannot be had, a service fails, or one is not ready in time: then it says which
/// and what it waits for.
pub async fn start_all(supervisor: &Supervisor, wiring: &Wiring) -> anyhow::Result<Running> {
    let mut started = Vec::new();
    // Those who only listen to the bus first: what comes in finds somebody who works on it.
    started.push(start::<StatusSyncer>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<AgentArgoWorkflows>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<AgentGithubActions>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<AgentHttpPull>(supervisor, wiring, Some(wiring.pull_port), |_| {}).await?);
    started.push(start::<AgentGitlabCi>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<AgentKubernetesJobs>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<AgentVerification>(supervisor, wiring, None, open_this_machine).await?);
    started.push(start::<Dispatcher>(supervisor, wiring, None, |_| {}).await?);
    started.push(start::<PolicyEvaluator>(supervisor, wiring, None, |_| {}).await?);
    let admin_key_file = wiring.admin_key_file.clone();
    let api = start::<Api>(supervisor, wiring, Some(wiring.api_port), |settings| {
        settings.auth.bootstrap_key_file = Some(admin_key_file);
    });
    started.push(api.await?);
    started.push(start::<TriggerIngester>(supervisor, wiring, Some(wiring.webhook_port), |_| {}).await?);
    wait_until_ready(supervisor, &started, READY_WITHIN).await?;
    let address = |name: &str| {
        let service = started.iter().find(|(service, _)| *service == name);
        service.and_then(|(_, started)| started.address).with_context(|| format!("{name} has no listener"))
    };
    Ok(Running {
        api: address(Api::NAME)?,
        webhooks: address(TriggerIngester::NAME)?,
        pullers: address(AgentHttpPull::NAME)?,
    })
}

/// What is tried out on one machine is measured on that machine, unless somebody said otherwise.
fn open_this_machine(settings: &mut agent_verification::Settings) {
    if settings.networks.is_empty() {
        settings.networks = ["127.0.0.0/8", "::1"].map(str::to_owned).to_vec();
    }
}

async fn start<S: Service>(
    supervisor: &Supervisor,
    wiring: &Wiring,
    port: Option<u16>,
    adjust: impl FnOnce(&mut S::Settings),
) -> anyhow::Result<(&'static str, service::Started)> {
    let sources = Sources { file: None, environment: wiring.environment.clone() };
    let loaded = load::<S::Settings>(&S::defaults(), &sources).context(S::NAME)?;
    let (mut settings, mut common) = (loaded.own, loaded.common);
    adjust(&mut settings);
    common.nats = service::Nats { url: wiring.nats_url.clone(), ..service::Nats::default() };
    common.redis.url = wiring.redis_url.clone();
    common.http.bind = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    common.secrets.dir = Some(wiring.secrets_dir.clone());
    // Whoever tries it out on one machine is one team, unless somebody said otherwise.
    if common.secrets.shared.is_empty() {
        common.secrets.shared = vec!["*".to_owned()];
    }
    let secrets = Arc::new(Secrets::of(&common.secrets, wiring.environment.clone()));
    let started =
        service::start::<S>(supervisor, Plan { settings, common, secrets }).await.context(S::NAME)?;
    Ok((S::NAME, started))
}
