//! The fake as a process, for demos by hand: `fake-gitlab --project acme/shop --token secret`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use fake_gitlab::{Ending, FakeGitlab, Hook, Options, Plan, Project, Script, Token};

/// A stateful stand-in for GitLab's pipelines and webhooks.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8098")]
    bind: SocketAddr,
    /// Project `group/name`; may be repeated.
    #[arg(long = "project", default_value = "acme/shop")]
    projects: Vec<String>,
    /// Input that the projects declare; may be repeated.
    #[arg(long = "input")]
    inputs: Vec<String>,
    /// Access token to accept, as a maintainer's; may be repeated.
    #[arg(long = "token")]
    tokens: Vec<String>,
    /// Pipeline trigger token of every project; may be repeated.
    #[arg(long = "trigger-token")]
    trigger_tokens: Vec<String>,
    /// Where webhook deliveries go.
    #[arg(long, requires = "hook_secret")]
    hook_url: Option<String>,
    /// Signs with `whsec_…`; anything else goes as X-Gitlab-Token.
    #[arg(long)]
    hook_secret: Option<String>,
    /// Milliseconds a pipeline stays pending.
    #[arg(long, default_value_t = 200)]
    queue_ms: u64,
    /// Milliseconds a pipeline takes.
    #[arg(long, default_value_t = 1000)]
    run_ms: u64,
    /// How pipelines end, or `hold`.
    #[arg(long, default_value = "success")]
    status: String,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let fake = FakeGitlab::start(options(&Args::parse())).await?;
    println!("listening on {} (also under {})", fake.base_url(), fake.subpath_url());
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    fake.shutdown().await;
    Ok(())
}

fn options(args: &Args) -> Options {
    let ending = match args.status.as_str() {
        "hold" => Ending::Hold,
        word => Ending::Finish(word.to_owned()),
    };
    let plan =
        Plan::new(ending).taking(Duration::from_millis(args.queue_ms), Duration::from_millis(args.run_ms));
    let project = |path: &String| Project {
        inputs: args.inputs.clone(),
        trigger_tokens: args.trigger_tokens.clone(),
        script: Script::of(plan.clone()),
        ..Project::new(path)
    };
    let hook = args.hook_url.as_ref().zip(args.hook_secret.as_ref());
    Options {
        bind: args.bind,
        tokens: args.tokens.iter().map(|token| Token::new(token)).collect(),
        projects: args.projects.iter().map(project).collect(),
        hook: hook.map(|(url, secret)| match secret.starts_with("whsec_") {
            true => Hook::signed(url, secret).and_jobs(),
            false => Hook::with_token(url, secret).and_jobs(),
        }),
        seed: args.seed,
        ..Options::default()
    }
}
