//! A delivery without a standard envelope: the configuration says where its names are, and there is always a fallback.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{Incoming, Malformed, UNNAMED_SENDER, delivery, json, read, trace};
use domain::entity::{JsonPointer, Naming};

/// The event type of a sender that names none.
pub const UNNAMED_EVENT: &str = "event";

/// Reads one delivery as `naming` says.
///
/// The id is the hash of the body where bodies are unique, else the configured header's, else `Idempotency-Key`, else `webhook-id`, else the hash of the body. The event
/// type is the configured header's, else what the JSON pointer finds, else [`UNNAMED_EVENT`]. The body may be anything.
///
/// # Errors
/// [`Malformed`] when a header is repeated or unreadable, or a body declared as JSON is not.
pub fn open(naming: &Naming, headers: &HeaderMap, body: &Bytes) -> Result<Incoming, Malformed> {
    let content_type = read::content_type(read::header(headers, "content-type")?, body)?;
    let mut extensions = BTreeMap::new();
    trace::adopt(headers, &mut extensions);
    Ok(Incoming {
        delivery_id: delivery_id(naming, headers, body)?,
        event_type: event_type(naming, headers, body)?,
        source_attr: UNNAMED_SENDER.to_owned(),
        subject: None,
        time: None,
        content_type,
        data: body.clone(),
        extensions,
    })
}

fn delivery_id(naming: &Naming, headers: &HeaderMap, body: &[u8]) -> Result<String, Malformed> {
    if naming.unique_bodies {
        return Ok(delivery::body_hash(body));
    }
    let configured = naming.delivery_header.as_ref().map(|name| name.as_str());
    for name in configured.into_iter().chain(["idempotency-key", "webhook-id"]) {
        if let Some(id) = read::header(headers, name)? {
            return Ok(delivery::id(id));
        }
    }
    Ok(delivery::body_hash(body))
}

fn event_type(naming: &Naming, headers: &HeaderMap, body: &[u8]) -> Result<String, Malformed> {
    if let Some(name) = &naming.event_header
        && let Some(event_type) = read::header(headers, name.as_str())?
    {
        return Ok(event_type.to_owned());
    }
    let pointed = naming.event_pointer.as_ref().and_then(|pointer| find(pointer, body));
    Ok(pointed.unwrap_or_else(|| UNNAMED_EVENT.to_owned()))
}

/// The string at `pointer`, if the body is JSON, has one there, and it can stand as an attribute.
fn find(pointer: &JsonPointer, body: &[u8]) -> Option<String> {
    let text = json::text(body).ok()?;
    let mut tree: Value = serde_json::from_str(text).ok()?;
    let found = tree.pointer_mut(pointer.as_str())?.take();
    if let Value::String(found) = found
        && read::is_attribute(&found)
    {
        return Some(found);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    fn naming(written: &str) -> Naming {
        serde_json::from_str(written).expect("naming is read")
    }

    fn opened(naming_json: &str, sent: &[(&str, &str)], body: &'static str) -> Result<Incoming, Malformed> {
        open(&naming(naming_json), &headers(sent), &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn the_delivery_id_has_an_order_of_fallbacks() {
        let all = [("x-id", "1"), ("idempotency-key", "2"), ("webhook-id", "3")];
        let configured = r#"{"deliveryHeader": "X-Id"}"#;
        let hash = delivery::body_hash(b"{}");
        for (naming, sent, id) in [
            (configured, &all[..], "1"),
            (configured, &all[1..], "2"),
            ("{}", &all[..], "2"),
            ("{}", &all[2..], "3"),
            ("{}", &[][..], hash.as_str()),
            (configured, &[("x-id", " ")][..], hash.as_str()),
            (r#"{"deliveryHeader": "X-Id", "uniqueBodies": true}"#, &all[..], hash.as_str()),
        ] {
            assert_eq!(opened(naming, sent, "{}").expect("readable").delivery_id, id, "{naming} {sent:?}");
        }
        assert!(opened(configured, &[("x-id", "1"), ("x-id", "2")], "{}").is_err(), "two ids");
    }

    #[test]
    fn the_event_type_is_header_then_pointer_then_event() {
        let both = r#"{"eventHeader": "X-Event-Key", "eventPointer": "/push/0/type"}"#;
        let body = r#"{"push": [{"type": "PUSH_ARTIFACT"}]}"#;
        for (naming, sent, body, event_type) in [
            (both, &[("x-event-key", "repo:push")][..], body, "repo:push"),
            (both, &[][..], body, "PUSH_ARTIFACT"),
            (both, &[][..], r#"{"push": []}"#, UNNAMED_EVENT),
            (both, &[][..], r#"{"push": [{"type": 7}]}"#, UNNAMED_EVENT),
            (both, &[][..], r#"{"push": [{"type": ""}]}"#, UNNAMED_EVENT),
            (both, &[][..], r#"{"push": [{"type": "a\nb"}]}"#, UNNAMED_EVENT),
            (both, &[][..], "not json", UNNAMED_EVENT),
            ("{}", &[("x-event-key", "repo:push")][..], body, UNNAMED_EVENT),
        ] {
            assert_eq!(
                opened(naming, sent, body).expect("readable").event_type,
                event_type,
                "{sent:?} {body}"
            );
        }
    }

    #[test]
    fn any_body_is_taken_unless_it_is_not_what_it_says() {
        for (sent, body, content_type) in [
            (&[][..], "{}", Some("application/json")),
            (&[][..], "a=b", Some("application/octet-stream")),
            (&[("content-type", "text/xml")][..], "<a/>", Some("text/xml")),
            (&[("content-type", "application/json")][..], "", None),
        ] {
            let incoming = opened("{}", sent, body).expect("readable");
            assert_eq!(incoming.content_type.as_deref(), content_type, "{body}");
            assert_eq!(incoming.data, body);
        }
        assert!(opened("{}", &[("content-type", "application/json")], "{").is_err());
    }
}
