//! Structured and batch mode: attributes and data together in JSON.
//!
//! JSON data keeps its bytes: it is cut out of the event, not written anew.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Attributes, BATCH_EVENTS_MAX, add, incoming};
use crate::envelope::{Incoming, Malformed, json, read};

pub(super) fn one(body: &[u8]) -> Result<Incoming, Malformed> {
    event(json::object(body)?)
}

pub(super) fn batch(body: &[u8]) -> Result<Vec<Incoming>, Malformed> {
    let text = json::text(body)?;
    let items: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| Malformed::because("a batch is a JSON array"))?;
    if items.len() > BATCH_EVENTS_MAX {
        return Err(Malformed::because(format!("a batch has more than {BATCH_EVENTS_MAX} events")));
    }
    let numbered = items.into_iter().enumerate();
    numbered
        .map(|(at, item)| {
            event(item.get())
                .map_err(|Malformed(reason)| Malformed(format!("event {at} of the batch: {reason}")))
        })
        .collect()
}

fn event(text: &str) -> Result<Incoming, Malformed> {
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|_| Malformed::because("an event is a JSON object"))?;
    let (data, base64) = (members.remove("data"), members.remove("data_base64"));
    let mut attributes = Attributes::new();
    for (name, value) in members {
        if let Some(value) = attribute(&name, value)? {
            add(&mut attributes, &name, value)?;
        }
    }
    let data = match (present(data), present(base64)) {
        (Some(_), Some(_)) => return Err(Malformed::because("an event has both data and data_base64")),
        (Some(data), None) => inline(data, &mut attributes),
        (None, Some(base64)) => decode(base64)?,
        (None, None) => Bytes::new(),
    };
    incoming(attributes, data)
}

/// A member that is there and not null: null stands for absent.
fn present(member: Option<&RawValue>) -> Option<&RawValue> {
    member.filter(|value| value.get() != "null")
}

/// Strings as they are, booleans and numbers as written; null is absent.
fn attribute(name: &str, value: &RawValue) -> Result<Option<String>, Malformed> {
    let not_simple = || Malformed::because(format!("attribute {name} is neither string, boolean nor number"));
    match serde_json::from_str(value.get()).map_err(|_| not_simple())? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) => Ok(Some(value.get().to_owned())),
        Value::Array(_) | Value::Object(_) => Err(not_simple()),
    }
}

/// JSON data as written; a string of another media type without its quotes. Data that is JSON needs no declaration.
fn inline(data: &RawValue, attributes: &mut Attributes) -> Bytes {
    let declared =
        attributes.entry("datacontenttype".to_owned()).or_insert_with(|| "application/json".to_owned());
    if !read::is_json(declared)
        && let Ok(text) = serde_json::from_str::<String>(data.get())
    {
        return Bytes::from(text);
    }
    Bytes::copy_from_slice(data.get().as_bytes())
}

fn decode(base64: &RawValue) -> Result<Bytes, Malformed> {
    serde_json::from_str::<String>(base64.get())
        .ok()
        .and_then(|text| STANDARD.decode(text).ok())
        .map(Bytes::from)
        .ok_or_else(|| Malformed::because("data_base64 is not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(members: &str) -> String {
        format!(
            r#"{{"specversion": "1.0", "id": "A1", "source": "https://ci.example/x", "type": "t.u"{members}}}"#
        )
    }

    fn opened(members: &str) -> Result<Incoming, Malformed> {
        one(with(members).as_bytes())
    }

    #[test]
    fn members_become_attributes() {
        let event = opened(
            r#", "subject": "sub", "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value",
               "sampledrate": 10, "flag": true, "none": null, "data": null"#,
        )
        .expect("readable");
        assert_eq!(event.delivery_id, "https://ci.example/x A1");
        assert_eq!(event.event_type, "t.u");
        assert_eq!(event.subject.as_deref(), Some("sub"));
        assert_eq!(event.time.map(|time| time.timestamp()), Some(1_522_949_460));
        let extensions: Vec<_> = event.extensions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(extensions, [("comexampleextension1", "value"), ("flag", "true"), ("sampledrate", "10")]);
        assert_eq!((event.content_type, event.data), (None, Bytes::new()));
    }

    #[test]
    fn data_keeps_its_bytes() {
        for (members, content_type, data) in [
            (
                r#", "data": {"n":  12345678901234567890123, "é": [1.0]}"#,
                "application/json",
                r#"{"n":  12345678901234567890123, "é": [1.0]}"#,
            ),
            (r#", "data": "text""#, "application/json", r#""text""#),
            (r#", "datacontenttype": "application/x+json", "data": [1]"#, "application/x+json", "[1]"),
            (r#", "datacontenttype": "text/xml", "data": "<a b=\"1\"/>""#, "text/xml", r#"<a b="1"/>"#),
            (r#", "datacontenttype": "text/xml", "data": {"a": 1}"#, "text/xml", r#"{"a": 1}"#),
            (r#", "datacontenttype": "text/plain", "data_base64": "aGk=""#, "text/plain", "hi"),
            (r#", "datacontenttype": "application/json", "data_base64": "e30=""#, "application/json", "{}"),
            (r#", "data_base64": "aGk=", "data": null"#, "application/octet-stream", "hi"),
        ] {
            let event = opened(members).expect(members);
            assert_eq!(event.content_type.as_deref(), Some(content_type), "{members}");
            assert_eq!(event.data, data, "{members}");
        }
    }

    #[test]
    fn what_is_not_a_cloudevent_is_refused() {
        for (members, why) in [
            (r#", "data": 1, "data_base64": "aGk=""#, "both kinds of data"),
            (r#", "data_base64": "a b""#, "not base64"),
            (r#", "data_base64": 7"#, "base64 is no string"),
            (r#", "datacontenttype": "application/json", "data_base64": "aGk=""#, "declared JSON is not"),
            (r#", "time": "5 April 2018""#, "time"),
            (r#", "subject": {"a": 1}"#, "attribute is an object"),
            (r#", "subject": "a\u0000b""#, "control character"),
            (r#", "myExt": "a""#, "name in upper case"),
            (r#", "my_ext": "a""#, "name with underscore"),
        ] {
            assert!(opened(members).is_err(), "{why}");
        }
        for (body, why) in [
            ("", "empty"),
            ("{", "not JSON"),
            ("[]", "array"),
            (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, "no id"),
            (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, "empty id"),
            (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "no source"),
            (r#"{"specversion":"1.0","id":"1","source":"a b","type":"t"}"#, "source with space"),
            (r#"{"specversion":"1.0","id":"1","source":"/s"}"#, "no type"),
            (r#"{"id":"1","source":"/s","type":"t"}"#, "no version"),
            (r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#, "another version"),
        ] {
            assert!(one(body.as_bytes()).is_err(), "{why}");
        }
        let many: String = (0..64).map(|n| format!(r#", "e{n}": "1""#)).collect();
        assert!(opened(&many).is_err(), "too many attributes");
    }

    #[test]
    fn a_batch_is_read_whole_or_not_at_all() {
        let good = with(r#", "data": {"a": 1}"#);
        let events = batch(format!("[{good}, {good}]").as_bytes()).expect("readable");
        assert_eq!(events.len(), 2);
        assert_eq!(events[1].data, r#"{"a": 1}"#);
        let Malformed(reason) = batch(format!("[{good}, {{}}]").as_bytes()).expect_err("second is bad");
        assert_eq!(reason, "event 1 of the batch: attribute specversion is missing");
        assert!(batch(good.as_bytes()).is_err(), "no array");
        let full = vec!["{}"; BATCH_EVENTS_MAX + 1].join(",");
        let Malformed(reason) = batch(format!("[{full}]").as_bytes()).expect_err("too many");
        assert_eq!(reason, "a batch has more than 1000 events");
    }
}
