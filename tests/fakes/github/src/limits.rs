//! GitHub's rate limits per credential: the hourly primary budget and the secondary limits.
//! Source: docs.github.com "Rate limits for the REST API".

use misbehaviour::Fault;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::reply::Reply;

pub(crate) const SECONDARY_MESSAGE: &str =
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";

/// What headers claim when no primary limit is enforced.
const UNLIMITED: u32 = 1_000_000;

/// Which limits are enforced; none by default.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Calls per hour and credential; `None` enforces nothing and shows a million.
    pub primary_per_hour: Option<u32>,
    pub secondary: Option<Secondary>,
}

impl Limits {
    /// As github.com documents them: 5,000 per hour, 900 points and 80 creations per minute, 100 at once.
    pub fn github() -> Self {
        Self { primary_per_hour: Some(5_000), secondary: Some(Secondary::github()) }
    }
}

/// Limits against bursts, per credential.
#[derive(Clone, Debug)]
pub struct Secondary {
    /// A read costs 1, a write 5.
    pub points_per_minute: u32,
    /// Writes that create something.
    pub creations_per_minute: u32,
    pub concurrent: u32,
    /// What the `Retry-After` header says, rounded up to whole seconds.
    pub retry_after: Duration,
    /// 403 or 429; GitHub uses both.
    pub status: u16,
}

impl Secondary {
    pub fn github() -> Self {
        Self {
            points_per_minute: 900,
            creations_per_minute: 80,
            concurrent: 100,
            retry_after: Duration::from_secs(60),
            status: 403,
        }
    }
}

/// Counts calls per credential.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) limits: Limits,
    buckets: HashMap<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    window_ends: DateTime<Utc>,
    used: u32,
    in_flight: u32,
    /// Time, points, creations of the last minute.
    recent: VecDeque<(DateTime<Utc>, u32, u32)>,
}

impl Meter {
    pub(crate) fn of(limits: Limits) -> Self {
        Self { limits, buckets: HashMap::new() }
    }

    /// Lets a call in, or says which limit it meets. Every call let in must be [`Meter::leave`]d.
    pub(crate) fn enter(&mut self, who: &str, method: &Method, now: DateTime<Utc>) -> Result<(), Reply> {
        let limits = self.limits.clone();
        let bucket = self.bucket(who, now);
        if limits.primary_per_hour.is_some_and(|max| bucket.used >= max) {
            return Err(Reply::forbidden(format!("API rate limit exceeded for {who}.")));
        }
        let (points, creations) = if matches!(*method, Method::GET | Method::HEAD) { (1, 0) } else { (5, 1) };
        if let Some(secondary) = limits.secondary {
            let minute_ago = now - TimeDelta::minutes(1);
            while bucket.recent.front().is_some_and(|(at, ..)| *at <= minute_ago) {
                bucket.recent.pop_front();
            }
            let sum =
                |pick: fn(&(DateTime<Utc>, u32, u32)) -> u32| bucket.recent.iter().map(pick).sum::<u32>();
            if sum(|r| r.1) + points > secondary.points_per_minute
                || sum(|r| r.2) + creations > secondary.creations_per_minute
                || bucket.in_flight >= secondary.concurrent
            {
                let status = StatusCode::from_u16(secondary.status).unwrap_or(StatusCode::FORBIDDEN);
                let seconds = secondary.retry_after.as_millis().div_ceil(1000);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                return Err(Reply::error(status, SECONDARY_MESSAGE).header(header::RETRY_AFTER, seconds));
            }
            bucket.recent.push_back((now, points, creations));
        }
        bucket.in_flight += 1;
        Ok(())
    }

    /// The call is over; `free` calls (304) do not count against the primary limit.
    pub(crate) fn leave(&mut self, who: &str, free: bool, now: DateTime<Utc>) {
        let bucket = self.bucket(who, now);
        bucket.in_flight = bucket.in_flight.saturating_sub(1);
        bucket.used = bucket.used.saturating_add(u32::from(!free));
    }

    /// The `x-ratelimit-*` headers as they stand.
    pub(crate) fn headers(&mut self, who: &str, now: DateTime<Utc>) -> [(HeaderName, HeaderValue); 5] {
        let (limit, used, reset) = self.standing(who, now);
        let name = HeaderName::from_static;
        [
            (name("x-ratelimit-limit"), HeaderValue::from(limit)),
            (name("x-ratelimit-remaining"), HeaderValue::from(limit.saturating_sub(used))),
            (name("x-ratelimit-used"), HeaderValue::from(used)),
            (name("x-ratelimit-reset"), HeaderValue::from(reset)),
            (name("x-ratelimit-resource"), HeaderValue::from_static("core")),
        ]
    }

    /// The body of `GET /rate_limit`.
    pub(crate) fn report(&mut self, who: &str, now: DateTime<Utc>) -> Value {
        let (limit, used, reset) = self.standing(who, now);
        let core = json!({
            "limit": limit, "used": used, "remaining": limit.saturating_sub(used), "reset": reset,
        });
        json!({ "resources": { "core": core }, "rate": core })
    }

    fn standing(&mut self, who: &str, now: DateTime<Utc>) -> (u32, u32, i64) {
        let limit = self.limits.primary_per_hour.unwrap_or(UNLIMITED);
        let bucket = self.bucket(who, now);
        (limit, bucket.used, bucket.window_ends.timestamp())
    }

    fn bucket(&mut self, who: &str, now: DateTime<Utc>) -> &mut Bucket {
        let bucket = self.buckets.entry(who.to_owned()).or_insert_with(|| Bucket {
            window_ends: now + TimeDelta::hours(1),
            used: 0,
            in_flight: 0,
            recent: VecDeque::new(),
        });
        if now >= bucket.window_ends {
            bucket.window_ends = now + TimeDelta::hours(1);
            bucket.used = 0;
        }
        bucket
    }
}

/// GitHub's secondary rate limit, once, with `Retry-After` in seconds.
pub fn secondary_limit(method: &str, path: &str, retry_after_secs: u64) -> Fault {
    let body = serde_json::json!({ "message": SECONDARY_MESSAGE }).to_string();
    Fault::slow_down(method, path, 403, body, retry_after_secs)
}
