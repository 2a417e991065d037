//! The command line: what may be asked for. It does nothing itself.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use service::LogFormat;

use crate::cli;

/// Decides what, where and when; lets the CI/CD tools you have do it.
#[derive(Debug, Parser)]
#[command(name = "ctrlplane", version, propagate_version = true, after_help = cli::EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: NATS, Redis and all services
    Dev(DevArgs),
    /// Run everything with a pretended GitHub, GitLab, Kubernetes and Argo, and watch a story: deploy, approve, fail, cancel
    Demo(DemoArgs),
    /// Measure against the bare bus: latency from webhook to platform call, and jobs per second
    Bench(BenchArgs),
    /// Run one service as its own process
    #[command(subcommand)]
    Serve(ServeCommand),
    /// Create all streams, buckets and consumers on a NATS server, as its administrator
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Setup(Passed),
    #[command(flatten)]
    Client(Box<cli::Command>),
}

/// The services, each with its own options.
#[derive(Debug, Subcommand)]
pub(crate) enum ServeCommand {
    /// Takes webhooks and CloudEvents in
    #[command(disable_help_flag = true, disable_version_flag = true)]
    TriggerIngester(Passed),
    /// Decides which version each release target should run
    #[command(disable_help_flag = true, disable_version_flag = true)]
    PolicyEvaluator(Passed),
    /// Gives jobs to agents
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Dispatcher(Passed),
    /// Runs jobs as Argo Workflows
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentArgoWorkflows(Passed),
    /// Runs jobs on GitHub Actions
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentGithubActions(Passed),
    /// Keeps the queues of jobs that any program may pull
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentHttpPull(Passed),
    /// Runs jobs on GitLab CI/CD
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentGitlabCi(Passed),
    /// Runs jobs as Kubernetes Jobs
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentKubernetesJobs(Passed),
    /// Measures whether what jobs brought works
    #[command(disable_help_flag = true, disable_version_flag = true)]
    AgentVerification(Passed),
    /// Keeps the views, and looks after jobs nobody hears of
    #[command(disable_help_flag = true, disable_version_flag = true)]
    StatusSyncer(Passed),
    /// Serves people and their tools
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Api(Passed),
}

/// Handed on as it is; `--help` shows what there is.
#[derive(Debug, Args)]
pub(crate) struct Passed {
    /// Options of the service
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    pub(crate) options: Vec<OsString>,
}

/// What the log shows. It goes to stderr.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Log level and exceptions, as in info,bus=debug
    #[arg(long = "log", value_name = "FILTER", env = "CTRLPLANE_LOG__FILTER", default_value = "warn")]
    pub(crate) filter: String,
    /// text (for people) or json (one object per line)
    #[arg(long = "log-format", value_name = "FORMAT", env = "CTRLPLANE_LOG__FORMAT", default_value = "text", value_parser = log_format)]
    pub(crate) format: LogFormat,
}

/// Where the two servers are, if they are not to be started.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerArgs {
    /// Use this NATS server instead of starting one
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Use this Redis server instead of starting one
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Directory for all data, kept over restarts
    #[arg(long, value_name = "DIR", default_value = ".ctrlplane")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    /// Port of the API [default: 8080, or the next free one]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Port for webhooks [default: 8081, or the next free one]
    #[arg(long)]
    pub(crate) webhook_port: Option<u16>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End when the story ends: 0 if it went as it should
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one JSON object as the last line of stdout; the story goes to stderr
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the data in this directory [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Let the pretended platforms misbehave by this seed: webhooks lost, repeated, late; calls that fail
    #[arg(long, value_name = "SEED")]
    pub(crate) chaos: Option<u64>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// The cluster that runs the demo's Kubernetes Jobs.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Run the Kubernetes Jobs on a real cluster, by this kubeconfig [default: a pretended one]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long = "kube-context", value_name = "NAME", requires = "kubeconfig")]
    pub(crate) context: Option<String>,
    /// Namespace of the cluster
    #[arg(long = "kube-namespace", value_name = "NAME", default_value = "default", requires = "kubeconfig")]
    pub(crate) namespace: String,
    /// Image with a shell, which the Jobs run
    #[arg(
        long = "kube-image",
        value_name = "IMAGE",
        default_value = "busybox:stable",
        requires = "kubeconfig"
    )]
    pub(crate) image: String,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) other: Option<BenchCommand>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// How long each run under load takes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Release targets of the burst
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) targets: u32,
    /// Webhooks per second under load
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Many clients of live events beside as many bare subscribers of the bus: what comes, how late, and the api's memory
    Sse(SseArgs),
    /// Lists of many jobs beside as large answers over the bare bus: how long each takes
    Lists(ListsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListsArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// How many jobs
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub(crate) jobs: u32,
    /// How often each list is asked for
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) samples: u32,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SseArgs {
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// How many clients
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Events per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// For how long
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_a_service_is_its_own() {
        let line = ["ctrlplane", "serve", "dispatcher", "--config", "x.toml", "--help"];
        let cli = Cli::try_parse_from(line).expect("parsed");
        let Command::Serve(ServeCommand::Dispatcher(passed)) = cli.command else { panic!("{cli:?}") };
        assert_eq!(passed.options, ["--config", "x.toml", "--help"]);
    }

    #[test]
    fn the_demo_can_be_asked_for_once_with_json() {
        let cli = Cli::try_parse_from(["ctrlplane", "demo", "--once", "--json"]).expect("parsed");
        let Command::Demo(args) = cli.command else { panic!("{cli:?}") };
        assert!(args.once && args.json && args.data.is_none());
        assert!(args.chaos.is_none() && args.cluster.kubeconfig.is_none());
    }

    #[test]
    fn a_cluster_of_the_demo_is_named_by_its_kubeconfig() {
        let demo = |more: &[&str]| {
            let Command::Demo(args) = Cli::try_parse_from(["ctrlplane", "demo"].iter().chain(more))?.command
            else {
                panic!("another command")
            };
            Ok::<ClusterArgs, clap::Error>(args.cluster)
        };
        let given = demo(&["--kubeconfig", "k", "--kube-context", "eu"]).expect("parsed");
        assert_eq!((given.context.as_deref(), given.namespace.as_str()), (Some("eu"), "default"));
        demo(&["--kube-context", "eu"]).expect_err("a context of no kubeconfig");
    }
}
