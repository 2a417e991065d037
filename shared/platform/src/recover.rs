//! What a platform that keeps a log of its webhook deliveries can be asked: what it tried to deliver, and to try again. When to
//! ask, and what counts as missing, is the runner's business ([`crate::recovery`]).

use crate::platform::CallError;
use domain::Timestamp;
use domain::token::Slug;
use domain::webhook::{Attempt, Hook};
use reqwest::Url;
use serde_json::{Map, Value};
use std::time::Duration;

/// A platform's log of webhook deliveries.
///
/// All calls are made by one replica at a time, every few minutes, and may be repeated: a delivery that comes twice is
/// recognised by its delivery id when it comes in.
#[async_trait::async_trait]
pub trait Recover: Send + Sync {
    /// The webhook that tells of the jobs of an agent with this config (not rendered: an agent's own layer); `None` where
    /// the config does not say enough, or the platform keeps no log for it. Calls nobody.
    ///
    /// # Errors
    /// [`CallError::Invalid`] when the config does not fit.
    fn hook(&self, config: &Map<String, Value>) -> Result<Option<Hook>, CallError>;

    /// How long the platform keeps a delivery to be sent again.
    fn kept_for(&self) -> Duration;

    /// How many deliveries may be asked for at one look. Looks are half a minute apart at least while something is missing.
    fn redeliveries_max(&self) -> usize {
        50
    }

    /// A page of the attempts that were made at or after `since`, of all events, accepted or not; newest first as a rule.
    /// The first page without a name, the others by the name the page before gave.
    ///
    /// # Errors
    /// [`CallError::Unauthorized`] and [`CallError::Invalid`] are told to people and tried again only after a long pause.
    async fn attempts(
        &self,
        at: &HookAt<'_>,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<AttemptsPage, CallError>;

    /// Asks the platform to send the event of this attempt (by [`Attempt::id`]) once more.
    ///
    /// # Errors
    /// As [`Recover::attempts`].
    async fn redeliver(&self, at: &HookAt<'_>, attempt: &str) -> Result<Redelivered, CallError>;
}

/// A webhook, and the way to its platform.
#[derive(Debug, Clone, Copy)]
pub struct HookAt<'a> {
    /// The webhook.
    pub hook: &'a Hook,
    /// The tenant whose agent's credentials are used: ours is the webhook that leads to `/webhooks/<workspace>/…`.
    pub workspace: &'a Slug,
    /// The agent's config.
    pub config: &'a Map<String, Value>,
}

/// A part of a platform's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptsPage {
    /// What it holds.
    pub attempts: Vec<Attempt>,
    /// The name of the next page; `None`: there are no more that are new enough.
    pub next: Option<String>,
}

/// The answer to a wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivered {
    /// The platform will.
    Asked,
    /// It does not keep that delivery any more, or does not send it again.
    NotKept,
}

/// Whether a webhook's URL leads to a source of the workspace: `…/webhooks/<workspace>/<source>`.
pub fn leads_to_us(url: &str, workspace: &Slug) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let segments: Vec<&str> =
        url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).collect();
    matches!(segments.as_slice(), [.., "webhooks", of, _source] if *of == workspace.as_str())
}
