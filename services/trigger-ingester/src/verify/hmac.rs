//! An HMAC over the raw body in one configurable header.
//!
//! Knows nothing of time: a sender of this family signs no timestamp, so replay is left to deduplication.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use secrecy::SecretString;

use super::{Rejected, Verdict, header_text, mac, unreadable, usable};
use domain::entity::{HmacScheme, SignatureEncoding, SignatureHash};

/// The standard base64 alphabet, with or without padding.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Believes a delivery whose header carries the HMAC of `body` under one of `secrets`.
///
/// # Errors
/// [`Rejected`] when the header is missing, repeated, not written as `scheme` says, or matches no secret.
pub fn verify(scheme: &HmacScheme, headers: &HeaderMap, body: &[u8], secrets: &[SecretString]) -> Verdict {
    let keys = usable(secrets)?;
    let header = scheme.header.as_str();
    let expected = expectation(scheme);
    let written = header_text(headers, header, expected)?
        .strip_prefix(scheme.prefix.as_str())
        .ok_or_else(|| unreadable(header, expected))?;
    let signature = decode(scheme.encoding, written).ok_or_else(|| unreadable(header, expected))?;
    if signature.len() != signature_bytes(scheme.hash) {
        return Err(unreadable(header, expected));
    }
    if mac::any_match(scheme.hash, &keys, &[body], &[signature]) {
        Ok(())
    } else {
        Err(Rejected::Mismatch(header.to_owned()))
    }
}

fn expectation(scheme: &HmacScheme) -> &'static str {
    match (scheme.hash, scheme.encoding) {
        (SignatureHash::Sha256, SignatureEncoding::Hex) => "the configured prefix and 64 hex digits",
        (SignatureHash::Sha512, SignatureEncoding::Hex) => "the configured prefix and 128 hex digits",
        (SignatureHash::Sha256, SignatureEncoding::Base64) => "the configured prefix and base64 of 32 bytes",
        (SignatureHash::Sha512, SignatureEncoding::Base64) => "the configured prefix and base64 of 64 bytes",
    }
}

fn decode(encoding: SignatureEncoding, written: &str) -> Option<Vec<u8>> {
    match encoding {
        SignatureEncoding::Hex => hex::decode(written).ok(),
        SignatureEncoding::Base64 => BASE64.decode(written).ok(),
    }
}

fn signature_bytes(hash: SignatureHash) -> usize {
    match hash {
        SignatureHash::Sha256 => 32,
        SignatureHash::Sha512 => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{headers, secrets};
    use domain::entity::HeaderName;

    // RFC 4231, test case 2.
    const KEY: &str = "Jefe";
    const BODY: &[u8] = b"what do ya want for nothing?";
    const SHA256: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SHA512: &str = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    const SHA256_BASE64: &str = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";

    fn scheme(prefix: &str, encoding: SignatureEncoding, hash: SignatureHash) -> HmacScheme {
        let header = HeaderName::try_from("X-Signature".to_owned()).expect("legal name");
        HmacScheme { header, prefix: prefix.to_owned(), encoding, hash }
    }

    fn check(scheme: &HmacScheme, values: &[&str], keys: &[&str]) -> Verdict {
        let pairs: Vec<_> = values.iter().map(|value| ("x-signature", *value)).collect();
        verify(scheme, &headers(&pairs), BODY, &secrets(keys))
    }

    #[test]
    fn published_vectors_are_believed_in_every_notation() {
        use SignatureEncoding::{Base64, Hex};
        use SignatureHash::{Sha256, Sha512};
        for (scheme, value) in [
            (scheme("", Hex, Sha256), SHA256.to_owned()),
            (scheme("", Hex, Sha256), SHA256.to_uppercase()),
            (scheme("sha256=", Hex, Sha256), format!("sha256={SHA256}")),
            (scheme("", Hex, Sha512), SHA512.to_owned()),
            (scheme("", Base64, Sha256), SHA256_BASE64.to_owned()),
            (scheme("", Base64, Sha256), SHA256_BASE64.trim_end_matches('=').to_owned()),
        ] {
            assert_eq!(check(&scheme, &[&value], &[KEY]), Ok(()), "{value}");
        }
    }

    #[test]
    fn bitbucket_vector_is_believed() {
        let header = HeaderName::try_from("X-Hub-Signature".to_owned()).expect("legal name");
        let scheme = HmacScheme {
            header,
            prefix: "sha256=".to_owned(),
            encoding: SignatureEncoding::Hex,
            hash: SignatureHash::Sha256,
        };
        let value = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
        let (sent, keys) = (headers(&[("x-hub-signature", value)]), secrets(&["It's a Secret to Everybody"]));
        assert_eq!(verify(&scheme, &sent, b"Hello World!", &keys), Ok(()));
        assert!(verify(&scheme, &sent, b"Hello, World!", &keys).is_err());
    }

    #[test]
    fn any_active_secret_will_do_and_an_empty_one_never() {
        let plain = scheme("", SignatureEncoding::Hex, SignatureHash::Sha256);
        assert_eq!(check(&plain, &[SHA256], &["old", KEY]), Ok(()));
        assert_eq!(check(&plain, &[SHA256], &[KEY, "new"]), Ok(()));
        assert_eq!(check(&plain, &[SHA256], &["", KEY]), Ok(()));
        assert_eq!(check(&plain, &[SHA256], &["old"]), Err(Rejected::Mismatch("x-signature".to_owned())));
        assert_eq!(check(&plain, &[SHA256], &[]), Err(Rejected::NoUsableSecret));
        assert_eq!(check(&plain, &[SHA256], &[""]), Err(Rejected::NoUsableSecret));
        let mac_under_no_key = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
        let sent = headers(&[("x-signature", mac_under_no_key)]);
        assert_eq!(verify(&plain, &sent, b"", &secrets(&[""])), Err(Rejected::NoUsableSecret));
        assert!(verify(&plain, &sent, b"", &secrets(&["", "key"])).is_err());
    }

    #[test]
    fn a_signature_written_otherwise_is_refused() {
        use SignatureEncoding::{Base64, Hex};
        use SignatureHash::{Sha256, Sha512};
        for (scheme, value, why) in [
            (scheme("sha256=", Hex, Sha256), SHA256.to_owned(), "prefix missing"),
            (scheme("", Hex, Sha256), format!("sha256={SHA256}"), "prefix not expected"),
            (scheme("", Hex, Sha256), SHA256[..62].to_owned(), "partial"),
            (scheme("", Hex, Sha256), SHA256[..63].to_owned(), "odd digits"),
            (scheme("", Hex, Sha256), format!("{SHA256}00"), "too long"),
            (scheme("", Hex, Sha256), SHA512.to_owned(), "other hash"),
            (scheme("", Hex, Sha512), SHA256.to_owned(), "other hash"),
            (scheme("", Hex, Sha256), SHA256_BASE64.to_owned(), "other encoding"),
            (scheme("", Base64, Sha256), SHA256.to_owned(), "other encoding"),
            (scheme("", Hex, Sha256), format!("{SHA256},{SHA256}"), "several signatures"),
            (scheme("", Hex, Sha256), String::new(), "empty"),
        ] {
            let verdict = check(&scheme, &[&value], &[KEY]);
            assert!(matches!(verdict, Err(Rejected::Unreadable { .. })), "{why}: {verdict:?}");
        }
        let plain = scheme("", Hex, Sha256);
        assert_eq!(check(&plain, &[], &[KEY]), Err(Rejected::MissingHeader("x-signature".to_owned())));
        assert_eq!(
            check(&plain, &[SHA256, SHA256], &[KEY]),
            Err(Rejected::RepeatedHeader("x-signature".to_owned()))
        );
    }
}
