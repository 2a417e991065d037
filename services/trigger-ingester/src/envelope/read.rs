//! Reads headers, media types and attributes, each with a limit.

use http::HeaderMap;

use super::{ATTRIBUTE_BYTES_MAX, Malformed, json};

/// The value of `name`, if it is there and not empty.
///
/// # Errors
/// [`Malformed`] when it is there twice, is not printable ASCII, or is longer than an attribute may be.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Malformed> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::because(format!("header {name} appears more than once")));
    }
    let text = value
        .to_str()
        .map_err(|_| Malformed::because(format!("header {name} is not printable ASCII")))?
        .trim();
    if text.len() > ATTRIBUTE_BYTES_MAX {
        return Err(Malformed::because(format!("header {name} is longer than {ATTRIBUTE_BYTES_MAX} bytes")));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// As [`header`], and it must be there.
pub(super) fn required<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Malformed> {
    header(headers, name)?.ok_or_else(|| Malformed::because(format!("header {name} is missing")))
}

/// Whether `text` may stand as an attribute: not empty, no control characters, not too long.
pub(super) fn is_attribute(text: &str) -> bool {
    !text.is_empty() && text.len() <= ATTRIBUTE_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Whether `text` may stand as a CloudEvents `source`, a URI reference.
pub(super) fn is_source(text: &str) -> bool {
    is_attribute(text) && !text.contains(char::is_whitespace)
}

/// The media type without its parameters, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether the media type announces JSON: `…/json` or `…/…+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// The media type of `body`: as declared, where JSON must then be JSON; undeclared, what the body turns out to be.
pub(super) fn content_type(declared: Option<&str>, body: &[u8]) -> Result<Option<String>, Malformed> {
    match declared {
        _ if body.is_empty() => Ok(None),
        Some(declared) => {
            if is_json(declared) {
                json::text(body)?;
            }
            Ok(Some(declared.to_owned()))
        }
        None if json::text(body).is_ok() => Ok(Some("application/json".to_owned())),
        None => Ok(Some("application/octet-stream".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::headers;

    #[test]
    fn a_header_is_one_bounded_line_of_ascii() {
        let sent = headers(&[("a", " x "), ("b", "1"), ("b", "2"), ("c", "é"), ("d", " ")]);
        assert_eq!(header(&sent, "a"), Ok(Some("x")));
        assert_eq!(header(&sent, "d"), Ok(None));
        assert_eq!(header(&sent, "e"), Ok(None));
        assert!(header(&sent, "b").is_err() && header(&sent, "c").is_err());
        assert_eq!(required(&sent, "e"), Err(Malformed::because("header e is missing")));
        assert!(header(&headers(&[("a", &"x".repeat(4097))]), "a").is_err());
    }

    #[test]
    fn json_is_told_by_its_subtype() {
        for (content_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.docker.distribution.events.v1+json", true),
            ("text/json", true),
            ("application/jsonlines", false),
            ("json", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_json(content_type), json, "{content_type}");
        }
    }

    #[test]
    fn declared_json_must_be_json_and_nothing_else_is_asked() {
        assert_eq!(content_type(Some("text/plain"), b"{"), Ok(Some("text/plain".to_owned())));
        assert_eq!(content_type(None, b"{}"), Ok(Some("application/json".to_owned())));
        assert_eq!(content_type(None, b"{"), Ok(Some("application/octet-stream".to_owned())));
        assert_eq!(content_type(Some("application/json"), b""), Ok(None));
        assert!(content_type(Some("application/json"), b"{").is_err());
    }
}
