//! The fake as a process, for demos by hand: `fake-kubernetes --token secret`.

use anyhow::Context as _;
use clap::Parser;
use fake_kubernetes::{Chaos, Ending, FakeKubernetes, Options, Script, User};
use std::net::SocketAddr;
use std::time::Duration;

/// A stateful stand-in for a Kubernetes API server with a Job controller.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Address to listen on, over plain http.
    #[arg(long, default_value = "127.0.0.1:8098")]
    bind: SocketAddr,
    /// A namespace there is; may be repeated.
    #[arg(long = "namespace", default_value = "ci")]
    namespaces: Vec<String>,
    /// A bearer token that may do everything; may be repeated.
    #[arg(long = "token")]
    tokens: Vec<String>,
    /// Milliseconds until a pod runs.
    #[arg(long, default_value_t = 200)]
    start_ms: u64,
    /// Milliseconds a pod runs.
    #[arg(long, default_value_t = 1000)]
    run_ms: u64,
    /// The exit code of the pods.
    #[arg(long, default_value_t = 0)]
    exit_code: i32,
    /// Seed of the misbehaviour.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Chance, 0.0 to 1.0, that anything goes wrong: a call limited, broken or its answer lost, a watch cut or too old.
    #[arg(long, default_value_t = 0.0)]
    chaos: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let ending = if args.exit_code == 0 { Ending::Well } else { Ending::Exit(args.exit_code) };
    let chance = args.chaos;
    let fake = FakeKubernetes::start(Options {
        bind: args.bind,
        namespaces: args.namespaces,
        users: args.tokens.iter().map(|token| User::admin(token)).collect(),
        script: Script::Plays {
            starts_after: Duration::from_millis(args.start_ms),
            runs_for: Duration::from_millis(args.run_ms),
            ending,
        },
        chaos: Chaos {
            seed: args.seed,
            limited: chance,
            broken: chance,
            lost: chance,
            cut: chance,
            expired: chance,
        },
    })
    .await
    .context("cannot listen")?;
    println!("{}", fake.base_url());
    tokio::signal::ctrl_c().await.context("cannot wait for a signal")
}
