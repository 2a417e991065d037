//! Secrets of a job: the call that starts it gets them where they belong, and nothing else ever does.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod scripted;

use bus::topology::{Service, needs_of};
use bus::{Bus, ConnectOptions, Provision};
use domain::command::AgentCommand;
use domain::job::{JobFact, JobStatus, TerminalStatus};
use domain::token::Slug;
use platform::conformance::{Rig as _, Stage};
use platform::{Clock, NoSecrets, SecretSource};
use scripted::{Answers, Echo, Scripted};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::TestServers;
use std::sync::{Arc, Mutex};
use tracing::subscriber::DefaultGuard;

const DB: &str = "pl4nted-db-\"passw0rd\"";
const TOKEN: &str = "pl4nted-t0ken";
const PLACES: &[(&str, &str)] = &[("/inputs/password", "shop-db"), ("/steps/1/a~1b", "token")];

fn config() -> Value {
    json!({ "inputs": { "password": null, "user": "app" }, "steps": [null, { "a/b": null }] })
}

/// Has the two, for whoever asks.
fn vault(_workspace: &Slug, name: &str) -> Result<SecretString, String> {
    match name {
        "shop-db" => Ok(DB.into()),
        "token" => Ok(TOKEN.into()),
        _ => Err("not in the vault".to_owned()),
    }
}

struct World {
    stage: Stage<Scripted>,
    log: Arc<Mutex<Vec<u8>>>,
    _logging: DefaultGuard,
    _servers: TestServers,
}

impl World {
    async fn start(answers: Answers, places: &[(&str, &str)], source: impl SecretSource) -> Self {
        let (log, logging) = logged();
        let servers = TestServers::start().await;
        let options = ConnectOptions {
            url: servers.nats.url(),
            name: "secrets".to_owned(),
            user: None,
            password: None,
            credentials_file: None,
            provision: Provision::Create,
        };
        let bus = Bus::connect(&options).await.unwrap();
        bus.ensure(&needs_of(Service::Admin)).await.unwrap();
        let (clock, hand) = Clock::movable();
        let quoted = json!(DB).to_string();
        let secrets = [DB, quoted.trim_matches('"'), "passw0rd", TOKEN];
        let rig = Scripted::new(clock.clone(), answers).with_config(&config(), places, &secrets);
        let stage = Stage::with_secrets(&bus, rig, clock, hand, Arc::new(source));
        Self { stage, log, _logging: logging, _servers: servers }
    }

    /// Nothing but the calls that start a run has seen a secret.
    async fn holds_no_secret(&self, command: &AgentCommand) {
        self.stage.no_secret_was_recorded().await;
        let known = format!("{:?}", self.stage.known(command).await);
        let log = String::from_utf8(self.log.lock().unwrap().clone()).unwrap();
        assert!(log.contains(&command.job.id.to_string()), "something was logged: {log}");
        let asked = self.stage.rig.asked_with();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == &config()), "{asked:?}");
        for secret in self.stage.rig.secrets() {
            for text in [&known, &log, &serde_json::to_string(command).unwrap()] {
                assert!(!text.contains(&secret), "{text}");
            }
        }
    }

    async fn never_called(&self, command: &AgentCommand, status: JobStatus, said: &[&str]) {
        let settled = self.stage.settle(command).await;
        assert_eq!((settled.retries, settled.put_off.len()), (0, 0), "nobody tries again");
        self.stage.expect(command, status, 0).await;
        let message = self.stage.known(command).await.state.message.unwrap();
        assert!(said.iter().all(|said| message.contains(said)), "{message}");
        assert_eq!(self.stage.facts(command).await, ["requested", "dispatched", "finished"]);
        assert!(self.stage.rig.started_with().is_empty());
        self.holds_no_secret(command).await;
    }
}

fn filled() -> Value {
    json!({ "inputs": { "password": DB, "user": "app" }, "steps": [null, { "a/b": TOKEN }] })
}

#[tokio::test]
async fn the_call_that_starts_a_run_gets_the_secrets_and_nothing_else_does() {
    for answers in [Answers::WithTheRun, Answers::WithNothing] {
        let world = World::start(answers, PLACES, vault).await;
        let command = world.stage.started().await;
        assert_eq!(world.stage.rig.started_with(), [filled()]);
        world.stage.look(&command).await;
        world.stage.cancel(&command).await;
        world.holds_no_secret(&command).await;
    }
}

#[tokio::test]
async fn a_run_is_run_again_with_the_secrets() {
    let world = World::start(Answers::WithTheRun, PLACES, vault).await;
    let command = world.stage.started().await;
    world.stage.record(&command.job, JobFact::ended(TerminalStatus::Failure, None, "")).await;
    let again = world.stage.dispatched_again(&command).await;
    world.stage.settle(&again).await;
    assert_eq!(world.stage.rig.started_with(), [filled(), filled()]);
    world.holds_no_secret(&again).await;
}

#[tokio::test]
async fn after_a_crash_the_next_call_gets_the_secrets_too() {
    let world = World::start(Answers::WithTheRun, PLACES, vault).await;
    let command = world.stage.dispatched().await;
    world.stage.record(&command.job, JobFact::TriggerStarted { fence: 1 }).await;
    world.stage.settle(&command).await;
    assert_eq!(world.stage.rig.started_with(), [filled()]);
    world.holds_no_secret(&command).await;
}

#[tokio::test]
async fn an_answer_that_repeats_a_secret_is_masked_before_anybody_sees_it() {
    for (echo, status, runs) in [
        (Echo::Link, JobStatus::Queued, 1),
        (Echo::Unauthorized, JobStatus::InvalidIntegration, 0),
        (Echo::Invalid, JobStatus::InvalidJobAgent, 0),
        (Echo::RateLimited, JobStatus::Queued, 1),
        (Echo::Transient, JobStatus::Queued, 1),
        (Echo::Ambiguous, JobStatus::Queued, 1),
    ] {
        let world = World::start(Answers::WithTheRun, PLACES, vault).await;
        world.stage.rig.echo(echo);
        let command = world.stage.dispatched().await;
        let settled = world.stage.settle(&command).await;
        world.stage.expect(&command, status, runs).await;
        world.holds_no_secret(&command).await;
        for why in &settled.said {
            assert!(why.contains("***") && !why.contains("pl4nted"), "{echo:?}: {why}");
        }
        let state = world.stage.known(&command).await.state;
        let heard = [state.message, state.links.get("run").cloned(), settled.said.first().cloned()];
        let heard = heard.into_iter().flatten().find(|text| text.contains("what am I to do"));
        let heard = heard.unwrap_or_else(|| panic!("{echo:?}: the rest is still said"));
        assert!(heard.contains(r#""password":"***","user":"app""#), "{echo:?}: {heard}");
    }
}

#[tokio::test]
async fn a_later_look_that_shows_a_secret_is_masked_too() {
    let world = World::start(Answers::WithTheRun, PLACES, vault).await;
    let command = world.stage.started().await;
    world.stage.rig.say(command.job.id, &format!("waits for {TOKEN}"));
    let known = world.stage.look(&command).await;
    let raw = known.state.raw.expect("the words are kept").status;
    assert_eq!(raw, "waits for ***");
    world.holds_no_secret(&command).await;
}

#[tokio::test]
async fn a_secret_that_is_missing_ends_the_job_before_an_intent_is_recorded() {
    let world = World::start(Answers::WithTheRun, &[PLACES[0], ("/steps/0", "lost")], vault).await;
    let command = world.stage.dispatched().await;
    world.never_called(&command, JobStatus::InvalidIntegration, &["lost", "not in the vault"]).await;
}

#[tokio::test]
async fn an_agent_without_secrets_refuses_jobs_that_need_some() {
    let world = World::start(Answers::WithTheRun, PLACES, NoSecrets).await;
    let command = world.stage.dispatched().await;
    world.never_called(&command, JobStatus::InvalidIntegration, &["shop-db", "given no secrets"]).await;
}

#[tokio::test]
async fn a_secret_without_a_place_ends_the_job() {
    for pointer in ["/inputs/missing", "/inputs/user", "/steps/7", "/inputs/password/x", "inputs", ""] {
        let world = World::start(Answers::WithTheRun, &[(pointer, "shop-db")], vault).await;
        let command = world.stage.dispatched().await;
        world.never_called(&command, JobStatus::InvalidJobAgent, &["shop-db", "no place", pointer]).await;
    }
}

/// The source is asked for the workspace of the job, whatever the name says.
#[tokio::test]
async fn a_job_gets_the_secrets_of_its_workspace_only() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let source = {
        let asked = Arc::clone(&asked);
        move |workspace: &Slug, name: &str| {
            asked.lock().unwrap().push((workspace.clone(), name.to_owned()));
            Err("it is another's".to_owned())
        }
    };
    let world = World::start(Answers::WithTheRun, &[("/inputs/password", "globex-token")], source).await;
    let command = world.stage.dispatched().await;
    world.never_called(&command, JobStatus::InvalidIntegration, &["globex-token", "another's"]).await;
    let of_the_job = (command.job.workspace.clone(), "globex-token".to_owned());
    assert_eq!(*asked.lock().unwrap(), [of_the_job]);
}

/// What this thread logs while the guard lives: the tests run each on a thread of its own.
fn logged() -> (Arc<Mutex<Vec<u8>>>, DefaultGuard) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = Writer(Arc::clone(&log));
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
