//! The loop of a verification by itself: a job brings a version to staging, the evaluator asks for its verification, the agent
//! measures a server of the test, and what comes of it lets production go, or brings back what ran before. Two evaluators
//! and two agents do it, under the permissions of production.

use crate::NODE;
use crate::verification::as_evaluator;
use axum::Router;
use axum::http::{StatusCode, Uri};
use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, EnvironmentId, JobId, ResourceId};
use domain::job::JobFact;
use domain::target::TargetKey;
use domain::token::Slug;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use system_tests::{Options, System, eventually, measuring, tell};
use tokio::task::JoinSet;

/// Longer than anything here takes.
const WITHIN: Duration = Duration::from_secs(40);
/// Agents that have nothing to do here.
const IDLE: [&str; 4] =
    ["agent-http-pull", "agent-gitlab-ci", "agent-kubernetes-jobs", "agent-argo-workflows"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_measured_to_be_good_goes_on_and_what_is_bad_makes_way() {
    let measured = Measured::start().await;
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats/users.conf");
    let twice = [("policy-evaluator", 2), ("agent-verification", 2)];
    let mut system = System::start(Options {
        nats_config: Some(std::fs::read_to_string(users).unwrap()),
        catalog: measuring(&measured.url),
        replicas_of: IDLE.map(|agent| (agent, 0)).into_iter().chain(twice).collect(),
        ..Options::new(NODE)
    })
    .await;

    // Until the measurements tell something, production waits.
    tell(&mut system, "push v1\nv1 is successful in staging on stage-1").await;
    measured.asked("v1", 2).await;
    tell(&mut system, WAITS.replace("VERSION", "v1").as_str()).await;
    measured.answers("v1", StatusCode::OK);
    tell(&mut system, "v1 is successful in production on prod-1").await;
    let first = &brought(&system, "v1", "staging").await[0];
    let passed = verified(&system, first, "successful").await;
    assert_eq!(passed["message"], "health: passed; settle: passed", "{passed:#}");
    let in_production = &brought(&system, "v1", "production").await[0];
    assert!(instant(in_production, "createdAt") >= instant(&passed, "completedAt"), "{in_production:#}");
    decided(&system, "staging", "stage-1", |staging| {
        let verification = &staging["verifications"][0];
        (&verification["of"], &verification["job"]) == (&first["id"], &passed["id"])
            && verification["result"] == "passed"
    })
    .await;

    // What is bad is held, what ran before comes back and is measured anew, and production keeps what it has.
    tell(&mut system, "push v2\nv2 is successful in staging on stage-1").await;
    measured.asked("v2", 1).await;
    tell(&mut system, WAITS.replace("VERSION", "v2").as_str()).await;
    measured.answers("v2", StatusCode::SERVICE_UNAVAILABLE);
    tell(&mut system, BROUGHT_BACK).await;
    let bad = &brought(&system, "v2", "staging").await[0];
    let failed = verified(&system, bad, "failure").await;
    let why = failed["message"].as_str().unwrap();
    assert!(why.contains("health: failed (status 503"), "{failed:#}");
    let back = &brought(&system, "v1", "staging").await[1];
    assert!(instant(back, "createdAt") >= instant(&failed, "completedAt"), "{back:#}");
    let again = verified(&system, back, "successful").await;
    assert_ne!(again["id"], passed["id"], "what came back is measured by a verification of its own");
    decided(&system, "staging", "stage-1", |staging| {
        let held = &staging["held"];
        let is_v2 = held[0]["job"] == bad["id"] && held[1].is_null();
        is_v2 && held[0]["reason"].as_str().unwrap().contains(failed["id"].as_str().unwrap())
    })
    .await;

    // The next good one goes all the way; by then production would have had the bad one.
    measured.answers("v3", StatusCode::OK);
    tell(&mut system, "push v3\nv3 is successful in production on prod-1\nno job of v2 in production").await;
    decided(&system, "production", "prod-1", |production| {
        let earlier = production["earlier"].as_array().into_iter().flatten();
        let earlier: Vec<&Value> = earlier.map(|ran| &ran["tag"]).collect();
        production["current"]["tag"] == "v3" && earlier == ["v1"]
    })
    .await;
    assert_eq!(measured.count("v3"), 2, "two good ones are enough, and one agent measures");
    tell(&mut system, "GitHub has 6 runs").await;
    each_success_was_verified_once(&system, 4).await;
    assert!(system.crashes.is_empty(), "{:?}\n{}", system.crashes, system.logs());
    assert!(!system.logs().to_lowercase().contains("permissions violation"), "{}", system.logs());
}

const WAITS: &str = "
VERSION waits in production on prod-1 because \"0 of 1 targets have it\"
no job of VERSION in production
";

const BROUGHT_BACK: &str = "
v2 is held in staging on stage-1 because \"a verification of v2 failed\"
v1 is brought back in staging on stage-1
v2 waits in staging on stage-1 because \"held back here since\"
v2 waits in production on prod-1 because \"0 of 1 targets have it\"
no job of v2 in production
";

/// Whether each of so many jobs that brought something to staging has one verification, which was asked for once, and nothing
/// else has one.
async fn each_success_was_verified_once(system: &System, count: usize) {
    let jobs = system.client.jobs().await.unwrap();
    let (verifying, bringing): (Vec<&Value>, Vec<&Value>) = jobs.iter().partition(|job| is_verification(job));
    let of: BTreeSet<&str> = verifying.iter().map(|job| job["purpose"]["of"].as_str().unwrap()).collect();
    let in_staging = bringing.iter().filter(|job| job["environment"] == "staging");
    let brought: BTreeSet<&str> = in_staging.map(|job| job["id"].as_str().unwrap()).collect();
    assert_eq!(of, brought, "{jobs:#?}");
    assert_eq!((verifying.len(), of.len()), (count, count), "{verifying:#?}");
    let bus = as_evaluator(system).await;
    for job in verifying {
        let id: JobId = job["id"].as_str().unwrap().parse().unwrap();
        let events = bus.jobs().events(&acme(), id).await.unwrap();
        let requested = |fact: &JobFact| matches!(fact, JobFact::Requested { .. });
        assert_eq!(events.iter().filter(|(_, event)| requested(&event.fact)).count(), 1, "{events:#?}");
    }
    bus.drain().await;
}

/// The jobs that bring the version to the environment, oldest first.
async fn brought(system: &System, tag: &str, environment: &str) -> Vec<Value> {
    let mut jobs = system.client.jobs().await.unwrap();
    jobs.retain(|job| job["version"] == tag && job["environment"] == environment && !is_verification(job));
    jobs.sort_by_key(|job| job["attempt"].as_u64());
    jobs
}

/// The only verification of what the job brought, once it has that status.
async fn verified(system: &System, job: &Value, status: &str) -> Value {
    let what = format!("the verification of {} is {status}", job["id"]);
    let verified = eventually(&what, WITHIN, || async {
        let jobs = system.client.jobs().await?;
        let of_it: Vec<Value> =
            jobs.into_iter().filter(|other| other["purpose"]["of"] == job["id"]).collect();
        match of_it.as_slice() {
            [only] if only["status"] == status => Ok(only.clone()),
            all => Err(format!("{all:#?}")),
        }
    });
    verified.await
}

fn is_verification(job: &Value) -> bool {
    job["purpose"]["is"] == "verify"
}

/// Waits for such a decision on the target.
async fn decided(system: &System, environment: &str, resource: &str, such: impl Fn(&Value) -> bool) {
    let target = TargetKey {
        deployment: DeploymentId::of(&acme(), "web"),
        environment: EnvironmentId::of(&acme(), environment),
        resource: ResourceId::of(&acme(), resource),
    };
    let path = format!("/api/v1/workspaces/acme/release-targets/{target}/explain");
    eventually(&format!("what is decided on {resource}"), WITHIN, || async {
        let (status, answer) = system.client.get(&path).await?;
        let is_such = status == 200 && such(&answer["decision"]);
        if is_such { Ok(()) } else { Err(format!("{status}: {answer:#}")) }
    })
    .await;
}

fn instant(job: &Value, field: &str) -> DateTime<Utc> {
    job[field].as_str().unwrap().parse().unwrap()
}

fn acme() -> Slug {
    "acme".parse().unwrap()
}

/// A server that is measured: it answers about each version in staging as it is told, 404 before that, and counts.
struct Measured {
    url: String,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, StatusCode>,
    asked: BTreeMap<String, usize>,
}

impl Measured {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let of_server = Arc::clone(&state);
        let answer = move |uri: Uri| async move {
            let mut state = of_server.lock().unwrap();
            *state.asked.entry(uri.path().to_owned()).or_default() += 1;
            state.answers.get(uri.path()).copied().unwrap_or(StatusCode::NOT_FOUND)
        };
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        Self { url, state, _serving: serving }
    }

    fn answers(&self, tag: &str, status: StatusCode) {
        self.state.lock().unwrap().answers.insert(path(tag), status);
    }

    fn count(&self, tag: &str) -> usize {
        self.state.lock().unwrap().asked.get(&path(tag)).copied().unwrap_or_default()
    }

    /// Waits until it was asked about the version so many times.
    async fn asked(&self, tag: &str, times: usize) {
        eventually(&format!("{tag} is measured"), WITHIN, || async {
            let asked = self.count(tag);
            if asked >= times { Ok(()) } else { Err(format!("asked {asked} times")) }
        })
        .await;
    }
}

fn path(tag: &str) -> String {
    format!("/staging/{tag}")
}
