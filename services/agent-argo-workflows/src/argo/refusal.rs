//! What an answer of Argo Server that is no success means to the caller. Pure. Source: `server/utils/errors.go` of Argo
//! Workflows 4.0 (Kubernetes' status codes become gRPC codes, and those status codes again) and its gateway.

use domain::Timestamp;
use http::StatusCode;
use platform::CallError;
use platform::http::{Effect, Outcome, retry_after};
use serde::Deserialize;
use std::time::Duration;

/// How long to wait where Kubernetes does not say.
const LIMITED_FOR: Duration = Duration::from_secs(10);
/// No wait is longer.
const LIMITED_FOR_MAX: Duration = Duration::from_secs(900);
/// How much of Argo's words is kept.
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
        // A quota on objects is refused as forbidden. No other credential would help, as through the Kubernetes API.
        StatusCode::FORBIDDEN if words.contains("exceeded quota") => CallError::Invalid(words),
        StatusCode::FORBIDDEN => CallError::Unauthorized(words),
        StatusCode::CONFLICT => CallError::Transient(words),
        _ if status.is_success() => CallError::Transient(format!("unexpected answer: {words}")),
        _ => CallError::Invalid(words),
    }
}

/// How long a rate limit makes us wait; `None` where the answer is about something else.
pub(super) fn limited(outcome: &Outcome, now: Timestamp) -> Option<Duration> {
    if outcome.status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let after = retry_after(&outcome.headers, now).unwrap_or(LIMITED_FOR);
    Some(after.clamp(Duration::from_secs(1), LIMITED_FOR_MAX))
}

/// Whether a request to end a workflow was refused because it is over. Argo says so as an internal error.
pub(super) fn is_over_already(outcome: &Outcome) -> bool {
    !outcome.status.is_success() && words(outcome).contains("cannot shutdown a completed workflow")
}

/// Whether a retry was refused because the workflow is not over.
pub(super) fn is_not_over(outcome: &Outcome) -> bool {
    outcome.status == StatusCode::BAD_REQUEST && words(outcome).contains("Cannot retry a workflow in phase")
}

/// Argo's own words, in one line.
pub(super) fn words(outcome: &Outcome) -> String {
    #[derive(Deserialize)]
    struct Body {
        message: Option<String>,
        error: Option<String>,
    }
    let status = outcome.status;
    let text = match serde_json::from_slice::<Body>(&outcome.body) {
        Ok(Body { message: Some(text), .. } | Body { error: Some(text), .. }) => {
            format!("Argo answered {status}: {text}")
        }
        Ok(_) | Err(_) => format!("Argo answered {status}: {}", outcome.excerpt()),
    };
    let text: String = telemetry::redact(&text).replace(char::is_control, " ");
    match text.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.trim_end_matches([' ', ':']).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, header::RETRY_AFTER};
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn outcome(status: u16, message: &str) -> Outcome {
        let body = json!({ "code": 5, "message": message }).to_string();
        let status = StatusCode::from_u16(status).unwrap();
        Outcome { status, headers: HeaderMap::new(), body: body.into(), unchanged: false }
    }

    fn told(outcome: &Outcome, effect: Effect) -> String {
        match of(outcome, effect, now()) {
            CallError::Unauthorized(_) => "unauthorized".to_owned(),
            CallError::Invalid(_) => "invalid".to_owned(),
            CallError::RateLimited { after, .. } => format!("limited {}", after.as_secs()),
            CallError::Ambiguous(_) => "ambiguous".to_owned(),
            CallError::Transient(_) => "transient".to_owned(),
        }
    }

    #[test]
    fn every_refusal_says_what_to_do_next() {
        for (status, message, expected) in [
            (401, "token not valid", "unauthorized"),
            (403, "workflows.argoproj.io is forbidden: User \"x\" cannot create", "unauthorized"),
            (403, "workflows.argoproj.io is forbidden: exceeded quota: objects", "invalid"),
            (400, "templates.main.steps[0] template name not found", "invalid"),
            (404, "workflowtemplates.argoproj.io \"deploy\" not found", "invalid"),
            (404, "namespaces \"ci\" not found", "invalid"),
            (409, "Operation cannot be fulfilled on workflows", "transient"),
            (412, "precondition", "invalid"),
            (429, "too many requests", "limited 10"),
            (301, "moved", "invalid"),
        ] {
            for effect in [Effect::Read, Effect::Write] {
                assert_eq!(told(&outcome(status, message), effect), expected, "{status} {message}");
            }
        }
        for status in [408, 500, 501, 502, 503, 504] {
            assert_eq!(told(&outcome(status, ""), Effect::Write), "ambiguous", "{status}");
            assert_eq!(told(&outcome(status, ""), Effect::Read), "transient", "{status}");
        }
        let mut limited = outcome(429, "");
        limited.headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(told(&limited, Effect::Write), "limited 7");
        limited.headers.insert(RETRY_AFTER, "99999".parse().unwrap());
        assert_eq!(told(&limited, Effect::Write), "limited 900");
    }

    #[test]
    fn some_refusals_tell_how_the_workflow_stands() {
        let completed = "cannot shutdown a completed workflow: workflow: \"w\", namespace: \"n\"";
        assert!(is_over_already(&outcome(500, completed)) && is_over_already(&outcome(400, completed)));
        assert!(!is_over_already(&outcome(500, "boom")));
        assert!(is_not_over(&outcome(400, "Cannot retry a workflow in phase Running")));
        assert!(!is_not_over(&outcome(400, "templates.main not found")));
    }

    #[test]
    fn words_are_short_single_lines() {
        let text = words(&outcome(400, &format!("a\nb {}", "x".repeat(9_000))));
        assert!(text.starts_with("Argo answered 400 Bad Request: a b xxx") && text.ends_with('…'), "{text}");
        let mut page = outcome(502, "");
        page.body = "<html>".into();
        assert_eq!(words(&page), "Argo answered 502 Bad Gateway: <html>");
    }
}
