//! Calls of the HTTP API: a path, a query, a body; an answer or a refusal. It does not know what is asked for.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::words::plain;
use crate::client::sse::Events;

/// No answer takes longer, except live events, which never end.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Live events say at least every 15 seconds that they live.
const SILENT_AT_MOST: Duration = Duration::from_secs(45);
/// How much of a refusal that is no problem document is shown.
const REFUSAL_CHARS: usize = 400;

/// Who calls what.
pub(super) struct Api {
    http: reqwest::Client,
    /// For live events: notices silence.
    live: reqwest::Client,
    base: Url,
    said_by: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The API says no.
    Refused(Refusal),
    /// Nobody answers, or not now: the same may work later.
    Unreachable(String),
}

/// RFC 9457 problem details, as the API writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) status: u16,
    detail: String,
    errors: Vec<Fault>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    file: Option<String>,
    line: Option<u64>,
    field: Option<String>,
    message: String,
    hint: Option<String>,
}

impl Api {
    /// For the API at `url`, which `said_by` named.
    pub(super) fn new(url: &str, said_by: &str, key: SecretString) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("{said_by} does not fit: {url} {why}"));
        let base: Url = url.parse().map_err(|error| wrong(&format!("is no URL: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("does not begin with http:// or https://"));
        }
        let mut value: HeaderValue = format!("Bearer {}", key.expose_secret())
            .parse()
            .map_err(|_| Failure::Usage("the API key has characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        let client = |silent_at_most: Duration| {
            let builder = reqwest::Client::builder()
                .default_headers(HeaderMap::from_iter([(AUTHORIZATION, value.clone())]))
                .user_agent(concat!("ctrlplane/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_WITHIN)
                .read_timeout(silent_at_most);
            let builder = if is_loopback(&base) { builder.no_proxy() } else { builder };
            builder.build().map_err(|error| Failure::Usage(format!("no HTTP client: {error}")))
        };
        let (http, live) = (client(ANSWER_WITHIN)?, client(SILENT_AT_MOST)?);
        Ok(Self { http, live, base, said_by: said_by.to_owned() })
    }

    /// GET, as JSON.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.json(self.request(Method::GET, path, query)).await
    }

    /// GET, as text.
    pub(super) async fn text(&self, path: &[&str], query: &[(&str, &str)]) -> Result<String, ApiError> {
        let response = self.send(self.request(Method::GET, path, query)).await?;
        response.text().await.map_err(|error| self.away(&error))
    }

    /// Any other method with a body, as JSON.
    pub(super) async fn send_json(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, ApiError> {
        self.json(self.request(method, path, query).json(body)).await
    }

    /// DELETE.
    pub(super) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.json(self.request(Method::DELETE, path, query)).await
    }

    /// Live events, from the beginning or after the event of that id.
    pub(super) async fn events(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        after: Option<&str>,
    ) -> Result<Events, ApiError> {
        let url = self.url(path, query);
        let mut request = self.live.get(url).header(ACCEPT, "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        Ok(Events::of(self.send(request).await?))
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.request(method, self.url(path, query)).timeout(ANSWER_WITHIN)
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an http URL has a path")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, ApiError> {
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.away(&error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|_| {
            let detail = format!("what answers at {} ({}) is not the API", self.base, self.said_by);
            ApiError::Refused(Refusal { status: status.as_u16(), detail, errors: Vec::new() })
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let response = request.send().await.map_err(|error| self.away(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        let refusal = Refusal::of(status, &text);
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(ApiError::Unreachable(format!("the API at {} says: {refusal}", self.base)))
            }
            StatusCode::UNAUTHORIZED => {
                let detail = format!("{} does not know this API key: {}", self.base, refusal.detail);
                Err(ApiError::Refused(Refusal { detail, ..refusal }))
            }
            _ => Err(ApiError::Refused(refusal)),
        }
    }

    fn away(&self, error: &reqwest::Error) -> ApiError {
        let mut why = String::new();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            why = error.to_string();
            cause = error.source();
        }
        if why.is_empty() {
            why = if error.is_timeout() { "it takes too long".to_owned() } else { error.to_string() };
        }
        ApiError::Unreachable(format!(
            "the API at {} (from {}) does not answer: {why}",
            self.base, self.said_by
        ))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Refusal {
    fn of(status: StatusCode, text: &str) -> Self {
        match serde_json::from_str::<Self>(text) {
            Ok(refusal) if !refusal.detail.is_empty() => Self { status: status.as_u16(), ..refusal },
            Ok(_) | Err(_) => {
                let said: String = text.chars().take(REFUSAL_CHARS).collect();
                let detail = format!("{status} {said}").trim_end().to_owned();
                Self { status: status.as_u16(), detail, errors: Vec::new() }
            }
        }
    }
}

/// One line per mistake in a file, `file:line: field: message (hint)`, then what became of the whole, then what else is
/// wrong and not said by that.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = self.errors.iter().filter(|fault| fault.file.is_some());
        for fault in places {
            writeln!(f, "{}", fault.line())?;
        }
        f.write_str(&plain(&self.detail))?;
        let others = self.errors.iter().filter(|fault| fault.file.is_none());
        for fault in others.filter(|fault| !self.detail.contains(&fault.message)) {
            write!(f, "\n  {}", fault.line())?;
        }
        Ok(())
    }
}

impl Fault {
    fn line(&self) -> String {
        let mut line = String::new();
        if let Some(file) = &self.file {
            write!(line, "{file}:{}: ", self.line.unwrap_or(1)).expect("a String takes any text");
        }
        if let Some(field) = self.field.as_ref().filter(|field| !field.is_empty()) {
            write!(line, "{field}: ").expect("a String takes any text");
        }
        line.push_str(&self.message);
        if let Some(hint) = &self.hint {
            write!(line, " ({hint})").expect("a String takes any text");
        }
        plain(&line)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused(refusal) => Self::Refused(refusal.to_string()),
            ApiError::Unreachable(why) => Self::Unreachable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_where_each_mistake_stands() {
        let text = r#"{"detail": "2 errors; nothing was written", "status": 400, "errors": [
            {"file": "a.yaml", "line": 7, "field": "spec.slug", "message": "is empty", "hint": "leave it out"},
            {"file": "b.yaml", "message": "is no YAML"}]}"#;
        let said = Refusal::of(StatusCode::BAD_REQUEST, text).to_string();
        assert_eq!(
            said,
            "a.yaml:7: spec.slug: is empty (leave it out)\nb.yaml:1: is no YAML\n2 errors; nothing was written"
        );
    }

    #[test]
    fn a_refusal_names_those_that_stand_in_the_way() {
        let text = r#"{"detail": "System shop is still named by 1: it has a deployment", "errors": [
            {"message": "Deployment web (7a6d4e0e)"}, {"field": "name", "message": "it has a deployment"}]}"#;
        let said = Refusal::of(StatusCode::CONFLICT, text).to_string();
        assert_eq!(said, "System shop is still named by 1: it has a deployment\n  Deployment web (7a6d4e0e)");
    }

    #[test]
    fn what_is_no_problem_document_is_shown_as_it_is() {
        let said = Refusal::of(StatusCode::NOT_FOUND, "<html>nothing\u{1b}[2J here</html>").to_string();
        assert_eq!(said, "404 Not Found <html>nothing [2J here</html>");
        assert_eq!(Refusal::of(StatusCode::FORBIDDEN, "").to_string(), "403 Forbidden");
    }

    #[test]
    fn names_are_escaped_into_one_segment() {
        let api = Api::new("http://127.0.0.1:1/below/", "--url", "key".into()).unwrap();
        let url = api.url(&["workspaces", "acme", "catalog", "resource", "a/b c"], &[("cel", "x == 'y'")]);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/below/api/v1/workspaces/acme/catalog/resource/a%2Fb%20c?cel=x+%3D%3D+%27y%27"
        );
    }

    #[test]
    fn only_web_addresses_are_taken() {
        for url in ["127.0.0.1:8080", "ftp://x", "http://", "nothing"] {
            assert!(matches!(Api::new(url, "--url", "key".into()), Err(Failure::Usage(_))), "{url}");
        }
    }
}
