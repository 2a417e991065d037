//! A Standard Webhooks delivery: `webhook-id` names it, and the body is by custom `{type, timestamp, data}`.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;
use serde::Deserialize;

use super::generic::UNNAMED_EVENT;
use super::{Incoming, Malformed, UNNAMED_SENDER, delivery, json, read, trace};

/// Reads one delivery. `type` and `timestamp` are a custom, not a rule: without them the type is `event`, and the time
/// is the one in the signed header.
///
/// # Errors
/// [`Malformed`] without `webhook-id`, or when a body declared as JSON is not.
pub fn open(headers: &HeaderMap, body: &Bytes) -> Result<Incoming, Malformed> {
    let id = read::required(headers, "webhook-id")?;
    let content_type = read::content_type(read::header(headers, "content-type")?, body)?;
    let outline: Outline = json::object(body).map(json::outline).unwrap_or_default();
    let sent_at = read::header(headers, "webhook-timestamp")?
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let happened_at = outline.timestamp.and_then(|time| DateTime::parse_from_rfc3339(&time).ok());
    let mut extensions = std::collections::BTreeMap::new();
    trace::adopt(headers, &mut extensions);
    Ok(Incoming {
        delivery_id: delivery::id(id),
        event_type: outline
            .kind
            .filter(|kind| read::is_attribute(kind))
            .unwrap_or_else(|| UNNAMED_EVENT.to_owned()),
        source_attr: UNNAMED_SENDER.to_owned(),
        subject: None,
        time: happened_at.map(|time| time.with_timezone(&Utc)).or(sent_at),
        content_type,
        data: body.clone(),
        extensions,
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    #[serde(rename = "type")]
    kind: Option<String>,
    timestamp: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    fn opened(body: &'static str) -> Incoming {
        let sent = [("webhook-id", "msg_1"), ("webhook-timestamp", "1614265330")];
        open(&headers(&sent), &Bytes::from_static(body.as_bytes())).expect("readable")
    }

    #[test]
    fn type_and_time_come_from_the_body_if_they_are_there() {
        let sent_at = "2021-02-25T15:02:10Z";
        for (body, event_type, time) in [
            (
                r#"{"type": "user.created", "timestamp": "2021-02-25T14:00:00Z"}"#,
                "user.created",
                "2021-02-25T14:00:00Z",
            ),
            (r#"{"type": "user.created", "timestamp": "yesterday"}"#, "user.created", sent_at),
            (r#"{"type": 1, "timestamp": "2021-02-25T14:00:00Z"}"#, "event", sent_at),
            (r#"{"test": 2432232314}"#, "event", sent_at),
            ("[]", "event", sent_at),
            ("", "event", sent_at),
        ] {
            let incoming = opened(body);
            assert_eq!(incoming.delivery_id, "msg_1");
            assert_eq!(incoming.event_type, event_type, "{body}");
            let time = DateTime::parse_from_rfc3339(time).expect("a time").with_timezone(&Utc);
            assert_eq!(incoming.time, Some(time), "{body}");
            assert_eq!(incoming.data, body);
        }
    }

    #[test]
    fn without_an_id_it_is_refused() {
        assert!(open(&headers(&[]), &Bytes::from_static(b"{}")).is_err());
    }
}
