//! What an answer that is no success means to the caller. Pure. Source: the Kubernetes API conventions ("Error codes") and
//! what kube-apiserver 1.36 says.

use super::wire::Status;
use http::{HeaderMap, StatusCode};
use platform::CallError;
use platform::http::Effect;
use std::time::Duration;

/// How long to wait when a limit does not say.
const LIMITED_FOR: Duration = Duration::from_secs(5);
/// No wait is longer.
const LIMITED_FOR_MAX: Duration = Duration::from_secs(600);
/// How much of the server's words is kept.
const WORDS_CHARS_MAX: usize = 600;

/// Why a call was refused. The first three are for the caller to judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// It exists already, or somebody changed it meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The position of a list or watch is too old: begin anew.
    #[error("{0}")]
    Expired(String),
    /// Anything else.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(why) => CallError::Invalid(why),
            Refused::Conflict(why) | Refused::Expired(why) => CallError::Transient(why),
            Refused::Call(error) => error,
        }
    }
}

/// What an HTTP answer means. `whose` says as whom we signed in.
pub(crate) fn of_answer(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    effect: Effect,
    whose: &str,
) -> Refused {
    let mut said: Status = serde_json::from_slice(body).unwrap_or_default();
    if said.message.is_empty() {
        said.message = match String::from_utf8_lossy(body).trim() {
            "" => format!("the API server answered {status}"),
            text => format!("the API server answered {status}: {text}"),
        };
    }
    said.code = status.as_u16();
    if let Some(after) = headers.get(http::header::RETRY_AFTER) {
        let seconds = after.to_str().ok().and_then(|text| text.trim().parse().ok());
        said.details.retry_after_seconds = seconds.or(said.details.retry_after_seconds);
    }
    of_status(&said, effect, whose)
}

/// What a `Status` means.
pub(crate) fn of_status(said: &Status, effect: Effect, whose: &str) -> Refused {
    let words = words(&said.message);
    let call = |error| Refused::Call(error);
    match said.code {
        401 => call(CallError::Unauthorized(format!("the API server does not accept {whose}: {words}"))),
        // RBAC speaks of a verb and a resource; a quota, an admission rule or an ending namespace speaks of something else.
        403 if says_who_cannot(&said.message) => {
            let hint = "grant it in a Role of the namespace";
            call(CallError::Unauthorized(format!("{whose} may not: {words}; {hint}")))
        }
        404 if said.details.kind == "namespaces" => call(CallError::Invalid(words)),
        // A path that no API serves: the kind is not installed in this cluster.
        404 if said.details.name.is_empty() => {
            call(CallError::Invalid(format!("the cluster does not know this kind of object: {words}")))
        }
        404 => Refused::NotFound(words),
        409 => Refused::Conflict(words),
        410 => Refused::Expired(words),
        408 | 429 => {
            let asked = said.details.retry_after_seconds.map(Duration::from_secs);
            let after = asked.unwrap_or(LIMITED_FOR).clamp(Duration::from_millis(100), LIMITED_FOR_MAX);
            call(CallError::RateLimited { after, why: words })
        }
        400..500 => call(CallError::Invalid(words)),
        // An apply of a field that the schema does not have is a 500, before anything happened.
        500 if said.message.starts_with("failed to create typed patch object") => {
            call(CallError::Invalid(words))
        }
        _ => call(match effect {
            Effect::Read => CallError::Transient(words),
            Effect::Write => CallError::Ambiguous(words),
        }),
    }
}

fn says_who_cannot(message: &str) -> bool {
    message.contains("is forbidden: User ") && message.contains(" cannot ")
}

/// The server's words in one line, without what looks like a secret, and not without end.
pub(crate) fn words(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = telemetry::redact(&line).into_owned();
    match line.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(code: u16, body: &Value, effect: Effect) -> Refused {
        let status = StatusCode::from_u16(code).unwrap();
        of_answer(status, &HeaderMap::new(), body.to_string().as_bytes(), effect, "the token t")
    }

    fn said(code: u16, kind: &str, name: &str, message: &str) -> Refused {
        let body = json!({ "kind": "Status", "code": code, "message": message, "details": { "kind": kind, "name": name } });
        refused(code, &body, Effect::Write)
    }

    #[test]
    fn a_missing_verb_is_about_credentials_and_a_quota_is_not() {
        let rbac = r#"jobs.batch "job-1" is forbidden: User "system:serviceaccount:ci:a" cannot patch resource "jobs" in API group "batch" in the namespace "ci""#;
        let Refused::Call(CallError::Unauthorized(why)) = said(403, "jobs", "job-1", rbac) else { panic!() };
        assert!(why.contains("cannot patch resource \"jobs\"") && why.contains("Role"), "{why}");
        for other in [
            r#"jobs.batch "job-1" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: 5, limited: 5"#,
            r#"admission webhook "no.example" denied the request: not on a Friday"#,
            "jobs.batch is forbidden: unable to create new content in namespace ci because it is being terminated",
        ] {
            assert_eq!(
                said(403, "jobs", "job-1", other),
                Refused::Call(CallError::Invalid(other.to_owned()))
            );
        }
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        let Refused::Call(CallError::Invalid(why)) =
            said(404, "namespaces", "ci", "namespaces \"ci\" not found")
        else {
            panic!()
        };
        assert!(why.contains("ci"));
        assert!(matches!(said(404, "jobs", "job-1", "jobs.batch \"job-1\" not found"), Refused::NotFound(_)));
        let unknown = said(404, "", "", "the server could not find the requested resource");
        assert!(matches!(unknown, Refused::Call(CallError::Invalid(_))));
    }

    #[test]
    fn every_status_has_a_meaning() {
        let of =
            |code, effect| refused(code, &json!({ "message": "words", "details": { "name": "x" } }), effect);
        let call = Refused::Call;
        assert_eq!(
            of(401, Effect::Read),
            call(CallError::Unauthorized("the API server does not accept the token t: words".to_owned()))
        );
        assert_eq!(of(409, Effect::Write), Refused::Conflict("words".to_owned()));
        assert_eq!(of(410, Effect::Read), Refused::Expired("words".to_owned()));
        for code in [400, 403, 405, 406, 413, 415, 422] {
            assert_eq!(of(code, Effect::Write), call(CallError::Invalid("words".to_owned())), "{code}");
        }
        let typo = "failed to create typed patch object (ci/x; batch/v1, Kind=Job): .spec.typo: field not declared in schema";
        let refused = refused(500, &json!({ "message": typo }), Effect::Write);
        assert_eq!(refused, call(CallError::Invalid(typo.to_owned())));
        for code in [500, 502, 503, 504] {
            assert_eq!(of(code, Effect::Read), call(CallError::Transient("words".to_owned())), "{code}");
            assert_eq!(of(code, Effect::Write), call(CallError::Ambiguous("words".to_owned())), "{code}");
        }
    }

    #[test]
    fn a_wait_is_as_long_as_asked() {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let body = json!({ "message": "slow", "details": { "retryAfterSeconds": 3 } }).to_string();
        let with = |headers: &HeaderMap, body: &str| {
            let refused = of_answer(status, headers, body.as_bytes(), Effect::Write, "t");
            let Refused::Call(CallError::RateLimited { after, .. }) = refused else { panic!("{refused:?}") };
            after.as_secs()
        };
        assert_eq!(with(&HeaderMap::new(), &body), 3);
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
        assert_eq!(with(&headers, &body), 7, "the header counts first");
        assert_eq!(with(&HeaderMap::new(), "no JSON"), LIMITED_FOR.as_secs());
        let for_ever = HeaderMap::from_iter([(http::header::RETRY_AFTER, "999999".parse().unwrap())]);
        assert_eq!(with(&for_ever, &body), LIMITED_FOR_MAX.as_secs());
    }

    #[test]
    fn words_are_one_line_and_end() {
        assert_eq!(words(" a\n  b "), "a b");
        assert_eq!(words(&"y".repeat(9_000)).chars().count(), WORDS_CHARS_MAX + 1);
        let Refused::Call(CallError::Transient(why)) =
            of_answer(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"", Effect::Read, "t")
        else {
            panic!()
        };
        assert_eq!(why, "the API server answered 502 Bad Gateway");
    }
}
