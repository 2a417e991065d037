//! The API on servers of its own, and the few words the tests are written in.

use std::sync::Arc;
use std::time::Duration;

use api::{Api, Settings, hash_of_key};
use bus::topology::{Permissions, Service as Who, needs_of, permissions_of};
use bus::{Base, Bus, ConnectOptions, Provision, Recorded};
use domain::id::{DeploymentId, EnvironmentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use domain::job::{JobFact, JobRef, JobView};
use domain::subject;
use domain::target::TargetKey;
use domain::token::Slug;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use servers::TestServers;
use service::{CommonSettings, Plan, Secrets, Supervisor, start};

pub(crate) const WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

const API: &str = "api";
const ADMIN: &str = "admin";
const PASSWORD: &str = "test";

/// One catalog that has everything.
pub(crate) const SHOP: &str = include_str!("shop.yaml");

/// The keys: the name is the key.
const KEYS: [(&str, &str, &str); 5] = [
    ("vera", "viewer", ""),
    ("otto", "operator", ""),
    ("anna", "approver", ""),
    ("adam", "admin", ""),
    ("olga", "admin", ":other"),
];

pub(crate) struct World {
    pub(crate) base: String,
    pub(crate) bus: Bus,
    pub(crate) servers: TestServers,
    http: reqwest::Client,
    supervisor: Supervisor,
    settings: Settings,
}

/// Another replica of the API, on the same servers.
pub(crate) struct Replica {
    base: String,
    http: reqwest::Client,
}

impl Replica {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        let request = self.request(Method::GET, path).header("x-api-key", key);
        Answer::of(request.send().await.expect("answered")).await
    }
}

/// An answer: status and JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) json: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::started(|_settings| {}).await
    }

    /// With settings that are not the usual ones.
    pub(crate) async fn started(change: impl FnOnce(&mut Settings)) -> Self {
        let lines = KEYS.map(|(name, role, scope)| format!("{name}:{role}:{}{scope}", hash_of_key(name)));
        Self::begin(Some(lines.join("\n")), change, "").await
    }

    /// On a nats-server with more in its configuration.
    pub(crate) async fn on(nats: &str) -> Self {
        let lines = KEYS.map(|(name, role, scope)| format!("{name}:{role}:{}{scope}", hash_of_key(name)));
        Self::begin(Some(lines.join("\n")), |_settings| {}, nats).await
    }

    pub(crate) async fn with_keys(lines: Option<String>) -> Self {
        Self::begin(lines, |_settings| {}, "").await
    }

    async fn begin(lines: Option<String>, change: impl FnOnce(&mut Settings), nats_config: &str) -> Self {
        // The api may do on the bus what its permissions say, and nothing else.
        let servers =
            TestServers::with(|nats| nats.extra_config = format!("{}{nats_config}\n", users())).await;
        let mut settings = Settings::default();
        if let Some(lines) = lines {
            let path = servers.dir.path().join("keys");
            std::fs::write(&path, lines).expect("written");
            settings.auth.keys_file = Some(path);
        }
        change(&mut settings);
        let bus = connect(&servers).await;
        bus.ensure(&needs_of(Who::Admin)).await.expect("everything is there");
        let supervisor = Supervisor::new("test");
        let base = api(&supervisor, &servers, settings.clone()).await;
        Self { base, bus, servers, http: client(), supervisor, settings }
    }

    /// Another replica, with the same settings.
    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(|_settings| {}).await
    }

    /// Another replica, with other settings.
    pub(crate) async fn replica_with(&self, change: impl FnOnce(&mut Settings)) -> Replica {
        let mut settings = self.settings.clone();
        change(&mut settings);
        let base = api(&self.supervisor, &self.servers, settings).await;
        Replica { base, http: client() }
    }

    /// A world with the shop in it.
    pub(crate) async fn with_shop() -> Self {
        let world = Self::start().await;
        let answer = world.apply("adam", SHOP, false).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        world
    }

    /// Drains, and fails when something failed or is left over.
    pub(crate) async fn end(self) {
        self.supervisor.finish(WITHIN).await.expect("drained");
        self.bus.drain().await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// The API's address, for who speaks HTTP by hand.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) async fn ask(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path).header("x-api-key", key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request.send().await.expect("answered")).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.ask(key, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: Value) -> Answer {
        self.ask(key, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn apply(&self, key: &str, manifests: &str, dry_run: bool) -> Answer {
        let body = json!({ "files": [{ "name": "shop.yaml", "content": manifests }] });
        self.post(key, &format!("/api/v1/apply?dryRun={dry_run}"), body).await
    }

    /// Records the first fact of a job of the shop, and tells its id.
    pub(crate) async fn requested(&self, number: u32) -> JobRef {
        let job = job(number);
        let fact = JobFact::Requested { catalog_revision: 1, grounds: None };
        let recorded =
            self.bus.jobs().record(&job, fact, Base::New, Some("test".into())).await.expect("recorded");
        assert!(matches!(recorded, Recorded::Appended { .. }), "{recorded:?}");
        job
    }

    pub(crate) async fn record(&self, job: &JobRef, fact: JobFact) {
        let recorded = self.bus.jobs().record(job, fact, Base::Look, None).await.expect("recorded");
        assert!(matches!(recorded, Recorded::Appended { .. }), "{recorded:?}");
    }

    pub(crate) async fn view(&self, job: &JobRef) -> JobView {
        let known = self.bus.jobs().load(&job.workspace, job.id).await.expect("loaded").expect("there");
        JobView::of(&known.state, known.sequence)
    }

    /// Publishes the job's status as the syncer does, and tells its sequence in `STATUS`.
    pub(crate) async fn tell(&self, view: &JobView) -> u64 {
        let subject = subject::status(
            &view.workspace,
            view.platform.as_ref(),
            &view.deployment,
            &view.environment,
            view.id,
        );
        self.bus.publish_json(subject, view, None).await.expect("published").sequence
    }
}

/// Starts an API and tells where it is, once it is ready.
async fn api(supervisor: &Supervisor, servers: &TestServers, settings: Settings) -> String {
    let mut common = CommonSettings::listening_on(0);
    common.nats.url = servers.nats.url();
    common.nats.user = Some(API.to_owned());
    common.nats.password = Some(PASSWORD.into());
    common.nats.provision = service::Provision::Verify;
    common.redis.url = servers.redis.url();
    let plan = Plan { settings, common, secrets: Arc::new(Secrets::new(None, [])) };
    let started = start::<Api>(supervisor, plan).await.expect("it starts");
    until("the api is ready", || std::future::ready(started.readiness.is_ready().then_some(()))).await;
    format!("http://{}", started.address.expect("it listens"))
}

/// Follows nobody's redirects: they are what is looked at.
fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client")
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let status = response.status();
        let text = response.text().await.expect("a body");
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, json }
    }

    /// The actions of an apply, in order.
    pub(crate) fn actions(&self) -> Vec<&str> {
        let results = self.json["results"].as_array().unwrap_or_else(|| panic!("no results: {self:?}"));
        results.iter().map(|result| result["action"].as_str().expect("an action")).collect()
    }
}

pub(crate) async fn connect(servers: &TestServers) -> Bus {
    let options = ConnectOptions {
        url: servers.nats.url(),
        name: ADMIN.to_owned(),
        user: Some(ADMIN.to_owned()),
        password: Some(PASSWORD.to_owned()),
        credentials_file: None,
        provision: Provision::Create,
    };
    Bus::connect(&options).await.expect("connected")
}

/// The users of nats-server: the api with its permissions, and one who may do everything.
fn users() -> String {
    let Permissions { publish, subscribe } = permissions_of(Who::Api);
    format!(
        "authorization {{ users = [\n\
         {{ user: {API}, password: {PASSWORD}, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}\n\
         {{ user: {ADMIN}, password: {PASSWORD} }}\n] }}\n"
    )
}

/// Looks until there is something, within a bound.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(WITHIN, found).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) fn acme() -> Slug {
    "acme".parse().expect("a slug")
}

/// A job of the shop's web deployment in staging.
pub(crate) fn job(number: u32) -> JobRef {
    let acme = acme();
    let deployment = DeploymentId::of(&acme, "web");
    let tag = format!("1.0.{number}");
    let release = ReleaseId(derive(&["release", &tag]));
    JobRef {
        workspace: acme.clone(),
        id: JobId::of(release, 1),
        target: TargetKey {
            deployment,
            environment: EnvironmentId::of(&acme, "staging"),
            resource: ResourceId::of(&acme, "cluster-eu"),
        },
        version: VersionId::of(deployment, &tag),
        tag,
        release,
        attempt: 1,
        deployment: "web".parse().expect("a slug"),
        environment: "staging".parse().expect("a slug"),
        purpose: Default::default(),
        content: None,
    }
}
