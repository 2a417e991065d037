//! `ctrlplane bench`: our path beside the bare bus, in one run on the same nats-server. It fails when the work was done
//! wrongly, never because it was slow.

mod api;
mod catalog;
pub(crate) mod lists;
mod ours;
mod pace;
mod raw;
mod report;
mod sizes;
pub(crate) mod sse;

use std::time::Duration;

use anyhow::Context as _;
use bus::{Bus, ConnectOptions, Provision};
use fake_github::{Limits, Repo, Script, Workflow};
use service::Supervisor;

use crate::args::BenchArgs;
use crate::dev::Ports;
use crate::stage::Stage;
use crate::world::{Plan, World};
use report::{Report, Side};

/// One message every so often is idle.
const IDLE_EVERY: Duration = Duration::from_millis(50);
const IDLE_SAMPLES: u32 = 200;
/// Enough for caches, connections and tokens to be warm.
const WARM_UP_SAMPLES: u32 = 40;

const OWNER: &str = "acme";
const REPO: &str = "bench";
const WORKFLOW: &str = "deploy.yml";

/// How much of what is measured.
#[derive(Clone, Copy, Debug)]
struct Load {
    every: Duration,
    samples: u32,
}

impl Load {
    fn idle() -> Self {
        Self { every: IDLE_EVERY, samples: IDLE_SAMPLES }
    }

    fn at(rate: u32, seconds: u32) -> Self {
        Self { every: Duration::from_secs(1) / rate, samples: rate.saturating_mul(seconds).max(1) }
    }
}

/// Measures and reports.
pub(crate) async fn run(args: &BenchArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let tell = |what: &str| eprintln!("bench: {what}");
    tell("starting NATS, Redis, all services and a pretended GitHub");
    let world = build(args, &supervisor, &stage).await?;
    let bus = connect(&world.dev.servers.nats_url).await?;
    let loaded = Load::at(args.rate, args.seconds);
    let lanes = catalog::lanes_for(loaded.samples);
    tell(&format!("applying a catalog of {lanes} lanes and {} targets", args.targets));
    catalog::apply(&world, lanes, args.targets).await?;

    let mut ours = ours::Ours::new(&world, lanes);
    tell("warming up");
    let warm_up = Load { every: Duration::from_millis(20), samples: WARM_UP_SAMPLES };
    ours.latency(warm_up).await.context("warming up")?;
    let sizes = sizes::of(&bus).await?;
    let raw = raw::Raw::start(&bus, sizes, &supervisor).await?;
    raw.latency(warm_up).await.context("warming up the bare bus")?;

    tell("idle: one webhook every 50 ms");
    let idle = (raw.latency(Load::idle()).await?, ours.latency(Load::idle()).await?);
    tell(&format!("idle: bare {:?}, ours {:?}", idle.0, idle.1));
    tell(&format!("under load: {} webhooks a second for {} s", args.rate, args.seconds));
    let under_load = (raw.latency(loaded).await?, ours.latency(loaded).await?);
    tell(&format!("under load: bare {:?}, ours {:?}", under_load.0, under_load.1));
    tell(&format!("a burst of {} targets", args.targets));
    let per_second = (raw.burst(args.targets).await?, ours.burst(args.targets, &supervisor).await?);

    let work = ours.check(&supervisor).await?;
    let report = Report::new(
        Side { idle_ms: idle.0, loaded_ms: under_load.0, per_second: per_second.0 },
        Side { idle_ms: idle.1, loaded_ms: under_load.1, per_second: per_second.1 },
        sizes,
        work,
    );
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    raw.remove().await;
    bus.drain().await;
    report.verdict()
}

async fn build(args: &BenchArgs, supervisor: &Supervisor, stage: &Stage) -> anyhow::Result<World> {
    let workflow = Workflow::new(WORKFLOW).inputs(&["resource", "version"]).script(Script::success());
    let github = fake_github::Options {
        repos: vec![Repo::new(OWNER, REPO).workflow(workflow)],
        limits: Limits::default(),
        ..fake_github::Options::default()
    };
    let plan = Plan {
        data: None,
        servers: &args.servers,
        ports: Ports::Free,
        github,
        run_events: &["workflow_run"],
        environment: Vec::new(),
    };
    World::build(plan, supervisor, stage).await
}

async fn connect(nats_url: &str) -> anyhow::Result<Bus> {
    let options = ConnectOptions {
        url: nats_url.to_owned(),
        name: "bench".to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision: Provision::Create,
    };
    Bus::connect(&options).await.context("connecting to the bus")
}
