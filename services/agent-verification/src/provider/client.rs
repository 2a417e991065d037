//! The client: no redirect, no proxy, no connection kept, no address beyond the border. Names are resolved here, and the
//! addresses that are judged are the ones that are connected to.

use super::Why;
use crate::network::Border;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Until a connection stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Headers that say where a message ends or whom it is for are the client's own.
const OURS: &[&str] =
    &["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"];

/// Sends requests to where it may.
pub(super) struct Client {
    client: reqwest::Client,
    border: Arc<Border>,
}

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// An answer, as far as it was read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether there was more than was read.
    pub(super) is_cut: bool,
}

impl Client {
    pub(super) fn new(border: Border) -> anyhow::Result<Self> {
        let border = Arc::new(border);
        let client = reqwest::Client::builder()
            .user_agent(concat!("ctrlplane-agent-verification/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Guarded(Arc::clone(&border))))
            .build()?;
        Ok(Self { client, border })
    }

    /// Sends the request and reads at most that much of the answer. The caller gives it its end.
    pub(super) async fn send(&self, request: Request, bytes_max: usize) -> Result<Answer, Why> {
        let Request { method, url, headers, body } = request;
        // Addresses in URLs are not resolved, so they do not come by the resolver.
        if let Some(address) = literal(&url)
            && !self.border.admits(address)
        {
            return Err(Refused.to_string());
        }
        let request = self.client.request(method, url).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| said(error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut is_cut = false;
        while let Some(chunk) = response.chunk().await.map_err(|error| said(error.without_url()))? {
            let left = bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            if chunk.len() > left {
                is_cut = true;
                break;
            }
        }
        Ok(Answer { status, headers, body, is_cut })
    }
}

/// The address a URL names without a name.
fn literal(url: &Url) -> Option<IpAddr> {
    // A URL's host is normalized: whatever means an IPv4 address is written in four decimals.
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The URL, if it is one of the web's.
pub(super) fn web(text: &str) -> Result<Url, Why> {
    let url = Url::parse(text.trim()).map_err(|error| format!("the URL is none: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL must begin with https:// or http://".to_owned());
    }
    Ok(url)
}

/// Headers that may be sent.
pub(super) fn headers(texts: &BTreeMap<String, String>) -> Result<HeaderMap, Why> {
    let mut headers = HeaderMap::new();
    for (name, value) in texts {
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of header {name:?} cannot be sent"))?;
        headers.insert(header_name(name)?, value);
    }
    Ok(headers)
}

/// The name of a header that may be sent.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Why> {
    match HeaderName::try_from(name) {
        Ok(name) if OURS.contains(&name.as_str()) => Err(format!("the header {name:?} is not yours to send")),
        Ok(name) => Ok(name),
        Err(_) => Err(format!("{name:?} is no name of a header")),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the host is not on the public internet, and the setting `networks` does not open where it is")]
struct Refused;

/// Resolves names to addresses within the border.
struct Guarded(Arc<Border>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let border = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let is_known = !found.is_empty();
            let admitted: Vec<SocketAddr> =
                found.into_iter().filter(|address| border.admits(address.ip())).collect();
            if is_known && admitted.is_empty() {
                return Err(Box::new(Refused) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// An error and its causes, in one line.
fn said(error: reqwest::Error) -> Why {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Refused>() {
            return Refused.to_string();
        }
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
