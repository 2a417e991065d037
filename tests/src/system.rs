//! The whole system of one test: servers, services, the stand-in for GitHub, and a client.

use crate::{Client, Process, catalog, eventually};
use fake_github::{App, FakeGithub, Repo, Script, Webhook, Workflow};
use servers::TestServers;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every service, in the order in which they are started.
pub const SERVICES: [&str; 11] = [
    "trigger-ingester",
    "policy-evaluator",
    "dispatcher",
    "agent-github-actions",
    "agent-http-pull",
    "agent-gitlab-ci",
    "agent-kubernetes-jobs",
    "agent-argo-workflows",
    "agent-verification",
    "status-syncer",
    "api",
];

/// Short, so that the messages of a killed process go to another one soon.
const ACK_WAIT: Duration = Duration::from_secs(1);
const WEBHOOK_SECRET: &str = "a-webhook-secret-of-the-tests";
const ADMIN_KEY: &str = "an-admin-key-of-the-tests";
/// Beside the secrets: it is none that a workspace could name.
const ADMIN_KEY_FILE: &str = "admin-key";

/// How a system is started.
pub struct Options {
    /// The program that runs a service: `env!("CARGO_BIN_EXE_node")`.
    pub node: &'static str,
    /// How many processes of each service.
    pub replicas: usize,
    /// Services with another number of processes: none, or those that are not among [`SERVICES`].
    pub replicas_of: Vec<(&'static str, usize)>,
    /// The manifests it begins with.
    pub catalog: String,
    /// How runs of the workflow go.
    pub script: Script,
    /// More workflows on GitHub.
    pub workflows: Vec<Workflow>,
    /// Whether GitHub names the run it started (github.com since 2026), or not (older GHES).
    pub names_runs: bool,
    /// More environment, for every service.
    pub environment: Vec<(&'static str, String)>,
    /// More environment, for every process of a service.
    pub settings_of: Vec<(&'static str, &'static str, String)>,
    /// More environment, for the first process of a service.
    pub environment_of: Vec<(&'static str, &'static str, String)>,
    /// What the stand-in for GitHub draws its chances from.
    pub seed: u64,
    /// Text added to nats-server's configuration: users and their permissions.
    pub nats_config: Option<String>,
}

impl Options {
    /// One of each, with the basic catalog, and runs that succeed.
    pub fn new(node: &'static str) -> Self {
        Self {
            node,
            replicas: 1,
            replicas_of: Vec::new(),
            catalog: catalog::BASIC.to_owned(),
            script: Script::success(),
            workflows: Vec::new(),
            names_runs: true,
            environment: Vec::new(),
            settings_of: Vec::new(),
            environment_of: Vec::new(),
            seed: 1,
            nats_config: None,
        }
    }

    /// Which services are started, and how many processes of each.
    fn services(&self) -> Vec<(&'static str, usize)> {
        let mut services = SERVICES.map(|service| (service, self.replicas)).to_vec();
        for (service, replicas) in &self.replicas_of {
            match services.iter_mut().find(|(known, _)| known == service) {
                Some(known) => known.1 = *replicas,
                None => services.push((service, *replicas)),
            }
        }
        services
    }
}

/// A running system. Everything it started ends with it.
pub struct System {
    // Dropped in this order: services, then servers.
    /// The services' processes.
    pub processes: Vec<Process>,
    /// The stand-in for GitHub.
    pub github: FakeGithub,
    /// A user with an admin's key.
    pub client: Client,
    /// Which services have died, and how.
    pub crashes: Vec<(String, std::process::ExitStatus)>,
    /// nats-server and redis-server.
    pub servers: TestServers,
}

impl System {
    /// Starts everything, waits until it is ready, and applies the catalog.
    ///
    /// # Panics
    /// With the reason, when something does not start.
    pub async fn start(options: Options) -> Self {
        let config = options.nats_config.as_deref().map(with_passwords);
        let servers = TestServers::with(|nats| nats.extra_config = config.unwrap_or_default()).await;
        if options.nats_config.is_some() {
            provision(servers.nats.url()).await;
        }
        let dir = servers.dir.path().to_owned();
        let (secrets, logs) = (dir.join("secrets"), dir.join("logs"));
        write(&secrets, "for-acme-github-webhook", WEBHOOK_SECRET);
        write(&secrets, "for-acme-github-app-key", fake_github::SAMPLE_APP_PRIVATE_KEY_PEM);
        write(&dir, ADMIN_KEY_FILE, ADMIN_KEY);
        std::fs::create_dir_all(&logs).expect("a directory can be made");
        let deploy = Workflow::new("deploy.yml").inputs(&["tag", "resource"]).script(options.script.clone());
        let repo = options
            .workflows
            .iter()
            .cloned()
            .fold(Repo::new("acme", "shop").workflow(deploy), Repo::workflow);
        let github = FakeGithub::start(fake_github::Options {
            app: Some(App::sample("4711", "acme")),
            repos: vec![repo],
            returns_run_details: options.names_runs,
            seed: options.seed,
            ..fake_github::Options::default()
        })
        .await
        .expect("the fake starts");

        let node = PathBuf::from(options.node);
        let environment = environment(&servers, &secrets, &options);
        let mut processes = Vec::new();
        for (service, replicas) in options.services() {
            for replica in 0..replicas {
                let mut environment = environment.clone();
                environment.extend(settings_of(service));
                let more = options.settings_of.iter().filter(|(of, ..)| *of == service);
                environment.extend(more.map(|(_, name, value)| ((*name).to_owned(), value.clone())));
                if options.nats_config.is_some() {
                    environment.insert("CTRLPLANE_NATS__USER".into(), service.into());
                    environment.insert("CTRLPLANE_NATS__PASSWORD".into(), password_of(service));
                    environment.insert("CTRLPLANE_NATS__PROVISION".into(), "verify".into());
                }
                for (of, name, value) in &options.environment_of {
                    if *of == service && replica == 0 {
                        environment.insert((*name).to_owned(), value.clone());
                    }
                }
                processes.push(Process::start(&node, service, replica, environment, &logs));
            }
        }
        let client = Client::new(String::new(), ADMIN_KEY.to_owned());
        let mut system = Self { processes, github, client, crashes: Vec::new(), servers };
        system.await_ready().await;
        system.client = Client::new(system.url_of("api").await, ADMIN_KEY.to_owned());
        system.client.apply(&catalog::render(&options.catalog, &system.github.base_url())).await;
        system.point_github_at_us().await;
        system
    }

    /// Waits until all are ready; whoever dies on the way is started again.
    async fn await_ready(&mut self) {
        for n in 0..self.processes.len() {
            while !self.processes[n].ready_or_dead().await {
                self.revive_dead().await;
            }
        }
    }

    /// Tells GitHub where its deliveries go, once the source is known there.
    pub async fn point_github_at_us(&self) {
        self.point_github_at(0).await;
    }

    /// Sends GitHub's deliveries to one replica of the ingester, and the client's requests to one of the api.
    pub async fn turn_to(&mut self, replica: usize) {
        self.point_github_at(replica).await;
        self.client = Client::new(self.url_of_replica("api", replica).await, ADMIN_KEY.to_owned());
    }

    async fn point_github_at(&self, replica: usize) {
        let url = format!("{}/webhooks/acme/github", self.url_of_replica("trigger-ingester", replica).await);
        eventually("the trigger source is known to the ingester", Duration::from_secs(20), || async {
            let answer =
                reqwest::Client::new().post(&url).body("{}").send().await.map_err(|e| e.to_string())?;
            // Unsigned: turned away by the source itself, and nothing is stored.
            if answer.status() == 401 { Ok(()) } else { Err(answer.status().to_string()) }
        })
        .await;
        self.github.set_webhook(Some(Webhook::new(&url, WEBHOOK_SECRET)));
    }

    /// Starts whatever has died again, without its crash point, and finds out where it listens now.
    pub async fn revive(&mut self) {
        let revived = self.revive_dead().await;
        if revived.iter().any(|service| service == "api") {
            self.client = Client::new(self.url_of("api").await, ADMIN_KEY.to_owned());
        }
        if revived.iter().any(|service| service == "trigger-ingester") {
            self.point_github_at_us().await;
        }
    }

    async fn revive_dead(&mut self) -> Vec<String> {
        let mut revived = Vec::new();
        for process in &mut self.processes {
            if let Some(status) = process.ended() {
                self.crashes.push((process.service().to_owned(), status));
                process.start_again(|environment| {
                    environment.remove("CTRLPLANE_CRASH_AT");
                });
                process.ready().await;
                revived.push(process.service().to_owned());
            }
        }
        revived
    }

    /// The base URL of the first process of a service.
    ///
    /// # Panics
    /// When there is no such service.
    pub async fn url_of(&self, service: &str) -> String {
        self.url_of_replica(service, 0).await
    }

    async fn url_of_replica(&self, service: &str, replica: usize) -> String {
        let mut of_service = self.processes.iter().filter(|process| process.service() == service);
        format!("http://{}", of_service.nth(replica).expect("a process of the system").address().await)
    }

    /// The process of a service.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn process(&mut self, service: &str, replica: usize) -> &mut Process {
        let mut of_service = self.processes.iter_mut().filter(|process| process.service() == service);
        of_service.nth(replica).expect("a process of the system")
    }

    /// Whether everything that was taken in so far has been worked on.
    ///
    /// # Errors
    /// Who still works on it, or that the bus did not say.
    pub async fn has_heard(&self) -> Result<(), String> {
        let bus = admin(self.servers.nats.url(), bus::Provision::Verify).await;
        for (service, consumer) in bus::topology::consumers() {
            if consumer.stream.name != bus::topology::TRIGGERS.name {
                continue;
            }
            let state = bus.consumer_state(&consumer).await.map_err(|error| error.to_string())?;
            if let Some(state) = state.filter(|state| (state.pending, state.in_hand) != (0, 0)) {
                return Err(format!("{} of {}: {state:?}", consumer.name, service.name()));
            }
        }
        bus.drain().await;
        Ok(())
    }

    /// What every service has logged, for a failed test to show.
    pub fn logs(&self) -> String {
        self.processes
            .iter()
            .map(|process| format!("--- {}\n{}\n", process.service(), process.log()))
            .collect()
    }

    /// What must never be seen outside the files that hold it.
    pub fn secrets(&self) -> [&'static str; 4] {
        [WEBHOOK_SECRET, ADMIN_KEY, "PRIVATE KEY", "ghs_"]
    }
}

/// The bus, as the admin has it.
async fn admin(url: String, provision: bus::Provision) -> bus::Bus {
    let options = bus::ConnectOptions {
        url,
        name: "admin".to_owned(),
        user: Some("admin".to_owned()),
        password: Some(password_of("admin")),
        credentials_file: None,
        provision,
    };
    bus::Bus::connect(&options).await.expect("the admin may connect")
}

/// Creates everything as the admin, so that the services need not and may not.
async fn provision(url: String) {
    let bus = admin(url, bus::Provision::Create).await;
    bus.set_ack_wait(ACK_WAIT);
    bus.ensure(&bus::topology::needs_of(bus::topology::Service::Admin)).await.expect("the admin may create");
    bus.drain().await;
}

/// The configuration of the users, with the passwords that production takes from the environment put in.
fn with_passwords(users: &str) -> String {
    let services = bus::topology::Service::ALL.map(bus::topology::Service::name);
    let passwords = services.into_iter().chain([bus::topology::SUBSCRIBER]).map(|user| {
        let name = user.to_uppercase().replace('-', "_");
        format!("NATS_{name}_PASSWORD: \"{}\"\n", password_of(user))
    });
    passwords.collect::<String>() + users
}

/// The password of a service's user in the tests.
pub(crate) fn password_of(service: &str) -> String {
    format!("password-of-{service}")
}

/// Settings of one service that make the tests quick.
fn settings_of(service: &str) -> Vec<(String, String)> {
    let settings: &[(&str, &str)] = match service {
        "agent-github-actions" | "agent-gitlab-ci" => {
            &[("CTRLPLANE_SEARCH_LAG_SECONDS", "1"), ("CTRLPLANE_RECOVER_SECONDS", "1")]
        }
        "agent-kubernetes-jobs" => &[("CTRLPLANE_SEARCH_LAG_SECONDS", "1")],
        "agent-verification" => &[("CTRLPLANE_NETWORKS", "127.0.0.0/8")],
        "status-syncer" => &[("CTRLPLANE_SWEEP__FAST_SECONDS", "1"), ("CTRLPLANE_SWEEP__SLOW_SECONDS", "2")],
        _ => &[],
    };
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn environment(servers: &TestServers, secrets: &Path, options: &Options) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("CTRLPLANE_NATS__URL", servers.nats.url()),
        ("CTRLPLANE_REDIS__URL", servers.redis.url()),
        ("CTRLPLANE_HTTP__BIND", "127.0.0.1:0".to_owned()),
        ("CTRLPLANE_LOG__FORMAT", "json".to_owned()),
        ("CTRLPLANE_LOG__FILTER", std::env::var("CTRLPLANE_TEST_LOG").unwrap_or_else(|_| "info".to_owned())),
        ("CTRLPLANE_SECRETS__DIR", secrets.display().to_string()),
        ("CTRLPLANE_AUTH__BOOTSTRAP_KEY_FILE", servers.dir.path().join(ADMIN_KEY_FILE).display().to_string()),
        ("CTRLPLANE_NATS__ACK_WAIT_SECONDS", ACK_WAIT.as_secs().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    environment.extend(options.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    environment
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::create_dir_all(dir).expect("a directory can be made");
    std::fs::write(dir.join(name), text).expect("a file can be written");
}
