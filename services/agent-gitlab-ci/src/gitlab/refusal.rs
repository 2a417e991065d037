//! What an answer that is no success means to the caller. Pure. Source: GitLab's "REST API" (status codes, errors) and
//! "Rate limits".

use domain::Timestamp;
use http::StatusCode;
use platform::CallError;
use platform::http::{Effect, Outcome, number, retry_after};
use serde_json::Value;
use std::time::Duration;

/// How long to wait when a limit does not say.
const LIMITED_FOR: Duration = Duration::from_secs(60);
/// No wait is longer.
const LIMITED_FOR_MAX: Duration = Duration::from_secs(3_660);
/// How much of GitLab's words is kept.
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
        StatusCode::FORBIDDEN if is_about_the_job(&words) => CallError::Invalid(words),
        StatusCode::FORBIDDEN => CallError::Unauthorized(words),
        // "Resource lock": somebody else is at it; nothing was done.
        StatusCode::CONFLICT => CallError::Transient(words),
        _ if status.is_redirection() => CallError::Invalid(format!(
            "{words}: the project or its GitLab may have moved; name where it is now"
        )),
        _ if status.is_success() => CallError::Transient(format!("unexpected answer: {words}")),
        _ => CallError::Invalid(words),
    }
}

/// How long a rate limit makes us wait; `None` where the answer is about something else.
pub(super) fn limited(outcome: &Outcome, now: Timestamp) -> Option<Duration> {
    if outcome.status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let until_reset = || {
        let reset = i64::try_from(number(&outcome.headers, "ratelimit-reset")?).ok()?;
        // One second more: whole seconds are told.
        Some(Duration::from_secs(u64::try_from(reset - now.timestamp() + 1).unwrap_or(0)))
    };
    let after = retry_after(&outcome.headers, now).or_else(until_reset).unwrap_or(LIMITED_FOR);
    Some(after.clamp(Duration::from_secs(1), LIMITED_FOR_MAX))
}

/// Refusals that better credentials would not change.
fn is_about_the_job(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["not retryable", "archived", "unplayable"].iter().any(|part| words.contains(part))
}

/// GitLab's own words, in one line.
pub(super) fn words(outcome: &Outcome) -> String {
    let status = outcome.status;
    let said = match serde_json::from_slice::<Value>(&outcome.body) {
        Ok(Value::Object(body)) => {
            let message = body.get("message").filter(|message| !message.is_null());
            let error = body.get("error_description").or_else(|| body.get("error"));
            message.or(error).map(flat)
        }
        Ok(_) | Err(_) => None,
    };
    let text = format!("GitLab answered {status}: {}", said.unwrap_or_else(|| outcome.excerpt()));
    let text: String = telemetry::redact(&text).replace(char::is_control, " ");
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.trim_end_matches([' ', ':']).to_owned(),
    }
}

/// `message` is a text, a list of texts, or lists of texts by field; `base` is the field of what concerns the whole.
fn flat(message: &Value) -> String {
    match message {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(flat).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match name.as_str() {
                "base" => flat(value),
                name => format!("{name} {}", flat(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join("; ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => message.to_string(),
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

    fn told(status: u16, headers: &[(&'static str, String)], body: &str, effect: Effect) -> String {
        match of(&outcome(status, headers, body), effect, now()) {
            CallError::Unauthorized(_) => "unauthorized".to_owned(),
            CallError::Invalid(_) => "invalid".to_owned(),
            CallError::RateLimited { after, .. } => format!("limited {}", after.as_secs()),
            CallError::Ambiguous(_) => "ambiguous".to_owned(),
            CallError::Transient(_) => "transient".to_owned(),
        }
    }

    #[test]
    fn every_refusal_says_what_to_do_next() {
        let reset = [("ratelimit-reset", (now().timestamp() + 90).to_string())];
        let past = [("ratelimit-reset", (now().timestamp() - 90).to_string())];
        let both = [("ratelimit-reset", reset[0].1.clone()), ("retry-after", "7".to_owned())];
        let forever = [("retry-after", "999999".to_owned())];
        let none: &[(&str, String)] = &[];
        for (status, headers, body, expected) in [
            (401, none, r#"{"message":"401 Unauthorized"}"#, "unauthorized"),
            (
                401,
                none,
                r#"{"error":"invalid_token","error_description":"Token was revoked."}"#,
                "unauthorized",
            ),
            (403, none, r#"{"error":"insufficient_scope"}"#, "unauthorized"),
            (403, none, r#"{"message":"403 Forbidden"}"#, "unauthorized"),
            (403, none, r#"{"message":"403 Forbidden - Job is not retryable"}"#, "invalid"),
            (400, none, r#"{"message":{"base":["Reference not found"]}}"#, "invalid"),
            (404, none, r#"{"message":"404 Project Not Found"}"#, "invalid"),
            (405, none, "", "invalid"),
            (422, none, "", "invalid"),
            (301, none, "", "invalid"),
            (409, none, r#"{"message":"409 Conflict: Resource lock"}"#, "transient"),
            (429, none, "", "limited 60"),
            (429, &reset, "", "limited 91"),
            (429, &past, "", "limited 1"),
            (429, &both, "Retry later", "limited 7"),
            (429, &forever, "", "limited 3660"),
        ] {
            for effect in [Effect::Read, Effect::Write] {
                assert_eq!(told(status, headers, body, effect), expected, "{status} {body}");
            }
        }
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(told(status, none, "", Effect::Write), "ambiguous", "{status}");
            assert_eq!(told(status, none, "", Effect::Read), "transient", "{status}");
        }
    }

    #[test]
    fn words_are_short_single_lines_without_secrets() {
        for (body, expected) in [
            (
                r#"{"message":{"base":["Reference not found"]}}"#,
                "GitLab answered 400 Bad Request: Reference not found",
            ),
            (
                r#"{"message":{"base":["a","b\nc"],"ref":["is missing"]}}"#,
                "GitLab answered 400 Bad Request: a; b c; ref is missing",
            ),
            (r#"{"error":"ref is missing"}"#, "GitLab answered 400 Bad Request: ref is missing"),
            ("Retry later", "GitLab answered 400 Bad Request: Retry later"),
            ("", "GitLab answered 400 Bad Request"),
            (
                r#"{"message":"no glpat-0123456789abcdefghij here"}"#,
                "GitLab answered 400 Bad Request: no [redacted] here",
            ),
        ] {
            assert_eq!(words(&outcome(400, &[], body)), expected);
        }
        assert!(words(&outcome(500, &[], &"y".repeat(9_000))).chars().count() <= WORDS_CHARS_MAX + 1);
    }
}
