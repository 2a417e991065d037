//! The command line as a client of the HTTP API: intent in, views out, live jobs. It knows routes and how people like to
//! read answers; it decides nothing.

mod access_args;
mod agents;
mod api;
mod apply;
mod approve;
mod args;
mod audit;
mod backtest;
mod completion;
mod config;
mod dead;
mod delete;
mod describe;
mod diff;
mod doctor;
mod duration;
mod explain;
mod failure;
mod feed;
mod files;
mod freeze;
mod get;
mod job;
mod jobs;
mod keys;
mod names;
mod open;
mod output;
mod pin;
mod place;
mod progress;
mod projections;
mod redeploy;
mod rollout;
mod session;
mod skip;
mod table;
mod told;
mod version;
mod watch;
mod wishes;
mod words;
mod workflow;
mod workflow_args;

use std::process::ExitCode;

use failure::Failure;
use open::Page;
use session::Session;

use access_args::KeysCommand;
pub(crate) use args::{Command, EXIT_CODES};
use args::{DeadCommand, PolicyCommand, ProjectionsCommand, RolloutCommand, VersionCommand};
use workflow_args::WorkflowCommand;

/// Does what was asked and tells how it went by the exit code.
pub(crate) fn run(command: Command) -> ExitCode {
    service::install_crypto();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Refused(format!("the runtime cannot start: {error}")).report(),
    };
    match runtime.block_on(perform(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn perform(command: Command) -> Result<(), Failure> {
    match command {
        Command::Apply(args) => apply::run(&Session::open(&args.client)?, &args).await,
        Command::Diff(args) => diff::run(&Session::open(&args.client)?, args).await,
        Command::Delete(args) => delete::run(&Session::open(&args.client)?, &args).await,
        Command::Get(args) => get::run(&Session::open(&args.client)?, &args).await,
        Command::Describe(args) => describe::run(&Session::open(&args.client)?, &args).await,
        Command::Jobs(args) => jobs::run(&Session::open(&args.client)?, &args).await,
        Command::Job(args) => job::show(&Session::open(&args.client)?, &args).await,
        Command::Cancel(args) => job::wish(&Session::open(&args.client)?, &args, "cancel").await,
        Command::Retry(args) => job::wish(&Session::open(&args.client)?, &args, "retry").await,
        Command::Open(args) => open::run(&Session::open(&args.client)?, &args, Page::Run).await,
        Command::Logs(args) => open::run(&Session::open(&args.client)?, &args, Page::Logs).await,
        Command::Watch(args) => watch::run(&Session::open(&args.client)?, args).await,
        Command::Agents(args) => agents::run(&Session::open(&args.client)?).await,
        Command::Config(command) => config::run(command, session::config_file()),
        Command::Completion(args) => completion::run(&args),
        Command::Approve(args) => approve::approve(&Session::open(&args.client)?, &args).await,
        Command::Reject(args) => approve::reject(&Session::open(&args.client)?, &args).await,
        Command::Freeze(args) => freeze::freeze(&Session::open(&args.client)?, &args).await,
        Command::Thaw(args) => freeze::thaw(&Session::open(&args.client)?, &args).await,
        Command::Skip(args) => skip::run(&Session::open(&args.client)?, &args).await,
        Command::Pin(args) => pin::pin(&Session::open(&args.client)?, &args).await,
        Command::Unpin(args) => pin::unpin(&Session::open(&args.client)?, &args).await,
        Command::Redeploy(args) => redeploy::run(&Session::open(&args.client)?, &args).await,
        Command::Rollout(RolloutCommand::Pause(args)) => {
            redeploy::rollout(&Session::open(&args.client)?, &args, "pause").await
        }
        Command::Rollout(RolloutCommand::Resume(args)) => {
            redeploy::rollout(&Session::open(&args.client)?, &args, "resume").await
        }
        Command::Version(VersionCommand::Create(args)) => {
            version::create(&Session::open(&args.client)?, &args).await
        }
        Command::Version(VersionCommand::Reject(args)) => {
            version::reject(&Session::open(&args.client)?, &args).await
        }
        Command::Workflow(WorkflowCommand::Run(args)) => {
            workflow::run(&Session::open(&args.client)?, &args).await
        }
        Command::Workflow(WorkflowCommand::Runs(args)) => {
            workflow::runs(&Session::open(&args.client)?, &args).await
        }
        Command::Workflow(WorkflowCommand::Show(args)) => {
            workflow::show(&Session::open(&args.client)?, &args).await
        }
        Command::Workflow(WorkflowCommand::Cancel(args)) => {
            workflow::cancel(&Session::open(&args.client)?, &args).await
        }
        Command::Explain(args) => explain::run(&Session::open(&args.client)?, &args).await,
        Command::Policy(PolicyCommand::Backtest(args)) => {
            backtest::run(&Session::open(&args.client)?, &args).await
        }
        Command::Doctor(args) => doctor::run(&Session::open(&args.client)?).await,
        Command::Projections(ProjectionsCommand::Rebuild(args)) => projections::rebuild(&args).await,
        Command::Keys(KeysCommand::List(args)) => keys::list(&Session::open(&args.client)?, &args).await,
        Command::Keys(KeysCommand::Create(args)) => keys::create(&Session::open(&args.client)?, &args).await,
        Command::Keys(KeysCommand::Revoke(args)) => keys::revoke(&Session::open(&args.client)?, &args).await,
        Command::Audit(args) => audit::run(&Session::open(&args.client)?, &args).await,
        Command::Dead(DeadCommand::List(args)) => dead::list(&Session::open(&args.client)?, &args).await,
        Command::Dead(DeadCommand::Redrive(args)) => {
            dead::redrive(&Session::open(&args.client)?, &args).await
        }
    }
}
