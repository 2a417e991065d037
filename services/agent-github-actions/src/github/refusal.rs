//! What an answer that is no success means to the caller. Pure. Source: GitHub's "Rate limits for the REST API" and
//! "Troubleshooting the REST API".

use domain::Timestamp;
use http::StatusCode;
use platform::CallError;
use platform::http::{Effect, Outcome, number, retry_after};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How long to wait when a limit does not say: GitHub asks for a minute at least.
const LIMITED_FOR: Duration = Duration::from_secs(60);
/// No wait is longer: the primary limit's window is an hour.
const LIMITED_FOR_MAX: Duration = Duration::from_secs(3_660);
/// How much of GitHub's words is kept.
const WORDS_CHARS_MAX: usize = 400;

/// Why a call was refused.
pub(super) fn of(outcome: &Outcome, effect: Effect, now: Timestamp) -> CallError {
    let words = words(outcome);
    if let Some(after) = limited(outcome, now) {
        return CallError::RateLimited { after, why: words };
    }
    let status = outcome.status;
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return match effect {
            Effect::Write => CallError::Ambiguous(words),
            Effect::Read => CallError::Transient(words),
        };
    }
    match status {
        StatusCode::UNAUTHORIZED => CallError::Unauthorized(words),
        StatusCode::FORBIDDEN if is_about_the_repository(&words) => CallError::Invalid(words),
        StatusCode::FORBIDDEN => CallError::Unauthorized(words),
        StatusCode::CONFLICT => CallError::Transient(words),
        _ if status.is_success() => CallError::Transient(format!("unexpected answer: {words}")),
        _ => CallError::Invalid(words),
    }
}

/// How long a rate limit makes us wait; `None` where the answer is about something else.
pub(super) fn limited(outcome: &Outcome, now: Timestamp) -> Option<Duration> {
    if !matches!(outcome.status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let asked = retry_after(&outcome.headers, now);
    let words = words(outcome).to_ascii_lowercase();
    let secondary = words.contains("secondary rate") || words.contains("abuse detection");
    let primary = number(&outcome.headers, "x-ratelimit-remaining") == Some(0);
    let after = if let Some(asked) = asked {
        asked
    } else if secondary {
        LIMITED_FOR
    } else if primary {
        let reset = number(&outcome.headers, "x-ratelimit-reset").unwrap_or(0);
        let wait = i64::try_from(reset).unwrap_or(0).saturating_sub(now.timestamp()).saturating_add(1);
        Duration::from_secs(u64::try_from(wait).unwrap_or(0))
    } else if outcome.status == StatusCode::TOO_MANY_REQUESTS || words.contains("rate limit exceeded") {
        LIMITED_FOR
    } else {
        return None;
    };
    Some(after.clamp(Duration::from_secs(1), LIMITED_FOR_MAX))
}

/// Refusals that better credentials would not change.
fn is_about_the_repository(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    [
        "archived",
        "actions has been disabled",
        "actions is disabled",
        "retry this workflow run",
        "re-run",
        "rerun",
    ]
    .iter()
    .any(|part| words.contains(part))
}

/// GitHub's own words, in one line.
pub(super) fn words(outcome: &Outcome) -> String {
    #[derive(Deserialize)]
    struct Body {
        message: Option<String>,
        errors: Option<Value>,
    }
    let status = outcome.status;
    let text = match serde_json::from_slice::<Body>(&outcome.body) {
        Ok(Body { message: Some(message), errors }) => match details(errors.as_ref()) {
            Some(details) => format!("GitHub answered {status}: {message} ({details})"),
            None => format!("GitHub answered {status}: {message}"),
        },
        Ok(_) | Err(_) => format!("GitHub answered {status}: {}", outcome.excerpt()),
    };
    let text: String = telemetry::redact(&text).replace(char::is_control, " ");
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.trim_end_matches([' ', ':']).to_owned(),
    }
}

/// What `errors` says: a list of texts or of objects, or a text.
fn details(errors: Option<&Value>) -> Option<String> {
    let one = |error: &Value| {
        let text = error.as_str().or_else(|| error["message"].as_str());
        text.map_or_else(|| error.to_string(), str::to_owned)
    };
    let errors = errors?;
    match errors.as_array() {
        None => Some(one(errors)),
        Some(list) if list.is_empty() => None,
        Some(list) => Some(list.iter().map(one).collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName};

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn outcome(status: u16, headers: &[(&'static str, String)], body: &str) -> Outcome {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        Outcome { status, headers, body: body.to_owned().into(), unchanged: false }
    }

    fn told(status: u16, headers: &[(&'static str, String)], message: &str, effect: Effect) -> String {
        let body = serde_json::json!({ "message": message }).to_string();
        match of(&outcome(status, headers, &body), effect, now()) {
            CallError::Unauthorized(_) => "unauthorized".to_owned(),
            CallError::Invalid(_) => "invalid".to_owned(),
            CallError::RateLimited { after, .. } => format!("limited {}", after.as_secs()),
            CallError::Ambiguous(_) => "ambiguous".to_owned(),
            CallError::Transient(_) => "transient".to_owned(),
        }
    }

    #[test]
    fn every_refusal_says_what_to_do_next() {
        let reset = (now().timestamp() + 90).to_string();
        let past = (now().timestamp() - 90).to_string();
        let none: &[(&str, String)] = &[];
        let exhausted = |reset: &str| {
            [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset.to_owned())]
        };
        let wait = [("retry-after", "7".to_owned())];
        let forever = [("retry-after", "999999".to_owned())];
        for (status, headers, message, expected) in [
            (401, none, "Bad credentials", "unauthorized"),
            (403, none, "Resource not accessible by integration", "unauthorized"),
            (403, none, "This installation has been suspended", "unauthorized"),
            (403, none, "Repository was archived so is read-only.", "invalid"),
            (403, none, "Actions has been disabled for this user.", "invalid"),
            (403, none, "You have exceeded a secondary rate limit.", "limited 60"),
            (403, &wait, "You have exceeded a secondary rate limit.", "limited 7"),
            (403, &wait, "whatever", "limited 7"),
            (403, &forever, "whatever", "limited 3660"),
            (403, &exhausted(&reset), "API rate limit exceeded for x.", "limited 91"),
            (403, &exhausted(&past), "API rate limit exceeded for x.", "limited 1"),
            (403, none, "API rate limit exceeded for x.", "limited 60"),
            (429, none, "Too many requests", "limited 60"),
            (429, &wait, "Too many requests", "limited 7"),
            (404, none, "Not Found", "invalid"),
            (422, none, "Unexpected inputs provided: [\"a\"]", "invalid"),
            (422, none, "Cannot trigger a 'workflow_dispatch' on a disabled workflow", "invalid"),
            (409, none, "Conflict", "transient"),
            (301, none, "Moved Permanently", "invalid"),
        ] {
            for effect in [Effect::Read, Effect::Write] {
                assert_eq!(told(status, headers, message, effect), expected, "{status} {message}");
            }
        }
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(told(status, none, "", Effect::Write), "ambiguous", "{status}");
            assert_eq!(told(status, none, "", Effect::Read), "transient", "{status}");
        }
    }

    #[test]
    fn words_are_short_single_lines_without_secrets() {
        let body = format!(
            r#"{{"message":"Invalid\nrequest ghs_{}","errors":["a",{{"message":"b"}},{{"code":"c"}}]}}"#,
            "x".repeat(40)
        );
        let text = words(&outcome(422, &[], &body));
        assert!(text.starts_with("GitHub answered 422 Unprocessable Entity: Invalid request "), "{text}");
        assert!(text.ends_with(r#"(a; b; {"code":"c"})"#), "{text}");
        assert!(!text.contains("ghs_xxxx") && !text.contains('\n'), "{text}");
        assert!(words(&outcome(500, &[], &"y".repeat(9_000))).chars().count() <= WORDS_CHARS_MAX + 1);
        assert_eq!(words(&outcome(502, &[], "")), "GitHub answered 502 Bad Gateway");
    }
}
