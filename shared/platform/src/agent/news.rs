//! News from watches: connections the agent keeps open instead of waiting for webhooks. What they tell is judged as webhooks'
//! signals are, so several replicas may watch one place. A watch is for speed: what it misses, the sweep finds.

use super::Agent;
use super::signals::{Judged, Told};
use super::watches::Place;
use crate::platform::{CallError, News, Platform, Signal};
use bus::Failure;
use domain::token::Slug;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many signals of one watch are judged at once, and how many more may wait.
const SIGNALS_AT_ONCE: usize = 16;
/// A signal that cannot be judged now is judged again this often, with these pauses.
const JUDGE_AGAIN: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_REFUSED: Duration = Duration::from_secs(5);
/// A watch that lasted this long was good: the pause after it is the first again.
const LASTED: Duration = Duration::from_secs(30);

impl<P: Platform> Agent<P> {
    /// A command came with this config: from now on news of its place are wanted.
    pub(super) fn wants_news(&self, workspace: &Slug, config: &Map<String, Value>) {
        if let Some(key) = self.platform.watch_of(config) {
            self.watches.want(Place { workspace: workspace.clone(), key }, config);
        }
    }

    /// Keeps every watch that is wanted, until `drain`.
    pub(super) async fn keep_watches(self: Arc<Self>, drain: CancellationToken) {
        let mut keepers = JoinSet::new();
        let mut places = HashMap::new();
        loop {
            tokio::select! {
                () = drain.cancelled() => break,
                place = self.watches.next() => {
                    let keeper = keepers.spawn(Arc::clone(&self).keep(place.clone(), drain.clone()));
                    places.insert(keeper.id(), place);
                }
                Some(ended) = keepers.join_next_with_id() => {
                    let id = match &ended { Ok((id, ())) => *id, Err(error) => error.id() };
                    let place = places.remove(&id);
                    if let (Err(error), Some(place)) = (ended, place) {
                        tracing::error!(watch = place.key.0, "a watch broke: {error}");
                        self.watches.forget(&place);
                    }
                }
            }
        }
        while keepers.join_next().await.is_some() {}
    }

    /// Keeps one watch as long as commands speak of its place.
    async fn keep(self: Arc<Self>, place: Place, drain: CancellationToken) {
        let (platform, watch) = (self.platform.name().to_string(), place.key.0.clone());
        tracing::info!(workspace = %place.workspace, watch, "watches");
        let mut pause = PAUSE_FIRST;
        while let Some(config) = self.watches.config(&place, self.settings.watch_idle) {
            let began = Instant::now();
            let Some(ended) = self.watch_once(&place, &config, &drain).await else { continue };
            metrics::counter!("platform_watches_ended_total", "platform" => platform.clone()).increment(1);
            let why = telemetry::redact(&ended.to_string()).into_owned();
            tracing::warn!(workspace = %place.workspace, watch, "a watch ended, what it misses is found by the sweep: {why}");
            if began.elapsed() >= LASTED {
                pause = PAUSE_FIRST;
            }
            let pause_now = match ended {
                CallError::RateLimited { after, .. } => after.max(pause),
                // A renewed token or a Role may be on its way.
                CallError::Unauthorized(_) | CallError::Invalid(_) => pause.max(PAUSE_REFUSED),
                CallError::Ambiguous(_) | CallError::Transient(_) => pause,
            };
            pause = (pause * 2).min(PAUSE_MAX);
            let go_on = drain.run_until_cancelled(tokio::time::sleep(pause_now)).await;
            if go_on.is_none() {
                return;
            }
        }
        if !drain.is_cancelled() {
            tracing::info!(workspace = %place.workspace, watch, "watches no more: no command spoke of it for long");
        }
    }

    /// Watches until the platform says why not any more; `None` where we ended it.
    async fn watch_once(
        &self,
        place: &Place,
        config: &Map<String, Value>,
        drain: &CancellationToken,
    ) -> Option<CallError> {
        let (mut news, mut told) = News::channel(SIGNALS_AT_ONCE);
        let watching = async {
            let ended = tokio::select! {
                ended = self.platform.watch(config, &mut news) => Some(ended),
                () = drain.cancelled() => None,
                () = self.unwanted(place) => None,
            };
            drop(news);
            ended
        };
        // What was told is judged to its end, also when the watch is over.
        let judging = async {
            let mut judged = FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(signal) = told.next(), if judged.len() < SIGNALS_AT_ONCE => {
                        judged.push(self.news(place, signal));
                    }
                    Some(()) = judged.next() => {}
                    else => break,
                }
            }
        };
        let (ended, ()) = futures::future::join(watching, judging).await;
        if drain.is_cancelled() {
            self.watches.forget(place);
        }
        ended
    }

    /// Ends when no command spoke of the place for long.
    async fn unwanted(&self, place: &Place) {
        loop {
            let until = self.watches.until(place, self.settings.watch_idle);
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Takes in one signal.
    async fn news(&self, place: &Place, signal: Signal) {
        let cause = Some(format!("watch {} {}", place.key.0, signal.run.id));
        let told = Told { workspace: &place.workspace, cause, age: None };
        let mut pauses = JUDGE_AGAIN.into_iter();
        loop {
            let why = match self.signal(&told, signal.clone()).await {
                Ok(Judged::Applied) => return,
                // Others' runs show in the same place, and say so each time they change.
                Ok(Judged::Stranger | Judged::Dropped { why: "unknown_job" | "other_workspace", .. }) => {
                    return;
                }
                Ok(Judged::Dropped { why, detail }) => {
                    tracing::debug!(watch = place.key.0, run = signal.run.id, why, "not applied: {detail}");
                    return;
                }
                Err(Failure::Reject(why)) => why,
                Err(failure @ (Failure::Retry(_) | Failure::Later { .. })) => match pauses.next() {
                    Some(pause) => {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    None => failure.to_string(),
                },
            };
            metrics::counter!("platform_events_dropped_total", "platform" => self.platform.name().to_string(), "why" => "watch").increment(1);
            tracing::warn!(
                watch = place.key.0,
                run = signal.run.id,
                "news could not be judged, the sweep will look: {}",
                telemetry::redact(&why)
            );
            return;
        }
    }
}
