//! Percent-decoding, for `ce-*` headers and for forms.

/// The bytes `text` stands for; none when a `%` is not followed by two hex digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            decoded.push(nibble(rest.next()?)? << 4 | nibble(rest.next()?)?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

/// The value of `field` in an `application/x-www-form-urlencoded` body; none unless it is there exactly once.
pub(super) fn form_field(body: &str, field: &str) -> Option<Vec<u8>> {
    let mut values = body.split('&').filter_map(|pair| pair.strip_prefix(field)?.strip_prefix('='));
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    decode(&value.replace('+', " "))
}

fn nibble(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_or_refused_whole() {
        for (text, decoded) in [
            ("", Some(&b""[..])),
            ("a%20b+c", Some(b"a b+c")),
            ("Euro%20%E2%82%ac%20%F0%9F%98%80", Some("Euro € 😀".as_bytes())),
            ("%ff", Some(b"\xff")),
            ("%", None),
            ("%2", None),
            ("%2x", None),
            ("%+2", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn a_form_field_is_there_once() {
        for (body, value) in [
            ("payload=%7B%22a%22%3A+1%7D", Some(&b"{\"a\": 1}"[..])),
            ("x=1&payload=a%2Bb&y=2", Some(b"a+b")),
            ("payload=", Some(b"")),
            ("payload=1&payload=2", None),
            ("payloads=1", None),
            ("payload", None),
            ("payload=%zz", None),
            ("", None),
        ] {
            assert_eq!(form_field(body, "payload").as_deref(), value, "{body}");
        }
    }
}
