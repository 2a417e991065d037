//! One exchange with GitHub over the shared client. It follows a moved repository, but never to another host, because
//! the credential goes along.

use http::header::LOCATION;
use http::{Method, StatusCode};
use platform::http::{Call, HttpClient, Outcome, SendError};
use reqwest::Url;

/// How often one call is sent on.
const REDIRECTS_MAX: usize = 3;

/// Sends the call. With `kept_for`, an answer kept for that credential is asked for conditionally.
pub(super) async fn send(
    http: &HttpClient,
    mut call: Call,
    kept_for: Option<&str>,
) -> Result<Outcome, SendError> {
    let mut redirects = 0;
    loop {
        let outcome = match kept_for {
            Some(credential) => http.read(credential, call.clone()).await?,
            None => http.send(call.clone()).await?,
        };
        match moved(&call, &outcome) {
            Some(url) if redirects < REDIRECTS_MAX => {
                redirects += 1;
                call.url = url;
            }
            Some(_) | None => return Ok(outcome),
        }
    }
}

/// Where the call is to be sent on to; `None` when the answer is the answer.
fn moved(call: &Call, outcome: &Outcome) -> Option<String> {
    let follow = match outcome.status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => call.method == Method::GET,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => false,
    };
    if !follow {
        return None;
    }
    let from = Url::parse(&call.url).ok()?;
    let to = from.join(outcome.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    (to.origin() == from.origin()).then(|| to.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;

    #[test]
    fn a_call_is_sent_on_within_its_host_only() {
        let get = Call::get("https://api.github.com/repos/a/b", HeaderMap::new());
        let post = Call::post("https://api.github.com/repos/a/b", HeaderMap::new(), &json!({}));
        for (call, status, location, expected) in [
            (&get, 301, "/repositories/7", Some("https://api.github.com/repositories/7")),
            (&get, 302, "https://api.github.com/x", Some("https://api.github.com/x")),
            (&get, 301, "https://evil.example/x", None),
            (&get, 301, "http://api.github.com/x", None),
            (&get, 200, "/x", None),
            (&post, 301, "/x", None),
            (&post, 308, "/x", Some("https://api.github.com/x")),
            (&post, 307, "https://api.github.com:444/x", None),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let status = StatusCode::from_u16(status).unwrap();
            let outcome = Outcome { status, headers, body: Bytes::new(), unchanged: false };
            assert_eq!(moved(call, &outcome).as_deref(), expected, "{status} {location}");
        }
    }
}
