//! GitHub's part of the shared API budget: by what it counts, at which pace we write, what its headers tell.

use super::config::GithubConfig;
use super::refusal;
use domain::Timestamp;
use domain::token::Slug;
use platform::budget::{Budget, BudgetKey, Learned, RateLimit};
use platform::http::{Outcome, number};
use std::sync::Arc;

/// The budgets of all credentials.
pub(super) struct Budgets {
    shared: Arc<platform::budget::Budgets>,
    platform: Slug,
    /// On github.com, where a config says nothing.
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
    pub(super) fn of(&self, config: &GithubConfig) -> Arc<Budget> {
        let key = BudgetKey {
            platform: self.platform.clone(),
            host: config.host.clone(),
            credential: config.counted_as(),
        };
        self.shared.of(&key, limit(config, self.writes_per_minute))
    }
}

impl Budgets {
    /// The budget of calls an App makes as itself, which GitHub counts apart from those of its installations.
    pub(super) fn of_app(&self, host: &str, app: &str) -> Arc<Budget> {
        let key = BudgetKey {
            platform: self.platform.clone(),
            host: host.to_owned(),
            credential: format!("app {app}"),
        };
        self.shared.of(&key, RateLimit::OFF)
    }
}

/// The pace of writes. GitHub Enterprise Server has its limits off by default, so there only a config sets one.
fn limit(config: &GithubConfig, default: u32) -> RateLimit {
    let is_cloud = config.host == "api.github.com" || config.host.ends_with(".ghe.com");
    match config.writes_per_minute.unwrap_or(if is_cloud { default } else { 0 }) {
        0 => RateLimit::OFF,
        writes_per_minute => RateLimit { writes_per_minute, ..RateLimit::GITHUB },
    }
}

/// What an answer told about the limits.
pub(super) fn learned(outcome: &Outcome, now: Timestamp) -> Learned {
    let reset = number(&outcome.headers, "x-ratelimit-reset").and_then(|at| i64::try_from(at).ok());
    Learned {
        limit: number(&outcome.headers, "x-ratelimit-limit"),
        remaining: number(&outcome.headers, "x-ratelimit-remaining"),
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
            "owner": "a", "repo": "b", "workflow": "c.yml", "tokenSecret": "d", "baseUrl": base, "rateLimit": limits,
            "$workspace": "acme",
        });
        let hosts = AllowedHosts::new([BaseUrl::parse(base).unwrap().host().to_owned()]);
        let config = GithubConfig::parse(config.as_object().unwrap(), &hosts).unwrap();
        limit(&config, 80).writes_per_minute
    }

    #[test]
    fn the_cloud_is_paced_by_default_and_others_on_demand() {
        assert_eq!(paced("https://api.github.com", Value::Null), 80);
        assert_eq!(paced("https://api.acme.ghe.com", Value::Null), 80);
        assert_eq!(paced("https://github.acme.example/api/v3", Value::Null), 0);
        assert_eq!(paced("https://github.acme.example/api/v3", json!({ "writesPerMinute": 9 })), 9);
        assert_eq!(paced("https://api.github.com", json!({ "writesPerMinute": 0 })), 0);
    }

    #[test]
    fn headers_tell_what_is_left() {
        let headers = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", "1800000000"),
        ];
        let headers: HeaderMap = headers
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .into_iter()
            .collect();
        let mut outcome = Outcome { status: StatusCode::OK, headers, body: "{}".into(), unchanged: false };
        let now = Timestamp::from_timestamp(1_799_999_990, 0).unwrap();
        let reset_at = Timestamp::from_timestamp(1_800_000_000, 0);
        assert_eq!(
            learned(&outcome, now),
            Learned { limit: Some(5_000), remaining: Some(7), reset_at, blocked_for: None }
        );
        outcome.status = StatusCode::TOO_MANY_REQUESTS;
        outcome.headers.insert("retry-after", "4".parse().unwrap());
        assert_eq!(learned(&outcome, now).blocked_for, Some(Duration::from_secs(4)));
    }
}
