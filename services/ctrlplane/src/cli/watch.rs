//! `ctrlplane watch`: everything live, or one version on its way until it is over.

use std::time::Duration;

use clap::Args;

use super::args::{ClientArgs, JobsArgs};
use super::failure::Failure;
use super::session::Session;
use super::words::text_at;
use super::{duration, jobs, rollout};

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// A deployment's name; without one, every job is followed until Ctrl-C
    deployment: Option<String>,
    /// A version's tag [default: the newest]
    tag: Option<String>,
    /// How long to follow a version at most, as in 90s, 30m or 2h
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration::parse)]
    timeout: Duration,
    /// How long it may be blocked by what only people can change
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    patience: Duration,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(super) async fn run(session: &Session, args: WatchArgs) -> Result<(), Failure> {
    let Some(deployment) = &args.deployment else {
        let live = JobsArgs { watch: true, client: args.client, ..JobsArgs::default() };
        return jobs::run(session, &live).await;
    };
    let all = session.all(&["deployments", deployment, "versions"], &[]).await?;
    let version = match &args.tag {
        Some(tag) => all.iter().find(|version| text_at(version, "/tag") == *tag).ok_or_else(|| {
            let there: Vec<String> = all.iter().take(5).map(|version| text_at(version, "/tag")).collect();
            Failure::Refused(format!(
                "{deployment} has no version {tag}; the newest are: {}",
                if there.is_empty() { "none".to_owned() } else { there.join(", ") }
            ))
        })?,
        None => all.first().ok_or_else(|| Failure::Refused(format!("{deployment} has no version yet")))?,
    };
    eprintln!("version/{deployment}:{}", text_at(version, "/tag"));
    rollout::wait(session, version, rollout::Limits { within: args.timeout, blocked: args.patience }).await
}
