//! How often somebody may ask, and how often guess: each agent's pullers together, and each address that presents wrong keys.

use crate::auth::Puller;
use crate::http::presented;
use crate::refusal::Refusal;
use crate::settings::Settings;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::id::JobAgentId;
use service::rate::{Buckets, Rate};
use service::{address_of, network};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The limits of one replica.
pub(crate) struct Limits {
    requests: Option<Buckets<JobAgentId>>,
    failures: Option<Buckets<IpAddr>>,
    forwarded_hops: usize,
}

impl Limits {
    pub(crate) fn of(settings: &Settings) -> Self {
        let requests = Rate::per_second(settings.requests_per_second, settings.requests_at_once);
        let failures = Rate::per_minute(settings.failures_per_minute, settings.failures_at_once);
        Self {
            requests: Buckets::limiting(requests),
            failures: Buckets::limiting(failures),
            forwarded_hops: usize::try_from(settings.forwarded_hops).unwrap_or(usize::MAX),
        }
    }

    /// Counts a request of a puller that was let in.
    pub(crate) fn request(&self, puller: &Puller) -> Result<(), Refusal> {
        let Some(requests) = &self.requests else { return Ok(()) };
        let verdict = requests.take(&puller.agent, Instant::now());
        match verdict.allowed {
            true => Ok(()),
            false => {
                metrics::counter!("pull_rate_limited_total").increment(1);
                let why = "the pullers of this agent ask more often than they may";
                Err(Refusal::TooMany { why, seconds: verdict.retry_seconds })
            }
        }
    }

    fn exhausted(&self, from: IpAddr) -> Option<Refusal> {
        let verdict = self.failures.as_ref()?.look(&from, Instant::now());
        (!verdict.allowed).then(|| {
            metrics::counter!("pull_failures_limited_total").increment(1);
            let why = "too many wrong keys came from this address";
            Refusal::TooMany { why, seconds: verdict.retry_seconds }
        })
    }

    fn failed(&self, from: IpAddr) {
        if let Some(failures) = &self.failures {
            let _counted = failures.take(&from, Instant::now());
        }
    }
}

/// Turns away an address that guesses, before it can learn whether it was right.
pub(crate) async fn no_guessing(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let from = network(address_of(request.headers(), request.extensions(), limits.forwarded_hops));
    let has_key = presented(request.headers()).is_some();
    if has_key && let Some(refusal) = limits.exhausted(from) {
        return refusal.into_response();
    }
    let response = next.run(request).await;
    if has_key && response.status() == StatusCode::UNAUTHORIZED {
        limits.failed(from);
    }
    response
}
