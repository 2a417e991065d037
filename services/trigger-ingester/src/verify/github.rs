//! GitHub's `X-Hub-Signature-256`: `sha256=` and the lower-case hex HMAC-SHA256 of the raw body.
//!
//! Does not know `X-Hub-Signature` (SHA-1): it neither helps nor hurts a delivery.

use http::HeaderMap;
use secrecy::SecretString;

use super::{Rejected, Verdict, header_text, mac, unreadable, usable};
use domain::entity::SignatureHash;

const HEADER: &str = "x-hub-signature-256";
const EXPECTED: &str = "sha256= and 64 lower-case hex digits";

/// Believes a delivery that GitHub signed with one of `secrets`.
///
/// # Errors
/// [`Rejected`] when the header is missing, repeated, written otherwise than GitHub writes it, or matches no secret.
pub fn verify(headers: &HeaderMap, body: &[u8], secrets: &[SecretString]) -> Verdict {
    let keys = usable(secrets)?;
    let signature = header_text(headers, HEADER, EXPECTED)?
        .strip_prefix("sha256=")
        .filter(|digits| !digits.bytes().any(|digit| digit.is_ascii_uppercase()))
        .and_then(|digits| hex::decode(digits).ok())
        .filter(|signature| signature.len() == 32)
        .ok_or_else(|| unreadable(HEADER, EXPECTED))?;
    if mac::any_match(SignatureHash::Sha256, &keys, &[body], &[signature]) {
        Ok(())
    } else {
        Err(Rejected::Mismatch(HEADER.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{headers, secrets};

    // GitHub's own example, "Validating webhook deliveries".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(sent: &[(&str, &str)], body: &[u8], keys: &[&str]) -> Verdict {
        verify(&headers(sent), body, &secrets(keys))
    }

    #[test]
    fn githubs_own_example_is_believed_with_either_active_secret() {
        let value = format!("sha256={DIGITS}");
        let sent = [("X-Hub-Signature-256", value.as_str())];
        assert_eq!(check(&sent, BODY, &[SECRET]), Ok(()));
        assert_eq!(check(&sent, BODY, &["next", SECRET]), Ok(()));
        assert_eq!(check(&sent, BODY, &[SECRET, "previous"]), Ok(()));
    }

    #[test]
    fn an_empty_body_is_signed_like_any_other() {
        let value = "sha256=5d5d139563c95b5967b9bd9a8c9b233a9dedb45072794cd232dc1b74832607d0";
        assert_eq!(check(&[("x-hub-signature-256", value)], b"", &["key"]), Ok(()));
        let github_body = format!("sha256={DIGITS}");
        assert_eq!(
            check(&[("x-hub-signature-256", &github_body)], b"", &[SECRET]),
            Err(Rejected::Mismatch(HEADER.to_owned()))
        );
    }

    #[test]
    fn a_changed_body_or_secret_does_not_match() {
        let value = format!("sha256={DIGITS}");
        let sent = [("x-hub-signature-256", value.as_str())];
        let mismatch = Err(Rejected::Mismatch(HEADER.to_owned()));
        assert_eq!(check(&sent, b"Hello, World", &[SECRET]), mismatch);
        assert_eq!(check(&sent, b"Hello, World!\n", &[SECRET]), mismatch);
        assert_eq!(check(&sent, BODY, &["It's a secret to everybody"]), mismatch);
        assert_eq!(check(&sent, BODY, &[]), Err(Rejected::NoUsableSecret));
        assert_eq!(check(&sent, BODY, &[""]), Err(Rejected::NoUsableSecret));
    }

    #[test]
    fn a_signature_written_otherwise_is_refused() {
        let upper = DIGITS.to_uppercase();
        for (value, why) in [
            (DIGITS.to_owned(), "no prefix"),
            (format!("sha1={DIGITS}"), "other prefix"),
            (format!("SHA256={DIGITS}"), "prefix in upper case"),
            (format!("sha256={upper}"), "upper-case hex"),
            (format!("sha256={}", &DIGITS[..62]), "partial"),
            (format!("sha256={}", &DIGITS[..63]), "odd digits"),
            (format!("sha256={DIGITS}00"), "too long"),
            (format!("sha256={DIGITS}, sha256={DIGITS}"), "several signatures"),
            ("sha256=".to_owned(), "prefix only"),
            (String::new(), "empty"),
        ] {
            let verdict = check(&[("x-hub-signature-256", &value)], BODY, &[SECRET]);
            assert!(matches!(verdict, Err(Rejected::Unreadable { .. })), "{why}: {verdict:?}");
        }
    }

    #[test]
    fn the_weak_header_never_counts() {
        // HMAC-SHA1 of the body under the secret.
        let weak = ("x-hub-signature", "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59");
        assert_eq!(check(&[weak], BODY, &[SECRET]), Err(Rejected::MissingHeader(HEADER.to_owned())));
        let bad = format!("sha256={}", "0".repeat(64));
        assert_eq!(
            check(&[weak, ("x-hub-signature-256", &bad)], BODY, &[SECRET]),
            Err(Rejected::Mismatch(HEADER.to_owned()))
        );
        let good = format!("sha256={DIGITS}");
        assert_eq!(
            check(&[("x-hub-signature", "sha1=00"), ("x-hub-signature-256", &good)], BODY, &[SECRET]),
            Ok(())
        );
    }

    #[test]
    fn two_signature_headers_are_refused_even_if_one_is_right() {
        let (good, bad) = (format!("sha256={DIGITS}"), format!("sha256={}", "0".repeat(64)));
        let sent = [("x-hub-signature-256", good.as_str()), ("x-hub-signature-256", bad.as_str())];
        assert_eq!(check(&sent, BODY, &[SECRET]), Err(Rejected::RepeatedHeader(HEADER.to_owned())));
    }
}
