//! CloudEvents 1.0 over HTTP, in its three content modes: structured, batch and binary.
//!
//! Knows the attributes every event must have and keeps all others; does not know what types mean.

mod binary;
mod structured;

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;

use super::{Incoming, Malformed, delivery, read, trace};

/// The most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 1000;

/// The most attributes of one event.
pub const ATTRIBUTES_MAX: usize = 64;

/// Reads one delivery; the content type says in which mode. A batch is read whole or not at all, and may be empty.
///
/// # Errors
/// [`Malformed`] when a required attribute is missing or an attribute, the encoding or the data is not as CloudEvents
/// 1.0 asks; `Malformed` also for event formats other than JSON.
pub fn open(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Incoming>, Malformed> {
    let content_type = read::header(headers, "content-type")?;
    let mut events = match content_type.map(read::essence).as_deref() {
        Some("application/cloudevents+json") => vec![structured::one(body)?],
        Some("application/cloudevents-batch+json") => structured::batch(body)?,
        Some(other) if other.starts_with("application/cloudevents") => {
            return Err(Malformed::because("of the CloudEvents formats only JSON is read"));
        }
        Some(_) | None => vec![binary::one(headers, content_type, body)?],
    };
    for event in &mut events {
        trace::adopt(headers, &mut event.extensions);
    }
    Ok(events)
}

/// Attributes by name, from whichever mode.
type Attributes = BTreeMap<String, String>;

/// Adds one attribute, if name and value are legal. A value that is empty counts as not set.
fn add(attributes: &mut Attributes, name: &str, value: String) -> Result<(), Malformed> {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
        return Err(Malformed::because("an attribute name is not made of lower-case letters and digits"));
    }
    if value.is_empty() {
        return Ok(());
    }
    if !read::is_attribute(&value) {
        return Err(Malformed::because(format!("attribute {name} is too long or has control characters")));
    }
    if attributes.len() >= ATTRIBUTES_MAX {
        return Err(Malformed::because(format!("an event has more than {ATTRIBUTES_MAX} attributes")));
    }
    if attributes.insert(name.to_owned(), value).is_some() {
        return Err(Malformed::because(format!("attribute {name} appears more than once")));
    }
    Ok(())
}

/// Checks what every event must have. What has no field of its own stays in the extensions, `dataschema` included.
fn incoming(mut attributes: Attributes, data: Bytes) -> Result<Incoming, Malformed> {
    if required(&mut attributes, "specversion")? != "1.0" {
        return Err(Malformed::because("attribute specversion is not 1.0"));
    }
    let id = required(&mut attributes, "id")?;
    let source = required(&mut attributes, "source")?;
    if !read::is_source(&source) {
        return Err(Malformed::because("attribute source is not a URI reference"));
    }
    let event_type = required(&mut attributes, "type")?;
    let declared = attributes.remove("datacontenttype");
    Ok(Incoming {
        // A source has no space in it, so the pair can be told apart again.
        delivery_id: delivery::id(&format!("{source} {id}")),
        event_type,
        source_attr: source,
        subject: attributes.remove("subject"),
        time: attributes.remove("time").map(|time| parse_time(&time)).transpose()?,
        content_type: read::content_type(declared.as_deref(), &data)?,
        data,
        extensions: attributes,
    })
}

fn required(attributes: &mut Attributes, name: &str) -> Result<String, Malformed> {
    attributes.remove(name).ok_or_else(|| Malformed::because(format!("attribute {name} is missing")))
}

fn parse_time(time: &str) -> Result<DateTime<Utc>, Malformed> {
    DateTime::parse_from_rfc3339(time)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| Malformed::because("attribute time is not RFC 3339"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    fn refused(sent: &[(&str, &str)], body: &str) -> String {
        let Malformed(reason) =
            open(&headers(sent), &Bytes::copy_from_slice(body.as_bytes())).expect_err("malformed");
        reason
    }

    #[test]
    fn the_content_type_chooses_the_mode() {
        let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
        let structured = [("content-type", "application/cloudevents+json; charset=UTF-8")];
        let batch = [("Content-Type", "Application/CloudEvents-Batch+JSON")];
        let binary = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("content-type", "text/plain"),
        ];
        let read = |sent: &[(&str, &str)], body: &str| {
            open(&headers(sent), &Bytes::copy_from_slice(body.as_bytes())).expect("readable")
        };
        assert_eq!(read(&structured, event).len(), 1);
        assert_eq!(read(&batch, &format!("[{event},{event}]")).len(), 2);
        assert_eq!(read(&batch, "[]"), vec![]);
        assert_eq!(read(&binary, "hello")[0].data, "hello");
        assert_eq!(
            refused(&[("content-type", "application/cloudevents+avro")], event),
            "of the CloudEvents formats only JSON is read"
        );
        assert_eq!(
            refused(&[("content-type", "application/json")], event),
            "attribute specversion is missing"
        );
        assert_eq!(refused(&[], event), "attribute specversion is missing");
    }

    #[test]
    fn the_delivery_is_source_and_id_together() {
        let sent = |source: &'static str, id: &'static str| {
            let pairs = [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", source), ("ce-type", "t")];
            open(&headers(&pairs), &Bytes::new()).map(|events| events[0].delivery_id.clone())
        };
        assert_eq!(sent("/s", "1"), Ok("/s 1".to_owned()));
        assert_ne!(sent("/s", "1"), sent("/t", "1"));
        assert_ne!(sent("/s", "a%20b"), sent("/s%20a", "b"));
        assert!(sent("/s%20a", "b").is_err(), "a source has no space");
    }

    #[test]
    fn a_trace_in_the_event_comes_before_the_one_of_the_request() {
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let request = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let base = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("traceparent", request),
        ];
        let read = |sent: &[(&str, &str)]| {
            open(&headers(sent), &Bytes::new()).expect("readable")[0].extensions["traceparent"].clone()
        };
        assert_eq!(read(&base), request);
        assert_eq!(read(&[&base[..], &[("ce-traceparent", own)]].concat()), own);
    }
}
