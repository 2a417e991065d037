//! The fake as a process, for demos by hand: `fake-argo --token secret --template deploy`.

use clap::Parser;
use fake_argo::{Ending, FakeArgo, NewsChaos, Options, Plan, Template};
use std::net::SocketAddr;
use std::time::Duration;

/// A stateful stand-in for Argo Server.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:2746")]
    bind: SocketAddr,
    /// Token that may do everything; may be repeated.
    #[arg(long = "token", required = true)]
    tokens: Vec<String>,
    /// Namespace of the templates.
    #[arg(long, default_value = "ci")]
    namespace: String,
    /// Template in the namespace; may be repeated.
    #[arg(long = "template", default_value = "deploy")]
    templates: Vec<String>,
    /// Milliseconds a workflow stays queued.
    #[arg(long, default_value_t = 200)]
    queue_ms: u64,
    /// Milliseconds a workflow runs.
    #[arg(long, default_value_t = 1_000)]
    run_ms: u64,
    /// How workflows end: success, failure, or suspend until they are resumed.
    #[arg(long, default_value = "success", value_parser = ["success", "failure", "suspend"])]
    ending: String,
    /// Chance that a change is never told.
    #[arg(long, default_value_t = 0.0)]
    drop: f64,
    /// Chance that a change is told twice.
    #[arg(long, default_value_t = 0.0)]
    repeat: f64,
    /// Seed of what goes wrong.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let ending = match args.ending.as_str() {
        "failure" => Ending::Fails("exit code 1".to_owned()),
        "suspend" => Ending::Suspends,
        _ => Ending::Succeeds,
    };
    let plan = Plan {
        queued: Duration::from_millis(args.queue_ms),
        runs: Duration::from_millis(args.run_ms),
        ending,
    };
    let templates = args.templates.iter().map(|name| Template::new(&args.namespace, name).plan(plan.clone()));
    let fake = FakeArgo::start(Options {
        bind: args.bind,
        tokens: args.tokens,
        namespaces: vec![args.namespace.clone()],
        templates: templates.collect(),
        chaos: NewsChaos { drop: args.drop, repeat: args.repeat, cut: 0.0 },
        seed: args.seed,
        ..Options::default()
    })
    .await?;
    println!("{}", fake.base_url());
    tokio::signal::ctrl_c().await?;
    fake.shutdown().await;
    Ok(())
}
