//! `ctrlplane demo`: a whole system, four platforms that are pretended (but for Kubernetes, if a cluster is given), an example
//! catalog, and a story that plays on them, told as it happens.

mod narrator;
mod platforms;
mod reasons;
mod story;
mod summary;

use domain::id::ResourceId;
use fake_github::{Limits, Repo, Workflow};
use service::Supervisor;

use crate::args::DemoArgs;
use crate::client::JobWatch;
use crate::dev::{Kept, Ports};
use crate::stage::Stage;
use crate::world::{Plan, WORKSPACE, World};
use narrator::{Narrator, Voice};
use platforms::Platforms;
use story::Story;

pub(crate) use summary::duplicates;

/// The catalog of the story.
const CATALOG: &str = include_str!("catalog/shop.yaml");

/// Plays the story, then ends or goes on, as asked.
pub(crate) async fn run(args: &DemoArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let voice = if args.json { Voice::Stderr } else { Voice::Stdout };
    let workspace = WORKSPACE.parse()?;
    let names = story::resources().map(|name| (ResourceId::of(&workspace, &name), name)).collect();
    let narrator = Narrator::new(voice, names);
    let world = build(args, &supervisor, &stage).await?;
    let kept = if args.data.is_some() { Kept::OverRestarts } else { Kept::UntilTheEnd };
    narrator.write(&world.dev.describe(kept));
    let platforms = Platforms::start(&world, &args.cluster, args.chaos, &stage).await?;
    platforms.describe().iter().for_each(|line| narrator.note(line));
    if let Some(seed) = args.chaos {
        narrator.note(&format!("they misbehave, by the seed {seed}"));
    }
    world.client.apply(&platforms.fill(&world.fill(CATALOG))).await?;
    narrator.note("the catalog is applied: deployment web goes to staging, then to production,");
    narrator.note("each with four parts that GitHub, GitLab, Kubernetes and Argo deploy to");

    let told = narrator.clone();
    let jobs = JobWatch::start(world.client.clone(), &supervisor, move |before, job| told.job(before, job));
    let (platforms, pushes) = (&platforms, Vec::new());
    let mut story = Story { world: &world, platforms, jobs, narrator: narrator.clone(), pushes };
    let outcome = story.play().await;
    if let Err(error) = &outcome {
        narrator.write(&format!("\nThe story stuck: {error:#}"));
    }
    let summary = story.summary(outcome.is_ok()).await?;
    if outcome.is_ok() {
        narrator.write(&format!("\nThe story went as it should: {}", serde_json::to_string(&summary)?));
    }
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    if !args.once {
        narrator.write("Everything keeps running; Ctrl-C ends it.");
        supervisor.draining().await;
    }
    outcome.map_err(|error| error.context("the story stuck"))
}

async fn build(args: &DemoArgs, supervisor: &Supervisor, stage: &Stage) -> anyhow::Result<World> {
    let workflow = Workflow::new(story::WORKFLOW).inputs(&platforms::INPUTS).script(story::script());
    let (owner, name) = story::REPO.split_once('/').expect("the story's repository is owner/name");
    let github = fake_github::Options {
        repos: vec![Repo::new(owner, name).workflow(workflow)],
        limits: Limits::github(),
        ..fake_github::Options::default()
    };
    let github = platforms::github_options(args.chaos, github);
    // A demo that ends by itself may run beside anything; one that stays is looked at on the usual ports.
    let ports = if args.once { Ports::Free } else { Ports::Usual { api: None, webhooks: None } };
    let plan = Plan {
        data: args.data.as_deref(),
        servers: &args.servers,
        ports,
        github,
        run_events: &["workflow_run", "workflow_job"],
        environment: platforms::hurried(args.chaos),
    };
    World::build(plan, supervisor, stage).await
}
