//! Checks that bytes are JSON every later reader can parse, and looks a few fields up, without building a tree.
//!
//! Errors say where, never what: a payload may hold secrets.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Malformed;

/// `body` as text, if it is one well-formed JSON value in UTF-8, not nested deeper than serde_json reads.
pub(super) fn text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed::because("the body is not UTF-8"))?;
    match serde_json::from_str::<WellFormed>(text) {
        Ok(WellFormed) => Ok(text),
        Err(at) => Err(Malformed::because(format!(
            "the body is not JSON: line {}, column {}",
            at.line(),
            at.column()
        ))),
    }
}

/// As [`text`], and the value is an object.
pub(super) fn object(body: &[u8]) -> Result<&str, Malformed> {
    let text = text(body)?;
    if text.trim_start().starts_with('{') {
        Ok(text)
    } else {
        Err(Malformed::because("the body is not a JSON object"))
    }
}

/// The few fields of a well-formed object that `T` names; a payload of another shape simply has none of them.
pub(super) fn outline<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// Visits everything and keeps nothing. Unlike `IgnoredAny` it looks into numbers and minds the depth, so what passes
/// here also parses later.
struct WellFormed;

impl<'de> Deserialize<'de> for WellFormed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = WellFormed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_bool<E>(self, _: bool) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_str<E>(self, _: &str) -> Result<WellFormed, E> {
        Ok(WellFormed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WellFormed, A::Error> {
        while items.next_element::<WellFormed>()?.is_some() {}
        Ok(WellFormed)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<WellFormed, A::Error> {
        while entries.next_entry::<IgnoredAny, WellFormed>()?.is_some() {}
        Ok(WellFormed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn exactly_what_later_parses_is_accepted() {
        let (shallow, deep) = (nested(100), nested(1000));
        let cases: Vec<&[u8]> = vec![
            b"{}",
            b" [1, -2.5e3, true, null, \"\\u00e9\", {\"a\": {\"a\": 1}}]\n",
            b"\"text\"",
            b"18446744073709551616",
            shallow.as_bytes(),
            b"",
            b"{",
            b"{} {}",
            b"{\"a\": 1,}",
            b"[1e999]",
            b"{\"a\": \"\\ud800\"}",
            b"{\"a\": \"\xff\"}",
            b"\xef\xbb\xbf{}",
            b"payload=%7B%7D",
            deep.as_bytes(),
        ];
        for (case, body) in cases.into_iter().enumerate() {
            assert_eq!(text(body).is_ok(), serde_json::from_slice::<Value>(body).is_ok(), "case {case}");
        }
        assert!(text(shallow.as_bytes()).is_ok() && text(deep.as_bytes()).is_err());
    }

    #[test]
    fn errors_say_where_and_not_what() {
        let Malformed(reason) = text(b"{\n\"token\": hunter2}").expect_err("not JSON");
        assert_eq!(reason, "the body is not JSON: line 2, column 10");
    }

    #[test]
    fn only_objects_are_objects() {
        assert!(object(b" {\"a\": 1}").is_ok());
        for other in [&b"[]"[..], b"1", b"null", b"\"{}\""] {
            assert!(object(other).is_err());
        }
    }

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }
}
