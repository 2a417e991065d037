//! GitLab's rate limits per token, in windows of a minute, and the headers that tell of them.
//! Source: docs.gitlab.com "Rate limits" and "User and IP rate limits".

use misbehaviour::Fault;
use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderName, HeaderValue};

/// Which limits are enforced; none by default.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Calls per minute and token; `None` enforces nothing and tells nothing.
    pub per_minute: Option<u32>,
}

/// Counts calls per token.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) limits: Limits,
    windows: HashMap<String, (DateTime<Utc>, u32)>,
}

/// How a call stands to its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    limit: u32,
    used: u32,
    ends: DateTime<Utc>,
}

impl Meter {
    pub(crate) fn of(limits: Limits) -> Self {
        Self { limits, windows: HashMap::new() }
    }

    /// Counts a call; where it stands, and whether it is let in.
    pub(crate) fn enter(&mut self, who: &str, now: DateTime<Utc>) -> Option<(Standing, bool)> {
        let limit = self.limits.per_minute?;
        let window = self.windows.entry(who.to_owned()).or_insert((now + TimeDelta::minutes(1), 0));
        if now >= window.0 {
            *window = (now + TimeDelta::minutes(1), 0);
        }
        let lets_in = window.1 < limit;
        window.1 = window.1.saturating_add(1);
        Some((Standing { limit, used: window.1, ends: window.0 }, lets_in))
    }
}

impl Standing {
    /// Seconds until the window ends.
    pub(crate) fn retry_after(&self, now: DateTime<Utc>) -> i64 {
        (self.ends - now).num_seconds().max(0) + 1
    }

    pub(crate) fn headers(&self) -> [(HeaderName, HeaderValue); 5] {
        let name = HeaderName::from_static;
        [
            (name("ratelimit-limit"), HeaderValue::from(self.limit)),
            (name("ratelimit-name"), HeaderValue::from_static("throttle_authenticated_api")),
            (name("ratelimit-observed"), HeaderValue::from(self.used)),
            (name("ratelimit-remaining"), HeaderValue::from(self.limit.saturating_sub(self.used))),
            (name("ratelimit-reset"), HeaderValue::from(self.ends.timestamp())),
        ]
    }
}

/// GitLab's rate limit, once, with `Retry-After` in seconds.
pub fn limited(method: &str, path: &str, retry_after_secs: u64) -> Fault {
    Fault::slow_down(method, path, 429, "Retry later\n".to_owned(), retry_after_secs)
}
