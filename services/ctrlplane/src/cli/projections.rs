//! `ctrlplane projections rebuild`: the views again from the facts. The only command that reaches the bus and Redis
//! itself: it works while the views are lost.

use anyhow::Context as _;
use bus::Bus;
use service::{CommonSettings, NoSettings, Sources, load};

use super::args::RebuildArgs;
use super::failure::Failure;
use super::output::{self, Format};
use super::progress::Progress;
use super::session::running;

/// The user that may do it, as the topology names it.
const WHO: &str = "admin";

/// Fills the views again.
pub(super) async fn rebuild(args: &RebuildArgs) -> Result<(), Failure> {
    let common = settings(args)?;
    let report = with(&common).await.map_err(|error| {
        let text = telemetry::redact(&format!("{error:#}")).into_owned();
        match error.downcast_ref::<Away>() {
            Some(_) => Failure::Unreachable(text),
            None => Failure::Refused(text),
        }
    })?;
    match args.output {
        Format::Json => output::json(&report),
        Format::Yaml => output::yaml(&report),
        Format::Name => output::line(&report.generation),
        Format::Table => {
            let unreadable = match report.unreadable {
                0 => String::new(),
                some => format!(", {some} of them unreadable and left out"),
            };
            output::line(&format!(
                "the views are rebuilt from {} facts{unreadable}, up to {} of JOBS; generation {} is live, {} old keys are gone",
                report.facts, report.sequence, report.generation, report.removed_keys
            ))
        }
    }
}

/// Somebody was not there; the reason is around it.
#[derive(Debug, thiserror::Error)]
#[error("it does not answer")]
struct Away;

async fn with(common: &CommonSettings) -> anyhow::Result<status_syncer::Report> {
    let views = ::projections::Projections::connect(&common.redis.url).context("redis.url")?;
    views.ping().await.map_err(|error| anyhow::Error::new(Away).context(format!("Redis: {error}")))?;
    let bus = Bus::connect(&service::connect_options(common, WHO)?)
        .await
        .map_err(|error| anyhow::Error::new(Away).context(format!("the bus: {error}")))?;
    let mut shown = Progress::new();
    let report = status_syncer::rebuild(&bus, &views, |progress| {
        shown.at(progress.sequence, progress.of, &format!("of JOBS, {} facts read", progress.facts));
    })
    .await;
    bus.drain().await;
    Ok(report?)
}

/// The common settings; what neither flag, file nor variable says comes from a system that runs from this directory.
fn settings(args: &RebuildArgs) -> Result<CommonSettings, Failure> {
    let usage = |error: service::SettingsError| Failure::Usage(error.to_string());
    let sources = Sources::of_process(args.config.clone()).map_err(usage)?;
    let mut common = load::<NoSettings>(&CommonSettings::default(), &sources).map_err(usage)?.common;
    let defaults = CommonSettings::default();
    if let Some(here) = running()? {
        if common.nats.url == defaults.nats.url && !here.nats_url.is_empty() {
            common.nats.url = here.nats_url;
        }
        if common.redis.url == defaults.redis.url && !here.redis_url.is_empty() {
            common.redis.url = here.redis_url;
        }
    }
    if let Some(nats) = &args.nats {
        common.nats.url.clone_from(nats);
    }
    if let Some(redis) = &args.redis {
        common.redis.url.clone_from(redis);
    }
    Ok(common)
}
