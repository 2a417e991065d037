//! A GitHub delivery: named by two headers, JSON in the body or in the form field `payload`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::{Incoming, Malformed, UNNAMED_SENDER, delivery, json, percent, read, trace};

/// The event type of the delivery GitHub sends when a hook is set up.
pub const PING: &str = "ping";

/// Reads one delivery of GitHub.
///
/// # Errors
/// [`Malformed`] without `X-GitHub-Event` or `X-GitHub-Delivery`, with another content type than GitHub's two, or when
/// the payload is not a JSON object.
pub fn open(headers: &HeaderMap, body: &Bytes) -> Result<Incoming, Malformed> {
    let event_type = read::required(headers, "x-github-event")?;
    let delivery_id = read::required(headers, "x-github-delivery")?;
    let data = payload(headers, body)?;
    let outline: Outline = json::outline(json::object(&data)?);
    let mut extensions = BTreeMap::new();
    trace::adopt(headers, &mut extensions);
    Ok(Incoming {
        delivery_id: delivery::id(delivery_id),
        event_type: event_type.to_owned(),
        source_attr: outline.source().unwrap_or_else(|| UNNAMED_SENDER.to_owned()),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        data,
        extensions,
    })
}

fn payload(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, Malformed> {
    match read::essence(read::required(headers, "content-type")?).as_str() {
        "application/json" => Ok(body.clone()),
        "application/x-www-form-urlencoded" => std::str::from_utf8(body)
            .ok()
            .and_then(|form| percent::form_field(form, "payload"))
            .map(Bytes::from)
            .ok_or_else(|| Malformed::because("the form does not have exactly one readable field payload")),
        _ => Err(Malformed::because(
            "the content type is neither application/json nor application/x-www-form-urlencoded",
        )),
    }
}

/// What tells where a payload comes from: its repository, else its organization.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    repository: Option<Repository>,
    organization: Option<Organization>,
}

#[derive(Deserialize)]
struct Repository {
    html_url: Option<String>,
}

#[derive(Deserialize)]
struct Organization {
    url: Option<String>,
}

impl Outline {
    fn source(self) -> Option<String> {
        let repository = self.repository.and_then(|repository| repository.html_url);
        let organization = self.organization.and_then(|organization| organization.url);
        repository.or(organization).filter(|source| read::is_source(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    const PUSH: &[u8] = include_bytes!("../../tests/fixtures/github-push.json");
    const WORKFLOW_RUN: &[u8] = include_bytes!("../../tests/fixtures/github-workflow-run-completed.json");
    const PING_BODY: &[u8] = include_bytes!("../../tests/fixtures/github-ping.json");
    const GUID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

    fn sent<'v>(event: &'v str, content_type: &'v str) -> Vec<(&'v str, &'v str)> {
        vec![("X-GitHub-Event", event), ("X-GitHub-Delivery", GUID), ("Content-Type", content_type)]
    }

    #[test]
    fn deliveries_keep_their_bytes_and_say_where_they_come_from() {
        for (event, body, source) in [
            ("push", PUSH, "https://github.com/octo-org/shop"),
            ("workflow_run", WORKFLOW_RUN, "https://github.com/octo-org/shop"),
            ("ping", PING_BODY, "https://api.github.com/orgs/octo-org"),
            ("meta", b"{}", UNNAMED_SENDER),
            ("odd", b"{\"repository\": \"a string\"}", UNNAMED_SENDER),
            ("odd", b"{\"repository\": {\"html_url\": \"two words\"}}", UNNAMED_SENDER),
        ] {
            let incoming = open(&headers(&sent(event, "application/json")), &Bytes::from_static(body))
                .expect("readable");
            assert_eq!(incoming.event_type, event);
            assert_eq!(incoming.delivery_id, GUID);
            assert_eq!(incoming.source_attr, source, "{event}");
            assert_eq!(incoming.data, body);
            assert_eq!(incoming.content_type.as_deref(), Some("application/json"));
        }
    }

    #[test]
    fn a_form_is_unwrapped() {
        let sent = headers(&sent("push", "application/x-www-form-urlencoded; charset=utf-8"));
        let form = Bytes::from_static(b"payload=%7B%22ref%22%3A+%22refs%2Fheads%2Fmain%22%7D");
        let incoming = open(&sent, &form).expect("readable");
        assert_eq!(incoming.data, &b"{\"ref\": \"refs/heads/main\"}"[..]);
        assert_eq!(incoming.content_type.as_deref(), Some("application/json"));
        for bad in ["payload=%7B", "payload=%zz", "body=%7B%7D", "", "payload={}&payload={}"] {
            assert!(open(&sent, &Bytes::from_static(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_github_delivery_is_refused() {
        let body = Bytes::from_static(PUSH);
        for missing in ["X-GitHub-Event", "X-GitHub-Delivery", "Content-Type"] {
            let rest: Vec<_> =
                sent("push", "application/json").into_iter().filter(|(name, _)| *name != missing).collect();
            let Malformed(reason) = open(&headers(&rest), &body).expect_err(missing);
            assert_eq!(reason, format!("header {} is missing", missing.to_lowercase()));
        }
        assert!(open(&headers(&sent("push", "text/plain")), &body).is_err());
        for bad in ["", "[]", "{", "null", "payload=%7B%7D"] {
            let body = Bytes::from_static(bad.as_bytes());
            assert!(open(&headers(&sent("push", "application/json")), &body).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_senders_trace_is_taken_over() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut sent = sent("push", "application/json");
        sent.push(("traceparent", parent));
        let incoming = open(&headers(&sent), &Bytes::from_static(b"{}")).expect("readable");
        assert_eq!(incoming.extensions.get("traceparent").map(String::as_str), Some(parent));
    }
}
