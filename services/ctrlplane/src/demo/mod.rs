//! `ctrlplane demo`: a whole system, a pretended GitHub and an example catalog, and a story that plays on them, told as
//! it happens.

mod narrator;
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
use story::Story;

pub(crate) use summary::duplicates;

/// The catalog of the story.
const CATALOG: &str = include_str!("catalog/shop.yaml");

/// Plays the story, then ends or goes on, as asked.
pub(crate) async fn run(args: &DemoArgs, supervisor: Supervisor, stage: Stage) -> anyhow::Result<()> {
    let voice = if args.json { Voice::Stderr } else { Voice::Stdout };
    let workspace = WORKSPACE.parse()?;
    let names = story::resources().map(|name| (ResourceId::of(&workspace, name), name.to_owned())).collect();
    let narrator = Narrator::new(voice, names);
    let world = build(args, &supervisor, &stage).await?;
    let kept = if args.data.is_some() { Kept::OverRestarts } else { Kept::UntilTheEnd };
    narrator.write(&world.dev.describe(kept));
    narrator.note(&format!("a pretended GitHub is at {}", world.github.base_url()));
    world.client.apply(&world.fill(CATALOG)).await?;
    narrator.note("the catalog is applied: deployment web goes to staging, then to production");

    let told = narrator.clone();
    let jobs = JobWatch::start(world.client.clone(), &supervisor, move |before, job| told.job(before, job));
    let mut story = Story { world: &world, jobs, narrator: narrator.clone(), pushes: Vec::new() };
    let outcome = story.play().await;
    let summary = story.summary(outcome.is_ok());
    match &outcome {
        Ok(()) => {
            narrator.write(&format!("\nThe story went as it should: {}", serde_json::to_string(&summary)?))
        }
        Err(error) => narrator.write(&format!("\nThe story stuck: {error:#}")),
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
    let workflow = Workflow::new(story::WORKFLOW)
        .inputs(&["environment", "resource", "version"])
        .script(story::script());
    let (owner, name) = story::REPO.split_once('/').expect("the story's repository is owner/name");
    let github = fake_github::Options {
        repos: vec![Repo::new(owner, name).workflow(workflow)],
        limits: Limits::github(),
        ..fake_github::Options::default()
    };
    // A demo that ends by itself may run beside anything; one that stays is looked at on the usual ports.
    let ports = if args.once { Ports::Free } else { Ports::Usual { api: None, webhooks: None } };
    let plan = Plan {
        data: args.data.as_deref(),
        servers: &args.servers,
        ports,
        github,
        run_events: &["workflow_run", "workflow_job"],
    };
    World::build(plan, supervisor, stage).await
}
