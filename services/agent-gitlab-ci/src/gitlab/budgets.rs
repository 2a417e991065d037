//! GitLab's part of the shared API budget: by what it counts, at which pace we start pipelines, what its headers tell.

use super::config::GitlabConfig;
use super::refusal;
use domain::Timestamp;
use domain::token::Slug;
use platform::budget::{Budget, BudgetKey, Learned, RateLimit};
use platform::http::{Outcome, number};
use std::sync::Arc;

/// How many pipelines may be started at once after a pause.
const BURST: u32 = 10;

/// The budgets of all credentials.
pub(super) struct Budgets {
    shared: Arc<platform::budget::Budgets>,
    platform: Slug,
    /// On gitlab.com, where a config says nothing.
    writes_per_minute: u32,
}

impl Budgets {
    pub(super) fn new(
        shared: Arc<platform::budget::Budgets>,
        platform: Slug,
        writes_per_minute: u32,
    ) -> Self {
        Self { shared, platform, writes_per_minute }
    }

    /// The budget a config's calls are made from.
    pub(super) fn of(&self, config: &GitlabConfig) -> Arc<Budget> {
        let key = BudgetKey {
            platform: self.platform.clone(),
            host: config.host.clone(),
            credential: config.credential.counted_as(),
        };
        self.shared.of(&key, limit(config, self.writes_per_minute))
    }
}

/// The pace of writes. A GitLab of one's own has its limits off by default, so there only a config sets one.
fn limit(config: &GitlabConfig, default: u32) -> RateLimit {
    let default = if config.host == "gitlab.com" { default } else { 0 };
    match config.writes_per_minute.unwrap_or(default) {
        0 => RateLimit::OFF,
        writes_per_minute => RateLimit { writes_per_minute, burst: BURST },
    }
}

/// What an answer told about the limits: `RateLimit-Remaining` until `RateLimit-Reset`, in seconds since 1970.
pub(super) fn learned(outcome: &Outcome, now: Timestamp) -> Learned {
    let reset = number(&outcome.headers, "ratelimit-reset").and_then(|at| i64::try_from(at).ok());
    Learned {
        limit: number(&outcome.headers, "ratelimit-limit"),
        remaining: number(&outcome.headers, "ratelimit-remaining"),
        reset_at: reset.and_then(|at| Timestamp::from_timestamp(at, 0)),
        blocked_for: refusal::limited(outcome, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, StatusCode};
    use platform::http::{AllowedHosts, BaseUrl};
    use serde_json::{Value, json};
    use std::time::Duration;

    fn paced(base: &str, limits: Value) -> u32 {
        let config = json!({
            "project": "a/b", "tokenSecret": "t", "baseUrl": base, "rateLimit": limits, "$workspace": "acme",
        });
        let hosts = AllowedHosts::new([BaseUrl::parse(base).unwrap().host().to_owned()]);
        let config = GitlabConfig::parse(config.as_object().unwrap(), &hosts).unwrap();
        limit(&config, 25).writes_per_minute
    }

    #[test]
    fn the_cloud_is_paced_by_default_and_others_on_demand() {
        assert_eq!(paced("https://gitlab.com", Value::Null), 25);
        assert_eq!(paced("https://gitlab.acme.example/git", Value::Null), 0);
        assert_eq!(paced("https://gitlab.acme.example", json!({ "writesPerMinute": 9 })), 9);
        assert_eq!(paced("https://gitlab.com", json!({ "writesPerMinute": 0 })), 0);
    }

    #[test]
    fn headers_tell_what_is_left() {
        let told =
            [("ratelimit-limit", "2000"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "1800000000")];
        let headers: HeaderMap = told
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .into_iter()
            .collect();
        let mut outcome = Outcome { status: StatusCode::OK, headers, body: "{}".into(), unchanged: false };
        let now = Timestamp::from_timestamp(1_799_999_990, 0).unwrap();
        let reset_at = Timestamp::from_timestamp(1_800_000_000, 0);
        assert_eq!(
            learned(&outcome, now),
            Learned { limit: Some(2_000), remaining: Some(7), reset_at, blocked_for: None }
        );
        outcome.status = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(learned(&outcome, now).blocked_for, Some(Duration::from_secs(11)), "until the reset");
        outcome.headers.insert("retry-after", "4".parse().unwrap());
        assert_eq!(learned(&outcome, now).blocked_for, Some(Duration::from_secs(4)));
    }
}
