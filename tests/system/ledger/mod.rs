//! The ledger: many jobs on each platform, whose stand-in misbehaves by a seed, while one replica of its agent after the
//! other is killed and started again. In the end every job is over as its run on the platform is, has exactly one, and is
//! shown everywhere as its history says.
//!
//! `CTRLPLANE_LEDGER_JOBS=1000` for more jobs, `CTRLPLANE_LEDGER_SEED` to play a failure again.

mod argo;
mod books;
mod books_tests;
mod chance;
mod facts;
mod github;
mod gitlab;
mod kubernetes;

use crate::NODE;
use books::{Books, Run};
use bus::{Bus, ConnectOptions, Provision, dead, topology};
use chance::Deed;
use facts::Facts;
use misbehaviour::Dice;
use std::fmt::Write as _;
use std::time::Duration;
use system_tests::{LIMITED, Options, System, eventually};
use tokio::time::Instant;

/// How many jobs, where nobody asks for another number.
const JOBS: usize = 150;
/// One replica of the agent is killed for so many jobs, and at least [`KILLS_MIN`] times.
const JOBS_PER_KILL: usize = 100;
const KILLS_MIN: usize = 4;
/// The platform begins to misbehave once for so many jobs.
const JOBS_PER_FAULT: usize = 8;
/// All jobs are over within this and [`PER_JOB`] for each; a call that got no answer alone takes a quarter of a minute to be cleared up.
const WITHIN: Duration = Duration::from_secs(300);
const PER_JOB: Duration = Duration::from_millis(200);
/// Everything is quiet within this after the last end.
const QUIET_WITHIN: Duration = Duration::from_secs(60);
/// How many disagreements a failure shows.
const SHOWN: usize = 20;

/// How long runs wait for their turn, and run.
const QUEUED: Duration = Duration::from_millis(100);
const RUNS: Duration = Duration::from_millis(400);

/// When the effect of a call comes whose connection was cut: long after, but within the time that an agent gives it.
const LATE: Duration = Duration::from_secs(5);
/// Seconds that an agent gives it, where it has no name of its own to find a run by.
const SEARCH_LAG: u64 = 12;
/// Of so many runs one fails, where a stand-in can be told which.
const ONE_FAILS_OF: usize = 7;

/// Of more jobs than this, a listing takes a stand-in on a busy machine longer than a call may take else.
const MANY_JOBS: usize = 300;
/// Seconds until an agent gives up a call here, and with many jobs.
const CALL_DEADLINE: u64 = 3;
const CALL_DEADLINE_MANY: u64 = 10;

/// A platform's stand-in, as the ledger deals with it.
trait Stand: Sized {
    /// The service that works on it.
    const AGENT: &'static str;

    /// Starts it; it draws its own chances from the seed.
    async fn start(seed: u64) -> Self;

    /// The name of its job agent, and the manifest where the basic catalog does not have it.
    fn job_agent(&self) -> (&'static str, String);

    /// The credentials, as variables of the environment.
    fn secrets(&self) -> Vec<(&'static str, String)>;

    /// The system is there: sends it news, and begins to lose some.
    async fn attach(&self, system: &System);

    /// Some next call, or what is on its way, goes wrong in a way that chance decides.
    fn misbehave(&self, system: &System, dice: &mut Dice);

    /// Every run in its books.
    fn runs(&self, system: &System) -> Vec<Run>;

    /// How many runs were ever started.
    fn started(&self, system: &System) -> usize;

    /// How many calls went wrong.
    fn spoiled(&self, system: &System) -> usize;
}

fn jobs() -> usize {
    match std::env::var("CTRLPLANE_LEDGER_JOBS") {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("CTRLPLANE_LEDGER_JOBS={text}: {error}")),
        Err(_) => JOBS,
    }
}

/// The resources whose runs fail.
fn failing_resources() -> impl Iterator<Item = String> {
    (1..=jobs()).step_by(ONE_FAILS_OF).map(|n| format!("stage-{n}"))
}

/// One deployment, and as many resources as jobs.
fn catalog(jobs: usize, name: &str, job_agent: &str) -> String {
    let agents = format!("jobAgents: [{{ ref: {name} }}]");
    let mut catalog =
        LIMITED.replace("  maxConcurrent: 1\n", "").replace("jobAgents: [{ ref: github }]", &agents);
    for n in 4..=jobs {
        write!(
            catalog,
            "---\nkind: Resource\nmetadata: {{ name: stage-{n}, metadata: {{ stage: staging }} }}\nspec: {{ identifier: stage-{n} }}\n"
        )
        .unwrap();
    }
    catalog + job_agent
}

/// The version that becomes one job on each resource.
const VERSION: &str = "kind: Version\nmetadata: { name: v1 }\nspec: { deployment: web, tag: v1 }\n";

/// So many seconds, in proportion to the deadline of a call.
fn seconds(of_few: u64, jobs: usize) -> String {
    let seconds =
        if jobs > MANY_JOBS { (of_few * CALL_DEADLINE_MANY).div_ceil(CALL_DEADLINE) } else { of_few };
    seconds.to_string()
}

async fn system_of<S: Stand>(stand: &S, seed: u64, jobs: usize) -> System {
    let (name, manifest) = stand.job_agent();
    let agents = system_tests::SERVICES.into_iter().filter(|service| service.starts_with("agent-"));
    let replicas_of = agents.map(|agent| (agent, 0)).chain([(S::AGENT, 2)]).collect();
    let settings = [
        ("status-syncer", "CTRLPLANE_SWEEP__FAST_SECONDS", 3),
        ("status-syncer", "CTRLPLANE_SWEEP__SLOW_SECONDS", 8),
        ("status-syncer", "CTRLPLANE_SWEEP__UNKNOWN_SECONDS", 2),
        (S::AGENT, "CTRLPLANE_CALL_DEADLINE_SECONDS", CALL_DEADLINE),
        (S::AGENT, "CTRLPLANE_SEARCH_LAG_SECONDS", SEARCH_LAG),
    ];
    System::start(Options {
        catalog: catalog(jobs, name, &manifest),
        replicas_of,
        environment: stand.secrets(),
        settings_of: settings
            .map(|(service, setting, of_few)| (service, setting, seconds(of_few, jobs)))
            .into_iter()
            .collect(),
        script: github::script(),
        seed,
        ..Options::new(NODE)
    })
    .await
}

async fn bus_of(system: &System) -> Bus {
    let options = ConnectOptions {
        url: system.servers.nats.url(),
        name: "ledger".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Verify,
    };
    Bus::connect(&options).await.unwrap()
}

/// Plays it all on one platform, and compares the books.
async fn balance<S: Stand>() {
    let (seed, jobs, begun) = (chance::seed(S::AGENT), jobs(), Instant::now());
    let stand = S::start(seed).await;
    let mut system = system_of(&stand, seed, jobs).await;
    stand.attach(&system).await;
    let bus = bus_of(&system).await;
    let facts = Facts::follow(&bus);
    system.client.apply(VERSION).await;

    let mut dice = Dice::new(seed);
    let kills = (jobs / JOBS_PER_KILL).max(KILLS_MIN);
    let give_up = Instant::now() + WITHIN + PER_JOB * u32::try_from(jobs).unwrap();
    for (steps, deed) in chance::deeds(&mut dice, jobs, kills, jobs / JOBS_PER_FAULT) {
        reach(&system, &facts, steps, give_up).await;
        match deed {
            Deed::Kill { replica } => kill::<S>(&mut system, replica).await,
            Deed::Misbehave => stand.misbehave(&system, &mut dice),
        }
    }
    reach(&system, &facts, jobs * 2, give_up).await;
    quiet(&bus).await;

    let runs = stand.runs(&system);
    assert_eq!(stand.started(&system), runs.len(), "runs were started that are not in the books any more");
    let books = Books::read(&bus, &system.servers.redis.url(), facts.histories(), runs).await;
    let wrong = books.disagreements(jobs);
    let some = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "seed {seed}, {} disagreements:\n{some}", wrong.len());
    let dead = dead::list(&bus, 0, SHOWN).await.unwrap();
    assert!(dead.is_empty(), "seed {seed}: {dead:#?}");
    for process in &mut system.processes {
        assert_eq!(process.ended(), None, "{} died by itself:\n{}", process.service(), process.log());
    }
    let spoiled = stand.spoiled(&system);
    assert!(spoiled > 0, "seed {seed}: no call went wrong, so nothing was shown");
    println!(
        "{}: {jobs} jobs, {kills} kills, {spoiled} calls went wrong, {} s",
        S::AGENT,
        begun.elapsed().as_secs()
    );
}

/// Waits until the jobs have made so many steps.
async fn reach(system: &System, facts: &Facts, steps: usize, give_up: Instant) {
    let mut progress = facts.progress.clone();
    let reached = tokio::time::timeout_at(give_up, progress.wait_for(|now| now.steps() >= steps)).await;
    if !reached.is_ok_and(|reached| reached.is_ok()) {
        let open: Vec<String> = facts
            .histories()
            .values()
            .filter(|facts| facts.last().is_some_and(|(_, last)| last.fact.name() != "finished"))
            .take(SHOWN)
            .map(|facts| facts.iter().map(|(_, event)| format!("{} {:?}\n", event.at, event.fact)).collect())
            .collect();
        let troubles: Vec<String> = system
            .logs()
            .lines()
            .filter(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\""))
            .map(str::to_owned)
            .collect();
        let troubles = troubles[troubles.len().saturating_sub(SHOWN)..].join("\n");
        panic!("{:?}, not {steps} steps; open:\n{}\n{troubles}", facts.progress.borrow(), open.join("\n"));
    }
}

/// Kills a replica of the agent, and starts it again. Only one is away at a time.
async fn kill<S: Stand>(system: &mut System, replica: usize) {
    for each in 0..2 {
        system.process(S::AGENT, each).ready().await;
    }
    let process = system.process(S::AGENT, replica);
    process.kill().await;
    process.start_again(|_| {});
}

/// Waits until nobody has anything left to do: a command that is still on its way could start a second run.
async fn quiet(bus: &Bus) {
    eventually("everything is quiet", QUIET_WITHIN, || async {
        for (service, consumer) in topology::consumers() {
            let Some(state) = bus.consumer_state(&consumer).await.map_err(|error| error.to_string())? else {
                continue;
            };
            if (state.pending, state.in_hand) != (0, 0) {
                return Err(format!("{} of {}: {state:?}", consumer.name, service.name()));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_github_balance() {
    balance::<github::Github>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_gitlab_balance() {
    balance::<gitlab::Gitlab>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_kubernetes_balance() {
    balance::<kubernetes::Kubernetes>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_argo_balance() {
    balance::<argo::Argo>().await;
}
