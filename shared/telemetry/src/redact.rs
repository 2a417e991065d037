//! Masks what looks like a secret in a text that is about to be shown or logged. It knows shapes, not values,
//! and rather masks too much than too little.

use std::borrow::Cow;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Masks tokens of GitHub and GitLab, webhook keys, authorization values, passwords in URLs, JWTs and PEM blocks.
/// What needs no masking is not copied; masking twice changes nothing.
pub fn redact(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut masked = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        match secret_at(bytes, at) {
            Some(secret) => {
                masked.push_str(&text[kept..secret.start]);
                masked.push_str(REDACTED);
                kept = secret.end;
                at = secret.end;
            }
            None => at += 1,
        }
    }
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[kept..]);
    Cow::Owned(masked)
}

/// The bytes to mask. Both ends stand next to ASCII characters, so they never cut a letter in two.
struct Secret {
    start: usize,
    end: usize,
}

/// A token that is known by how it begins.
struct Shape {
    prefix: &'static str,
    /// How many characters must follow for it to be a token and not a word about one.
    rest_min: usize,
    part: fn(u8) -> bool,
}

const SHAPES: &[Shape] = &[
    // GitHub: OAuth, personal, user-to-server, server-to-server (both the short and the JWT-like form), refresh.
    Shape { prefix: "gho_", rest_min: 20, part: is_token },
    Shape { prefix: "ghp_", rest_min: 20, part: is_token },
    Shape { prefix: "ghu_", rest_min: 20, part: is_token },
    Shape { prefix: "ghs_", rest_min: 20, part: is_token },
    Shape { prefix: "ghr_", rest_min: 20, part: is_token },
    Shape { prefix: "github_pat_", rest_min: 8, part: is_token },
    // GitLab: personal, deploy, runner, job, pipeline trigger, feed, agent and OAuth application tokens.
    Shape { prefix: "glpat-", rest_min: 8, part: is_token },
    Shape { prefix: "gldt-", rest_min: 8, part: is_token },
    Shape { prefix: "glrt-", rest_min: 8, part: is_token },
    Shape { prefix: "glcbt-", rest_min: 8, part: is_token },
    Shape { prefix: "glptt-", rest_min: 8, part: is_token },
    Shape { prefix: "glft-", rest_min: 8, part: is_token },
    Shape { prefix: "glagent-", rest_min: 8, part: is_token },
    Shape { prefix: "gloas-", rest_min: 8, part: is_token },
    // Standard Webhooks.
    Shape { prefix: "whsec_", rest_min: 1, part: is_base64 },
];

fn secret_at(bytes: &[u8], at: usize) -> Option<Secret> {
    match bytes[at] {
        b'g' | b'w' => known_token(bytes, at),
        b'e' => json_web_token(bytes, at),
        b'B' | b'b' => after_scheme(bytes, at),
        b':' => url_password(bytes, at),
        b'-' => pem(bytes, at),
        _ => None,
    }
}

fn known_token(bytes: &[u8], at: usize) -> Option<Secret> {
    let shape = SHAPES.iter().find(|shape| bytes[at..].starts_with(shape.prefix.as_bytes()))?;
    let start = at + shape.prefix.len();
    let end = start + run(&bytes[start..], shape.part);
    (end - start >= shape.rest_min).then_some(Secret { start: at, end })
}

/// `eyJ` is `{"` in base64: two such parts joined by a dot are a JWT, signed or not.
fn json_web_token(bytes: &[u8], at: usize) -> Option<Secret> {
    const PART_MIN: usize = 6;
    if !bytes[at..].starts_with(b"eyJ") {
        return None;
    }
    let header = run(&bytes[at..], is_base64url);
    let dot = at + header;
    if header < PART_MIN || bytes.get(dot) != Some(&b'.') {
        return None;
    }
    let payload = run(&bytes[dot + 1..], is_base64url);
    if payload < PART_MIN {
        return None;
    }
    // Whatever else is joined on: the signature of a JWT, the further parts of an encrypted one.
    Some(Secret { start: at, end: at + run(&bytes[at..], |byte| is_base64url(byte) || byte == b'.') })
}

/// The value after `Bearer` or `Basic` in any case.
fn after_scheme(bytes: &[u8], at: usize) -> Option<Secret> {
    // `Basic` is also a word: only what is long enough for a user and a password is one.
    let (scheme, rest_min) = [("bearer", 1), ("basic", 12)].into_iter().find(|(scheme, _)| {
        bytes[at..].get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme.as_bytes()))
    })?;
    let space = at + scheme.len();
    let start = space + run(&bytes[space..], |byte| byte == b' ' || byte == b'\t');
    let end = start + run(&bytes[start..], is_base64);
    (start > space && end - start >= rest_min).then_some(Secret { start, end })
}

/// The password, or the lone token, before the `@` of a URL's authority: `nats://user:password@host`.
fn url_password(bytes: &[u8], at: usize) -> Option<Secret> {
    if !bytes[at..].starts_with(b"://") {
        return None;
    }
    let start = at + "://".len();
    let authority =
        run(&bytes[start..], |byte| !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'') && byte > b' ');
    let user_info = bytes[start..start + authority].iter().rposition(|byte| *byte == b'@')?;
    let end = start + user_info;
    match bytes[start..end].iter().position(|byte| *byte == b':') {
        Some(colon) => (start + colon + 1 < end).then_some(Secret { start: start + colon + 1, end }),
        None => (start < end).then_some(Secret { start, end }),
    }
}

/// A PEM block with its markers. One that does not end is masked to the end of the text.
fn pem(bytes: &[u8], at: usize) -> Option<Secret> {
    const DASHES: &[u8] = b"-----";
    if !bytes[at..].starts_with(b"-----BEGIN ") {
        return None;
    }
    let end = find(bytes, at, b"-----END ")
        .and_then(|marker| find(bytes, marker + DASHES.len(), DASHES))
        .map_or(bytes.len(), |dashes| dashes + DASHES.len());
    Some(Secret { start: at, end })
}

fn find(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    bytes[from..].windows(wanted.len()).position(|window| window == wanted).map(|offset| from + offset)
}

/// How many bytes from the start belong to `part`.
fn run(bytes: &[u8], part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| part(**byte)).count()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=')
}

fn is_base64(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'+' | b'/' | b'.' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(redact(text), expected);
        assert_eq!(redact(expected), expected, "masking twice changes nothing");
    }

    #[track_caller]
    fn untouched(text: &str) {
        assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{}", redact(text));
    }

    #[test]
    fn github_tokens() {
        for kind in ["o", "p", "u", "s", "r"] {
            check(
                &format!("token gh{kind}_16C7e42F292c6912E7710c838347Ae178B4a, gone"),
                "token [redacted], gone",
            );
        }
        check("ghs_1234_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2lnbmF0dXJl", "[redacted]");
        check("(github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz)", "([redacted])");
        check("xghp_16C7e42F292c6912E7710c838347Ae178B4a", "x[redacted]");
    }

    #[test]
    fn gitlab_tokens() {
        check("PRIVATE-TOKEN: glpat-Zx9_abcdefghij-klmno", "PRIVATE-TOKEN: [redacted]");
        check("glptt-0123456789abcdef glcbt-64_0123456789", "[redacted] [redacted]");
    }

    #[test]
    fn authorization_values() {
        check("Authorization: Bearer abc.DEF-123~+/=", "Authorization: Bearer [redacted]");
        check("authorization: bearer\tx", "authorization: bearer\t[redacted]");
        check("BEARER   y end", "BEARER   [redacted] end");
        check("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [redacted]");
    }

    #[test]
    fn webhook_keys() {
        check("key=whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD/w==;", "key=[redacted];");
    }

    #[test]
    fn json_web_tokens() {
        check("jwt eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln-bmF0 ok", "jwt [redacted] ok");
        check("unsigned eyJhbGciOiJub25lIn0.eyJpc3MiOiIxIn0.", "unsigned [redacted]");
        check(r#"{"t":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln"}"#, r#"{"t":"[redacted]"}"#);
    }

    #[test]
    fn pem_blocks() {
        let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\nabc\n-----END RSA PRIVATE KEY-----";
        check(&format!("key: {block}\nafter"), "key: [redacted]\nafter");
        check(&format!("{block}\n{block}"), "[redacted]\n[redacted]");
        check(&block.replace('\n', "\\n"), "[redacted]");
        check("cut off -----BEGIN PRIVATE KEY-----\nMIIE", "cut off [redacted]");
        check("cut off -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIV", "cut off [redacted]");
    }

    #[test]
    fn passwords_in_urls() {
        check("connect nats://api:s3cret@bus:4222 failed", "connect nats://api:[redacted]@bus:4222 failed");
        check("redis://:p@ss:w@cache/0", "redis://:[redacted]@cache/0");
        check("\"nats://token@bus\"", "\"nats://[redacted]@bus\"");
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "gh_ ghp_short ghs_ github_pat_ glpat- whsec_",
            "the bearer",
            "Bearer ",
            "bearer: none",
            "basic rules apply",
            "eyJ eyJhbGci eyJ.eyJ v1.2.3",
            "-----BEGINNING-----",
            "https://github.com/acme/shop/actions/runs/1?user=a@b",
            "nats://bus:4222, nats://api:@bus",
            "größer als 10 €: naïve 🚀",
        ] {
            untouched(text);
        }
    }

    #[test]
    fn letters_of_every_length_stay_whole() {
        check("ä🚀 Bearer x🚀ä", "ä🚀 Bearer [redacted]🚀ä");
        check("€ghp_16C7e42F292c6912E7710c838347Ae178B4a€", "€[redacted]€");
        check("é://ü:ö@ß/", "é://ü:[redacted]@ß/");
    }
}
