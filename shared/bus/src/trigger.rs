//! Events from outside on the wire: CloudEvents 1.0 in binary mode, each attribute a `ce-` header, the payload untouched.
//! Knows how they are written and read, not what they mean.

use async_nats::HeaderMap;
use bytes::Bytes;
use domain::trigger::TriggerAttributes;
use serde_json::{Map, Value};

use crate::connect::Bus;
use crate::consume::{Decode, DecodeError, RawMessage};
use crate::error::BusError;
use crate::topology::PAYLOADS;

/// The largest payload that is accepted: 25 MiB, GitHub's own limit.
pub const PAYLOAD_BYTES_MAX: usize = 25 * 1024 * 1024;
/// What headers and protocol may take of a message.
const ENVELOPE_BYTES_MAX: usize = 32 * 1024;
const PREFIX: &str = "ce-";
const CONTENT_TYPE: &str = "content-type";
const OBJECT: &str = "object:";

/// An event from outside as it is read from `TRIGGERS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerEvent {
    /// What is known of it.
    pub attributes: TriggerAttributes,
    body: Bytes,
}

impl TriggerEvent {
    /// An event with its payload at hand.
    pub fn new(attributes: TriggerAttributes, body: Bytes) -> Self {
        Self { attributes, body }
    }

    /// Moves a payload that is too large for a message to the object store, under `name`.
    ///
    /// # Errors
    /// When the bus does not confirm it.
    pub async fn fit(mut self, bus: &Bus, name: &str) -> Result<Self, BusError> {
        if self.body.len() + ENVELOPE_BYTES_MAX > bus.max_payload_bytes() {
            bus.objects(&PAYLOADS).put(name, std::mem::take(&mut self.body)).await?;
            self.attributes.dataref = Some(format!("{OBJECT}{name}"));
        }
        Ok(self)
    }

    /// Headers and body of the message.
    pub fn encode(self) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        let attributes =
            serde_json::to_value(&self.attributes).expect("attributes are strings, which are JSON");
        for (name, value) in attributes.as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else { continue };
            match name.as_str() {
                "datacontenttype" => headers.insert(CONTENT_TYPE, value),
                name => headers.insert(format!("{PREFIX}{name}"), escape(value)),
            }
        }
        (headers, self.body)
    }

    /// The payload, from wherever it is.
    ///
    /// # Errors
    /// [`BusError::Corrupt`] when the object it refers to is gone or too large; else when the bus does not answer.
    pub async fn payload(&self, bus: &Bus) -> Result<Bytes, BusError> {
        let Some(reference) = &self.attributes.dataref else { return Ok(self.body.clone()) };
        let corrupt =
            |why: &str| BusError::Corrupt { what: format!("payload {reference}"), why: why.to_owned() };
        let name =
            reference.strip_prefix(OBJECT).ok_or_else(|| corrupt("is not a reference to an object"))?;
        let found = bus.objects(&PAYLOADS).get(name, PAYLOAD_BYTES_MAX).await?;
        found.ok_or_else(|| corrupt("is gone from the object store"))
    }
}

impl Decode for TriggerEvent {
    fn decode(message: &RawMessage) -> Result<Self, DecodeError> {
        let mut attributes = Map::new();
        for (name, values) in message.headers.iter() {
            let name: &str = name.as_ref();
            let Some(value) = values.first() else { continue };
            if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                attributes.insert("datacontenttype".to_owned(), value.as_str().into());
            } else if let Some(name) = name.to_ascii_lowercase().strip_prefix(PREFIX) {
                attributes.insert(name.to_owned(), unescape(value.as_str()).into());
            }
        }
        let attributes = serde_json::from_value(Value::Object(attributes))
            .map_err(|error| DecodeError(format!("not a trigger event: {error}")))?;
        Ok(Self { attributes, body: message.payload.clone() })
    }
}

/// Header values hold printable ASCII; everything else, and `%`, is percent-encoded (CloudEvents HTTP binding §3.1.3.2,
/// which the NATS binding follows).
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'%' | b'"' => escaped.push_str(&format!("%{byte:02X}")),
            0x20..=0x7e => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = value.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    fn attributes() -> TriggerAttributes {
        TriggerAttributes {
            specversion: "1.0".into(),
            id: "72d3162e-cc78-11e3-81ab-4c9367dc0958".into(),
            source: "https://github.com/acme/shop".into(),
            event_type: "push".into(),
            subject: Some("zürich 100% \"sure\"".into()),
            time: Timestamp::UNIX_EPOCH,
            datacontenttype: Some("application/json".into()),
            dataref: None,
            workspace: "acme".parse().unwrap(),
            triggersource: "github".parse().unwrap(),
            sourcekind: "github".parse().unwrap(),
            traceparent: None,
        }
    }

    #[test]
    fn an_event_reads_back_what_was_written_and_its_payload_is_untouched() {
        let body = Bytes::from_static(b"{ \"a\" : 1 }\n");
        let event = TriggerEvent::new(attributes(), body.clone());
        let (headers, payload) = event.clone().encode();
        assert_eq!(payload, body);
        assert_eq!(headers.get("ce-type").map(|v| v.as_str()), Some("push"));
        assert_eq!(headers.get("content-type").map(|v| v.as_str()), Some("application/json"));
        let message = RawMessage { subject: "s".into(), headers, payload };
        assert_eq!(TriggerEvent::decode(&message).unwrap(), event);
    }

    #[test]
    fn a_message_without_attributes_is_refused() {
        let message = RawMessage { subject: "s".into(), headers: HeaderMap::new(), payload: Bytes::new() };
        assert!(TriggerEvent::decode(&message).is_err());
    }
}
