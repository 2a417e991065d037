//! `Idempotency-Key` on POSTs: the same key with the same request gets the answer of the first, from any replica. What was
//! answered is kept in a bucket for a day; what failed on our side is not, so that it can be tried again.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bus::topology::IDEMPOTENCY;
use bus::{Bucket, CasError, clock};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::id::derive;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::Counted;
use crate::caller::Caller;
use crate::context::App;
use crate::problem::Problem;
use crate::request::BODY_BYTES_MAX;

/// The header.
pub(crate) const KEY_HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_BYTES_MAX: usize = 255;
/// A larger answer is not kept: the request is worked again, which entities by name allow.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Answers to whom may not, or not now: nothing was done, and what is kept takes room.
const NOTHING_DONE: [StatusCode; 4] =
    [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS];
/// Whoever works on a request longer than this has died.
const WORK_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// Marks an answer that is never kept: it holds a secret, or its route knows repetitions itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unkept;

/// One key, as the bucket has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    /// SHA-256 of the request.
    request: String,
    /// When it came in first.
    at: Timestamp,
    /// What was answered; absent while it is worked on.
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: u16,
    content_type: Option<String>,
    etag: Option<String>,
    body: String,
}

/// Works a POST with a key once.
pub(crate) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let has_key = request.method() == Method::POST && request.headers().contains_key(KEY_HEADER);
    if !has_key || is_a_look(request.uri()) {
        return next.run(request).await;
    }
    match worked_once(&app, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a POST changes nothing: repeating it does no harm, and keeping its answer costs room.
fn is_a_look(uri: &Uri) -> bool {
    let looks = [
        "/resources/search",
        "/policies/backtest",
        "/release-targets/state",
        "/eligible-versions",
        "/resource-preview",
    ];
    let mut asked = uri.query().unwrap_or_default().split('&');
    looks.iter().any(|end| uri.path().ends_with(end)) || asked.any(|pair| pair == "dryRun=true")
}

async fn worked_once(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return Err(Problem::internal(
            &"a request with an idempotency key came before it was known whose it is",
        ));
    };
    let key = place(&caller, request.headers())?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_too_large| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY_BYTES_MAX} bytes"))
    })?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = fingerprint(path, &body);
    let bucket = app.bus.bucket(&IDEMPOTENCY);
    let revision = match begin(&bucket, &key, request.clone(), clock::now()).await? {
        Begun::Now(revision) => revision,
        Begun::Answered(answer) => return Ok(answer.replay()),
    };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|error| Problem::internal(&error))?;
    let is_kept = parts.status.as_u16() < 500
        && !NOTHING_DONE.contains(&parts.status)
        && parts.extensions.get::<Unkept>().is_none()
        && body.len() <= ANSWER_BYTES_MAX;
    let kept = if is_kept {
        let answer = Some(Answer::of(parts.status, &parts.headers, &body));
        let record = Record { request, at: clock::now(), answer };
        bucket.update_json(&key, &record, revision).await.map(drop)
    } else {
        bucket.delete_at(&key, revision).await.map(drop)
    };
    if let Err(error) = kept {
        // It was done and is answered; a repetition is worked again once the claim has run out.
        tracing::warn!(%error, "an answer could not be kept for its idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

enum Begun {
    /// It is ours to work, under this revision.
    Now(u64),
    Answered(Answer),
}

/// Claims the key, or finds what was answered.
async fn begin(bucket: &Bucket, key: &str, request: String, now: Timestamp) -> Result<Begun, Problem> {
    let claim = Record { request, at: now, answer: None };
    match bucket.create_json(key, &claim).await {
        Ok(revision) => return Ok(Begun::Now(revision)),
        Err(CasError::Conflict) => {}
        Err(CasError::Bus(error)) => return Err(error.into()),
    }
    let Some((known, revision)) = bucket.get_json::<Record>(key).await? else {
        return Err(in_work());
    };
    if known.request != claim.request {
        let detail = "Idempotency-Key: was used for another request";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            .with(vec![crate::problem::Fault::of_field("Idempotency-Key", "was used for another request")]));
    }
    match known.answer {
        Some(answer) => Ok(Begun::Answered(answer)),
        None if now - known.at < WORK_WITHIN => Err(in_work()),
        None => Ok(Begun::Now(bucket.update_json(key, &claim, revision).await?)),
    }
}

fn in_work() -> Problem {
    Problem::conflict("the first request with this Idempotency-Key is still worked on; try again")
}

/// Where the key of this caller is kept. Nobody reads another's.
pub(crate) fn place(caller: &Caller, headers: &HeaderMap) -> Result<String, Problem> {
    let wrong = || {
        let message = format!("is one value of 1 to {KEY_BYTES_MAX} visible characters");
        Problem::invalid_field("Idempotency-Key", message)
    };
    let mut values = headers.get_all(KEY_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wrong()) };
    let text = value.to_str().map_err(|_| wrong())?;
    if text.is_empty() || text.len() > KEY_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    // Users of the same name may be two people: what is counted together is one of them.
    let who = match &caller.means.counted {
        Counted::Key(sha256) => hex::encode(sha256),
        Counted::User(user) => format!("user {user}"),
    };
    Ok(derive(&["idempotency", &caller.name, &who, text]).to_string())
}

fn fingerprint(path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update((path.len() as u64).to_be_bytes());
    hash.update(path.as_bytes());
    hash.update(body);
    hex::encode(hash.finalize())
}

impl Answer {
    fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            status: status.as_u16(),
            content_type: text(CONTENT_TYPE),
            etag: text(ETAG),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }

    fn replay(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        for (name, value) in [(CONTENT_TYPE, self.content_type), (ETAG, self.etag)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;
    use crate::caller::{Means, test_caller};

    #[test]
    fn a_key_is_its_callers_and_one_visible_word() {
        let caller = |name: &str| test_caller(name, Role::Admin);
        let headers =
            |key: &str| HeaderMap::from_iter([(HeaderName::from_static(KEY_HEADER), key.parse().unwrap())]);
        let ann = place(&caller("ann"), &headers("k-1")).unwrap();
        assert_eq!(place(&caller("ann"), &headers("k-1")).unwrap(), ann);
        assert_ne!(place(&caller("bob"), &headers("k-1")).unwrap(), ann);
        assert_ne!(place(&caller("ann"), &headers("k-2")).unwrap(), ann);
        let means = Means { key_id: None, session: false, counted: Counted::Key([1; 32]) };
        let namesake = Caller { means, ..caller("ann") };
        assert_ne!(place(&namesake, &headers("k-1")).unwrap(), ann);
        for wrong in ["", "a b", &"x".repeat(256)] {
            assert!(place(&caller("ann"), &headers(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_only_looks_is_not_kept() {
        let looks = |uri: &str| is_a_look(&uri.parse().unwrap());
        assert!(looks("/api/v1/workspaces/w/resources/search") && looks("/api/v1/apply?x=1&dryRun=true"));
        assert!(!looks("/api/v1/apply") && !looks("/api/v1/apply?dryRun=false") && !looks("/api/v1/keys"));
    }

    #[test]
    fn another_path_or_body_is_another_request() {
        let first = fingerprint("/a", b"{}");
        assert_eq!(fingerprint("/a", b"{}"), first);
        assert_ne!(fingerprint("/b", b"{}"), first);
        assert_ne!(fingerprint("/a", b"{ }"), first);
        assert_ne!(fingerprint("/a{", b"}"), first);
    }
}
