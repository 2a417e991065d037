//! A GitLab delivery: the event in a header, the delivery in `webhook-id` or `Idempotency-Key`, a JSON object.
//!
//! Never asks `X-Gitlab-Webhook-UUID`, which names the hook and is the same for all deliveries, nor
//! `X-Gitlab-Event-UUID`, which changes when a delivery is sent again.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use super::{Incoming, Malformed, UNNAMED_SENDER, delivery, json, read, trace};

/// Reads one delivery of GitLab. Before 17.4 there is no delivery id: the hash of the body stands in.
///
/// # Errors
/// [`Malformed`] without `X-Gitlab-Event`, or when the body is not a JSON object.
pub fn open(headers: &HeaderMap, body: &Bytes) -> Result<Incoming, Malformed> {
    let event_type = read::required(headers, "x-gitlab-event")?;
    let named = match read::header(headers, "webhook-id")? {
        Some(id) => Some(id),
        None => read::header(headers, "idempotency-key")?,
    };
    let outline: Outline = json::outline(json::object(body)?);
    let source = outline.project.and_then(|project| project.web_url);
    let instance = read::header(headers, "x-gitlab-instance")?.map(str::to_owned);
    let mut extensions = BTreeMap::new();
    trace::adopt(headers, &mut extensions);
    Ok(Incoming {
        delivery_id: named.map_or_else(|| delivery::body_hash(body), delivery::id),
        event_type: event_type.to_owned(),
        source_attr: source
            .or(instance)
            .filter(|source| read::is_source(source))
            .unwrap_or_else(|| UNNAMED_SENDER.to_owned()),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        data: body.clone(),
        extensions,
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    web_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    const PIPELINE: &[u8] = include_bytes!("../../tests/fixtures/gitlab-pipeline.json");
    const HOOK: (&str, &str) = ("X-Gitlab-Webhook-UUID", "b9d1f0f3-2d2b-4b34-9d24-ee0e6d1cc3a4");
    const EVENT: (&str, &str) = ("X-Gitlab-Event", "Pipeline Hook");

    fn opened(more: &[(&str, &str)], body: &'static [u8]) -> Result<Incoming, Malformed> {
        let sent: Vec<_> = [HOOK, EVENT].iter().chain(more).copied().collect();
        open(&headers(&sent), &Bytes::from_static(body))
    }

    #[test]
    fn the_delivery_is_named_by_what_stays_over_resends_and_never_by_the_hook() {
        let event_uuid = ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e");
        for (sent, id) in [
            (vec![("webhook-id", "a"), ("Idempotency-Key", "b")], Some("a")),
            (vec![("Idempotency-Key", "b"), event_uuid], Some("b")),
            (vec![event_uuid], None),
        ] {
            let incoming = opened(&sent, PIPELINE).expect("readable");
            let expected = id.map_or_else(|| delivery::body_hash(PIPELINE), str::to_owned);
            assert_eq!(incoming.delivery_id, expected, "{sent:?}");
            assert_eq!(incoming.event_type, "Pipeline Hook");
            assert_eq!(incoming.source_attr, "https://gitlab.example.com/octo/shop");
            assert_eq!(incoming.data, PIPELINE);
        }
        assert_ne!(
            opened(&[], b"{\"a\":1}").expect("readable").delivery_id,
            opened(&[], b"{\"a\":2}").expect("readable").delivery_id
        );
    }

    #[test]
    fn without_a_project_the_instance_is_the_source() {
        let instance = ("X-Gitlab-Instance", "https://gitlab.example.com");
        assert_eq!(opened(&[instance], b"{}").expect("readable").source_attr, "https://gitlab.example.com");
        assert_eq!(opened(&[], b"{}").expect("readable").source_attr, UNNAMED_SENDER);
    }

    #[test]
    fn what_is_not_a_gitlab_delivery_is_refused() {
        let Malformed(reason) =
            open(&headers(&[HOOK]), &Bytes::from_static(PIPELINE)).expect_err("no event header");
        assert_eq!(reason, "header x-gitlab-event is missing");
        for bad in [&b""[..], b"[]", b"{", b"event=push"] {
            assert!(opened(&[], bad).is_err());
        }
    }
}
