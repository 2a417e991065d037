//! What may be asked of workflows.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::{ClientArgs, EXIT_CODES, pair};
use super::duration;

#[derive(Debug, Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Begin a run of a workflow
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// List runs, the newest first
    Runs(RunsArgs),
    /// Show one run with its jobs
    Show(ShowArgs),
    /// Cancel what a run has on its way; the rest of it never starts
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A workflow's name, slug or id
    pub(crate) workflow: String,
    /// An input; one that is no string is written as JSON; may be given several times
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) input: Vec<(String, String)>,
    /// Follow it until it is over; the exit code says how it ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most, as in 90s, 30m or 2h
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only of this workflow: its name, slug or id
    pub(crate) workflow: Option<String>,
    /// Only these statuses, separated by commas, as in in_progress,failure
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A run's id
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// A run's id
    pub(crate) run: String,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
