//! Binary mode: attributes in percent-encoded `ce-*` headers, the data as the body.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use super::{Attributes, add, incoming};
use crate::envelope::{Incoming, Malformed, percent, read};

pub(super) fn one(
    headers: &HeaderMap,
    content_type: Option<&str>,
    body: &Bytes,
) -> Result<Incoming, Malformed> {
    let mut attributes = Attributes::new();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        if matches!(attribute, "datacontenttype" | "data") {
            return Err(Malformed::because("content type and data have no ce- header"));
        }
        if let Some(value) = read::header(headers, name.as_str())? {
            let value = decode(value)
                .ok_or_else(|| Malformed::because(format!("header {name} is not percent-encoded UTF-8")))?;
            add(&mut attributes, attribute, value)?;
        }
    }
    if let Some(content_type) = content_type {
        add(&mut attributes, "datacontenttype", content_type.to_owned())?;
    }
    incoming(attributes, body.clone())
}

/// Quotes are taken off first, then percent signs are resolved: §3.1.3.2 of the HTTP protocol binding.
fn decode(value: &str) -> Option<String> {
    let unquoted = match value.strip_prefix('"') {
        Some(quoted) => Cow::Owned(unquote(quoted)?),
        None => Cow::Borrowed(value),
    };
    String::from_utf8(percent::decode(&unquoted)?).ok()
}

/// What stands between the quotes; `quoted` begins after the first one.
fn unquote(quoted: &str) -> Option<String> {
    let mut inner = String::with_capacity(quoted.len());
    let mut rest = quoted.strip_suffix('"')?.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => inner.push(rest.next()?),
            '"' => return None,
            c => inner.push(c),
        }
    }
    Some(inner)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::verify::testing::headers;

    const BASE: [(&str, &str); 4] = [
        ("CE-SpecVersion", "1.0"),
        ("Ce-Id", "A234-1234-1234"),
        ("ce-source", "/mycontext"),
        ("ce-type", "com.example.t"),
    ];

    fn opened(more: &[(&str, &str)], body: &'static [u8]) -> Result<Incoming, Malformed> {
        let sent = headers(&[&BASE[..], more].concat());
        let content_type = sent.get("content-type").map(|value| value.to_str().expect("ASCII"));
        one(&sent, content_type, &Bytes::from_static(body))
    }

    #[test]
    fn headers_become_attributes() {
        let more = [
            ("ce-time", "2018-04-05T17:31:00+02:00"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("ce-dataschema", "https://example.com/schema"),
            ("ce-chainid", "\"a \\\"quoted\\\" one\""),
            ("content-type", "application/json"),
            ("x-other", "ignored"),
        ];
        let event = opened(&more, b"{\"a\": 1}").expect("readable");
        assert_eq!(event.delivery_id, "/mycontext A234-1234-1234");
        assert_eq!(event.event_type, "com.example.t");
        assert_eq!(event.source_attr, "/mycontext");
        assert_eq!(event.subject.as_deref(), Some("Euro € 😀"));
        assert_eq!(event.time, DateTime::from_timestamp(1_522_942_260, 0));
        assert_eq!(event.content_type.as_deref(), Some("application/json"));
        assert_eq!(event.data, &b"{\"a\": 1}"[..]);
        let extensions: Vec<_> = event.extensions.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            extensions,
            [("chainid", "a \"quoted\" one"), ("dataschema", "https://example.com/schema")]
        );
    }

    #[test]
    fn data_is_optional_and_may_be_anything() {
        let none = opened(&[("content-type", "application/json")], b"").expect("readable");
        assert_eq!((none.content_type, none.data), (None, Bytes::new()));
        let bytes = opened(&[("content-type", "image/png")], b"\x89PNG").expect("readable");
        assert_eq!(bytes.data, &b"\x89PNG"[..]);
    }

    #[test]
    fn what_is_not_a_cloudevent_is_refused() {
        for (header, value, why) in [
            ("ce-subject", "100%", "percent without digits"),
            ("ce-subject", "%ff", "not UTF-8"),
            ("ce-subject", "%0A", "control character"),
            ("ce-subject", "\"open", "open quote"),
            ("ce-my_ext", "1", "name with underscore"),
            ("ce-", "1", "no name"),
            ("ce-time", "yesterday", "time"),
            ("ce-datacontenttype", "text/plain", "content type has its own header"),
            ("ce-id", "2", "id twice"),
            ("content-type", "application/json", "not JSON"),
        ] {
            assert!(opened(&[(header, value)], b"{").is_err(), "{why}");
        }
        for missing in ["ce-id", "ce-source", "ce-type", "ce-specversion"] {
            let mut sent = headers(&BASE);
            sent.remove(missing);
            let Malformed(reason) = one(&sent, None, &Bytes::new()).expect_err(missing);
            assert_eq!(reason, format!("attribute {} is missing", &missing[3..]));
            sent.insert(http::HeaderName::from_static(missing), http::HeaderValue::from_static(""));
            assert!(one(&sent, None, &Bytes::new()).is_err(), "{missing} is empty");
        }
        let mut old = headers(&BASE);
        old.insert("ce-specversion", http::HeaderValue::from_static("0.3"));
        assert!(one(&old, None, &Bytes::new()).is_err(), "another version");
    }
}
