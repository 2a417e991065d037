//! The fake as a process, for demos by hand: `fake-github --repo acme/shop --pat secret`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use fake_github::{
    App, Conclusion, Ending, FakeGithub, Installation, Limits, Options, Plan, Repo, Script, Webhook, Workflow,
};

/// A stateful stand-in for GitHub's REST API and webhooks.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8099")]
    bind: SocketAddr,
    /// Repository `owner/name`; may be repeated.
    #[arg(long = "repo", default_value = "acme/shop")]
    repos: Vec<String>,
    /// Workflow file in every repository; may be repeated.
    #[arg(long = "workflow", default_value = "deploy.yml")]
    workflows: Vec<String>,
    /// Input that the workflows declare besides `job_id`; may be repeated.
    #[arg(long = "input")]
    inputs: Vec<String>,
    /// Branch or tag that exists; may be repeated.
    #[arg(long = "ref", default_value = "main")]
    refs: Vec<String>,
    /// Personal access token to accept; may be repeated.
    #[arg(long = "pat")]
    pats: Vec<String>,
    /// App id to accept JWTs of, installed on the owner of every repository.
    #[arg(long)]
    app_id: Option<String>,
    /// PEM file with the App's public key; the built-in sample key by default.
    #[arg(long, requires = "app_id")]
    app_public_key: Option<PathBuf>,
    /// Where webhook deliveries go.
    #[arg(long, requires = "webhook_secret")]
    webhook_url: Option<String>,
    #[arg(long)]
    webhook_secret: Option<String>,
    /// Milliseconds a run stays queued.
    #[arg(long, default_value_t = 200)]
    queue_ms: u64,
    /// Milliseconds a run takes.
    #[arg(long, default_value_t = 1000)]
    run_ms: u64,
    /// How runs end, or `hold`.
    #[arg(long, default_value = "success")]
    conclusion: String,
    /// Behave like GHES up to 3.19: dispatches return no run id, 10 inputs at most.
    #[arg(long)]
    ghes: bool,
    /// Enforce github.com's documented rate limits.
    #[arg(long)]
    limits: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let fake = FakeGithub::start(options(&args)?).await?;
    println!("listening on {} (also under {})", fake.base_url(), fake.ghes_base_url());
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    fake.shutdown().await;
    Ok(())
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let ending = match args.conclusion.as_str() {
        "hold" => Ending::Hold,
        word => Ending::Finish(Conclusion::from(word)),
    };
    let plan =
        Plan::new(ending).taking(Duration::from_millis(args.queue_ms), Duration::from_millis(args.run_ms));
    let inputs: Vec<&str> = args.inputs.iter().map(String::as_str).collect();
    let workflow = |file: &String| Workflow::new(file).inputs(&inputs).script(Script::of(plan.clone()));
    let mut repos = Vec::new();
    for name in &args.repos {
        let (owner, name) =
            name.split_once('/').with_context(|| format!("--repo {name} is not owner/name"))?;
        let workflows = args.workflows.iter().map(workflow).collect();
        repos.push(Repo { workflows, refs: args.refs.clone(), ..Repo::new(owner, name) });
    }
    let app = match &args.app_id {
        None => None,
        Some(id) => Some(App {
            id: id.clone(),
            public_key_pem: match &args.app_public_key {
                None => fake_github::SAMPLE_APP_PUBLIC_KEY_PEM.to_owned(),
                Some(path) => {
                    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
                }
            },
            installations: installations(&repos),
        }),
    };
    let webhook = args.webhook_url.as_ref().zip(args.webhook_secret.as_ref());
    Ok(Options {
        bind: args.bind,
        app,
        pats: args.pats.clone(),
        repos,
        webhook: webhook.map(|(url, secret)| Webhook::new(url, secret)),
        returns_run_details: !args.ghes,
        limits: if args.limits { Limits::github() } else { Limits::default() },
        seed: args.seed,
        ..Options::default()
    })
}

/// One per owner.
fn installations(repos: &[Repo]) -> Vec<Installation> {
    let mut owners: Vec<&str> = repos.iter().map(|r| r.owner.as_str()).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.into_iter().zip(52_000_001..).map(|(owner, id)| Installation::of(id, owner)).collect()
}
