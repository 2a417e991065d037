//! The client. It follows no redirect (a redirect would carry credentials elsewhere) and reads no proxy from the environment.

use super::cache::{TagCache, Tagged};
use super::error::{BuildError, Effect, SendError, chain};
use crate::platform::CallError;
use bytes::{Bytes, BytesMut};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Limits of the client. All of them hold for every request.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// `User-Agent`; GitHub refuses requests without.
    pub user_agent: String,
    /// Until the connection stands.
    pub connect_timeout: Duration,
    /// Until the whole answer is there, connecting included.
    pub deadline: Duration,
    /// The longest body that is read.
    pub body_bytes_max: usize,
    /// How many answers are kept for conditional requests.
    pub cache_entries_max: usize,
    /// How large they may be together.
    pub cache_bytes_max: usize,
}

impl HttpOptions {
    /// Requests of that `User-Agent`, each given up after `deadline`.
    pub fn new(user_agent: &str, deadline: Duration) -> Self {
        let defaults = Self::default();
        let connect_timeout = defaults.connect_timeout.min(deadline);
        Self { user_agent: user_agent.to_owned(), deadline, connect_timeout, ..defaults }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("ctrlplane/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            body_bytes_max: 10 * 1024 * 1024,
            cache_entries_max: 4096,
            cache_bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// One request.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Credentials among them: never shown.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

impl Call {
    /// A read.
    pub fn get(url: impl Into<String>, headers: HeaderMap) -> Self {
        Self { method: Method::GET, url: url.into(), headers, body: Bytes::new() }
    }

    /// A write with a JSON body.
    pub fn post(url: impl Into<String>, headers: HeaderMap, body: &serde_json::Value) -> Self {
        Self::write(Method::POST, url, headers, body)
    }

    /// A write with a JSON body, by that method.
    pub fn write(
        method: Method,
        url: impl Into<String>,
        headers: HeaderMap,
        body: &serde_json::Value,
    ) -> Self {
        let mut headers = headers;
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json; charset=utf-8"),
        );
        Self { method, url: url.into(), headers, body: Bytes::from(body.to_string()) }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, telemetry::redact(&self.url))
    }
}

/// A whole answer, of whatever status.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether the platform said that the answer we kept still holds (304).
    pub unchanged: bool,
}

impl Outcome {
    /// Takes the server errors out: after a write nobody knows whether it had its effect, a read may be repeated.
    ///
    /// # Errors
    /// [`CallError::Ambiguous`] or [`CallError::Transient`] for status 500 and above.
    pub fn no_server_error(self, effect: Effect) -> Result<Self, CallError> {
        if !self.status.is_server_error() {
            return Ok(self);
        }
        Err(SendError::Ambiguous(format!("the platform answered {}: {}", self.status, self.excerpt()))
            .for_effect(effect))
    }

    /// The begin of the body for an error message: one line, masked.
    pub fn excerpt(&self) -> String {
        const CHARS_MAX: usize = 300;
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4096)]);
        let text = telemetry::redact(&text).replace(char::is_control, " ");
        match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// Sends requests. Cloning shares connections and kept answers.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    body_bytes_max: usize,
    cache: Arc<Mutex<TagCache>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

impl HttpClient {
    /// A client with these limits.
    ///
    /// # Errors
    /// [`BuildError`] when TLS cannot be set up.
    pub fn new(options: &HttpOptions) -> Result<Self, BuildError> {
        let client = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .connect_timeout(options.connect_timeout)
            .timeout(options.deadline)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| BuildError(chain(&error)))?;
        let cache = TagCache::new(options.cache_entries_max, options.cache_bytes_max);
        Ok(Self { client, body_bytes_max: options.body_bytes_max, cache: Arc::new(Mutex::new(cache)) })
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// [`SendError`] says whether the platform may have heard.
    pub async fn send(&self, call: Call) -> Result<Outcome, SendError> {
        let response = self.request(call).send().await.map_err(SendError::of)?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = self.read_body(response).await?;
        Ok(Outcome { status, headers, body, unchanged: false })
    }

    /// A read that says what we have: an answer that still holds comes from memory, as a 200 with `unchanged`.
    /// Answers are kept per `credential`, which is a name or a hash, never a secret.
    ///
    /// # Errors
    /// As [`HttpClient::send`].
    pub async fn read(&self, credential: &str, mut call: Call) -> Result<Outcome, SendError> {
        let kept = self.cache().get(credential, &call.url);
        if let Some(kept) = &kept {
            call.headers.insert(IF_NONE_MATCH, kept.tag.clone());
        }
        let url = call.url.clone();
        let mut outcome = self.send(call).await?;
        match kept {
            Some(kept) if outcome.status == StatusCode::NOT_MODIFIED => {
                // The newer headers count: they tell what is left of the rate limit.
                let mut headers = kept.headers;
                headers.extend(outcome.headers);
                return Ok(Outcome { status: StatusCode::OK, headers, body: kept.body, unchanged: true });
            }
            Some(_) | None => {}
        }
        if outcome.status == StatusCode::OK
            && let Some(tag) = outcome.headers.get(ETAG)
        {
            let tagged =
                Tagged { tag: tag.clone(), headers: outcome.headers.clone(), body: outcome.body.clone() };
            self.cache().put(credential, &url, tagged);
        }
        outcome.unchanged = false;
        Ok(outcome)
    }

    pub(super) fn request(&self, call: Call) -> reqwest::RequestBuilder {
        let Call { method, url, mut headers, body } = call;
        telemetry::context::into_headers(&mut headers);
        self.client.request(method, url).headers(headers).body(body)
    }

    async fn read_body(&self, mut response: reqwest::Response) -> Result<Bytes, SendError> {
        let too_large =
            || SendError::Ambiguous(format!("the answer is larger than {} bytes", self.body_bytes_max));
        let announced = response.content_length().unwrap_or(0);
        if announced > self.body_bytes_max as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        loop {
            // Once headers came the request was heard, whatever becomes of the body.
            let chunk = response.chunk().await.map_err(|error| match SendError::of(error) {
                SendError::NotSent(why) | SendError::Ambiguous(why) => SendError::Ambiguous(why),
            })?;
            let Some(chunk) = chunk else { return Ok(body.freeze()) };
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, TagCache> {
        // A panic while the lock was held leaves at worst a kept answer too few.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
