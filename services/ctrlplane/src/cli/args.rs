//! What may be asked of a running system. It does nothing itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use domain::Timestamp;
use domain::token::Slug;

use super::access_args::{AuditArgs, KeysCommand};
use super::agents::AgentsArgs;
use super::completion::CompletionArgs;
use super::config::ConfigCommand;
use super::diff::DiffArgs;
use super::duration;
use super::open::OpenArgs;
use super::output::Format;
use super::watch::WatchArgs;
use super::workflow_args::WorkflowCommand;

/// What the exit codes of commands that call the API mean.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a rollout or a run failed, 4 a rollout is blocked, or time is over \
and it is not done, 5 the API cannot be reached, 6 (diff) something would change.";

/// What the exit codes of `ctrlplane doctor` mean.
const DOCTOR_CODES: &str = "Exit codes: 0 nothing is broken (there may be warnings), 1 something is, 2 wrong usage, 5 the API cannot be reached.";

/// Commands that call the API.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the catalog what files say
    #[command(after_help = EXIT_CODES)]
    Apply(ApplyArgs),
    /// Show what `apply` would change, line by line, with names instead of ids; writes nothing
    #[command(after_help = EXIT_CODES)]
    Diff(DiffArgs),
    /// Remove what files declare, or one thing by kind and name
    Delete(DeleteArgs),
    /// List things of a kind: deployments, environments, policies, versions, targets, jobs, …
    Get(GetArgs),
    /// Show one thing with everything around it
    Describe(DescribeArgs),
    /// List jobs, or follow them live
    Jobs(JobsArgs),
    /// Follow all jobs live, or one version until it is everywhere, failed, or blocked
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArgs),
    /// Show one job with its history and links
    Job(JobArgs),
    /// Wish that a job ends
    Cancel(WishArgs),
    /// Wish that a job that ended badly runs again
    Retry(WishArgs),
    /// Open the page of a job on its platform in a browser; without a screen, print its address
    Open(OpenArgs),
    /// The same for the job's logs
    Logs(OpenArgs),
    /// Say yes to a version in an environment
    Approve(VersionThereArgs),
    /// Say no to a version: a veto in an environment, or everywhere
    Reject(VetoArgs),
    /// Nothing new starts, everywhere or somewhere, until a time or until `thaw`
    Freeze(FreezeArgs),
    /// End a freeze
    Thaw(ThawArgs),
    /// One rule of a policy does not count for a version, everywhere or somewhere
    Skip(SkipArgs),
    /// Only this version may go there, everywhere or somewhere
    Pin(PinArgs),
    /// End a pin
    Unpin(UnpinArgs),
    /// Bring what is desired once more
    #[command(disable_version_flag = true)]
    Redeploy(RedeployArgs),
    /// Pause the gradual rollout of a version in an environment, or let it go on
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Create or reject versions
    #[command(subcommand)]
    Version(VersionCommand),
    /// Run workflows, and look at their runs
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Tell why a release target is as it is: every rule's verdict, and when to look again
    Explain(ExplainArgs),
    /// Try policies before they count
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// List job agents: health, what they run, what waits, calls left, what webhooks missed
    Agents(AgentsArgs),
    /// Look at everything a person would check when something does not move, and say what to do
    #[command(after_help = DOCTOR_CODES)]
    Doctor(DoctorArgs),
    /// Look after the views in Redis
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// Look after messages nobody could handle
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Tell who did what, the newest first
    Audit(AuditArgs),
    /// Look after the systems this command line knows: where each is, and where its key comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what a shell needs to complete this command line
    Completion(CompletionArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum VersionCommand {
    /// Create a version of a deployment
    #[command(after_help = EXIT_CODES)]
    Create(CreateArgs),
    /// Reject a version everywhere: what runs it goes back
    Reject(RejectArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// No further target starts
    Pause(VersionThereArgs),
    /// It goes on; failures before this count no more
    Resume(VersionThereArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Tell what proposed policies would have stopped or delayed of what happened; changes nothing
    #[command(after_help = EXIT_CODES)]
    Backtest(BacktestArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionsCommand {
    /// Fill Redis again from the job facts on the bus, beside the live views
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List messages nobody could handle
    List(DeadListArgs),
    /// Send one back to where it came from
    Redrive(RedriveArgs),
}

/// Where the API is and who we are to it. Environment: CTRLPLANE_URL, CTRLPLANE_API_KEY, CTRLPLANE_WORKSPACE.
/// What is given by neither comes from the current context of ~/.config/ctrlplane/config.yaml, then from the
/// `ctrlplane dev` that keeps its data in ./.ctrlplane.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct ClientArgs {
    /// Where the API is [env: CTRLPLANE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The API key; others on this machine may see it here, a file is better [env: CTRLPLANE_API_KEY]
    #[arg(long, conflicts_with = "key_file")]
    pub(crate) key: Option<String>,
    /// A file that holds the API key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The context of ~/.config/ctrlplane/config.yaml to use instead of the current one
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The workspace; needed only where the key sees several [env: CTRLPLANE_WORKSPACE]
    #[arg(long, short)]
    pub(crate) workspace: Option<Slug>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A file, a directory (*.yaml, *.yml, *.json in it and below), or - for stdin; may be given several times
    #[arg(long = "filename", short, value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write nothing: show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show what changed, line by line
    #[arg(long)]
    pub(crate) diff: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Everything these files declare; the last first
    #[arg(long = "filename", short, value_name = "FILE", conflicts_with_all = ["kind", "name"])]
    pub(crate) files: Vec<PathBuf>,
    /// A kind, as in `ctrlplane delete policy NAME`; or `policy/NAME`, as -o name prints it
    #[arg(required_unless_present = "files")]
    pub(crate) kind: Option<String>,
    /// A name or id; a version is DEPLOYMENT:TAG
    pub(crate) name: Option<String>,
    /// With what belongs to it: a deployment's versions, a version's approvals
    #[arg(long)]
    pub(crate) cascade: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A kind: workspaces, systems, environments, resources, job-agents, deployments, policies, trigger-sources,
    /// triggers, versions, approvals, freezes, skips, pins, redeploys, rollout-controls, variable-sets,
    /// relationship-rules, resource-providers, workflows, workflow-runs, targets, jobs; or `policy/NAME`, as -o name prints it
    pub(crate) kind: String,
    /// A name or id; a version is DEPLOYMENT:TAG
    pub(crate) name: Option<String>,
    /// Only those this CEL expression is true of, as in `resource.type == "cluster"`; of targets, over `releaseTarget`
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cel: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// A kind, as for `get`; or `policy/NAME`, as -o name prints it
    pub(crate) kind: String,
    /// A name or id; a version is DEPLOYMENT:TAG
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Default, Args)]
pub(crate) struct JobsArgs {
    /// Follow live: one line per change, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only these statuses, separated by commas, as in in_progress,failure
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only jobs of this deployment
    #[arg(long)]
    pub(crate) deployment: Option<String>,
    /// Only jobs of this environment
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only jobs of this platform, as in github-app
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// How many, the newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// A job's id, or the first characters of one
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WishArgs {
    /// A job's id, or the first characters of one
    pub(crate) job: String,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A version in an environment, and why.
#[derive(Debug, Args)]
pub(crate) struct VersionThereArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// A version's tag
    pub(crate) tag: String,
    /// An environment's name
    pub(crate) environment: String,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VetoArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// A version's tag
    pub(crate) tag: String,
    /// Only in this environment; without one, what runs the version goes back everywhere
    pub(crate) environment: Option<String>,
    /// Why; needed where no environment is given
    #[arg(long, required_unless_present = "environment")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SkipArgs {
    /// The rule, as policies name it: anyApproval, deploymentWindow, …
    pub(crate) rule: String,
    /// A deployment's name
    pub(crate) deployment: String,
    /// A version's tag
    pub(crate) tag: String,
    /// The policy; needed where several have such a rule there
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// Which of the policy's rules it is, counted from 0; needed where it has several of that name
    #[arg(long, value_name = "NUMBER")]
    pub(crate) index: Option<u32>,
    /// Only in this environment
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only on this resource
    #[arg(long)]
    pub(crate) resource: Option<String>,
    #[command(flatten)]
    pub(crate) end: EndArgs,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// A version's tag
    pub(crate) tag: String,
    /// Only in this environment
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// Only on this resource
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UnpinArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// The environment it is pinned in
    #[arg(long)]
    pub(crate) environment: Option<String>,
    /// The resource it is pinned on
    #[arg(long)]
    pub(crate) resource: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RedeployArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// An environment's name
    pub(crate) environment: String,
    /// A resource's identifier; without one, every target of the deployment in the environment
    pub(crate) resource: Option<String>,
    /// A version's tag: one that a rollback holds back may be tried again [default: what is desired]
    #[arg(long, value_name = "TAG")]
    pub(crate) version: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// When something ends by itself.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// Until when, as in 2026-01-02T08:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "length")]
    pub(crate) until: Option<Timestamp>,
    /// For how long, as in 30m, 2h or 3d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
}

impl EndArgs {
    /// For how long, as the API is told.
    pub(crate) fn for_seconds(&self) -> Option<u64> {
        self.length.map(|length| length.as_secs())
    }
}

#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// What it is called; a freeze of that name is replaced [default: who and when]
    pub(crate) name: Option<String>,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
    /// Only where this CEL expression over environment, deployment and resource is true
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "environment")]
    pub(crate) selector: Option<String>,
    /// Only in this environment
    #[arg(long)]
    pub(crate) environment: Option<String>,
    #[command(flatten)]
    pub(crate) end: EndArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ThawArgs {
    /// A freeze's name or id
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// The new version's tag
    pub(crate) tag: String,
    /// What people call it [default: the tag]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Something templates read as version.config.KEY; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) config: Vec<(String, String)>,
    /// A note on it; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// What must run on a resource before it may go there, as in 'db:version.tag == "2.0"'; may be given several times
    #[arg(long, value_name = "DEPLOYMENT:CEL", value_parser = needed)]
    pub(crate) needs: Vec<(String, String)>,
    /// Replace the version of this tag, if there is one
    #[arg(long)]
    pub(crate) upsert: bool,
    /// Follow it until it is everywhere, failed, or blocked
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most, as in 90s, 30m or 2h
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// How long it may be blocked by what only people can change, while waiting
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub(crate) patience: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    /// A deployment's name
    pub(crate) deployment: String,
    /// A version's tag
    pub(crate) tag: String,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// DEPLOYMENT ENVIRONMENT RESOURCE, or a target's key: resource, environment and deployment id, joined by hyphens
    #[arg(required = true, num_args = 1..=3, value_name = "TARGET")]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BacktestArgs {
    /// The proposed policies: a file, a directory, or - for stdin; may be given several times
    #[arg(long = "filename", short, value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How far back, as in 12h or 30d
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration::parse)]
    pub(crate) since: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The bus and the views are reached directly. Environment: the variables of every service, such as
/// CTRLPLANE_NATS__URL and CTRLPLANE_REDIS__URL; then the `ctrlplane dev` that keeps its data in ./.ctrlplane.
#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The bus
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// The views
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Settings file of a service, TOML or YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct DeadListArgs {
    /// Only those after this sequence
    #[arg(long, default_value_t = 0)]
    pub(crate) after: u64,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    /// The sequence `dead list` shows
    pub(crate) sequence: u64,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("write KEY=VALUE".to_owned()),
    }
}

fn needed(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((deployment, selector)) if !deployment.is_empty() && !selector.trim().is_empty() => {
            Ok((deployment.to_owned(), selector.to_owned()))
        }
        Some(_) | None => Err("write DEPLOYMENT:CEL, as in db:true".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("url=a=b"), Ok(("url".to_owned(), "a=b".to_owned())));
        assert!(pair("url").is_err() && pair("=x").is_err());
    }

    #[test]
    fn what_is_needed_is_split_at_its_first_colon() {
        let both = ("db".to_owned(), "version.tag == 'a:b'".to_owned());
        assert_eq!(needed("db:version.tag == 'a:b'"), Ok(both));
        assert!(needed("db").is_err() && needed(":true").is_err() && needed("db: ").is_err());
    }
}
