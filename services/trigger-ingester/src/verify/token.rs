//! A shared secret repeated in one header, such as `X-Gitlab-Token` or `Authorization: Bearer`.
//!
//! Says nothing about the body: whoever reads one delivery can write another. Signatures are to be preferred.

use http::HeaderMap;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Rejected, Verdict, header_bytes, unreadable, usable};
use domain::entity::TokenScheme;

/// Believes a delivery whose header repeats one of `secrets`.
///
/// # Errors
/// [`Rejected`] when the header is missing, repeated, lacks the prefix, or equals no secret.
pub fn verify(scheme: &TokenScheme, headers: &HeaderMap, secrets: &[SecretString]) -> Verdict {
    equals(scheme.header.as_str(), &scheme.prefix, headers, secrets)
}

pub(super) fn equals<'s>(
    header: &str,
    prefix: &str,
    headers: &HeaderMap,
    secrets: impl IntoIterator<Item = &'s SecretString>,
) -> Verdict {
    let keys = usable(secrets)?;
    let value = header_bytes(headers, header)?;
    let token = match value.split_at_checked(prefix.len()) {
        Some((start, token)) if start.eq_ignore_ascii_case(prefix.as_bytes()) => token,
        Some(_) | None => return Err(unreadable(header, "the configured prefix and a token")),
    };
    // Digests are compared, not the tokens: they have one length, so the time does not tell how long a secret is.
    let given = Sha256::digest(token);
    let mut found = Choice::from(0);
    for key in keys {
        found |= given.as_slice().ct_eq(Sha256::digest(key).as_slice());
    }
    if found.into() { Ok(()) } else { Err(Rejected::Mismatch(header.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{headers, secrets};
    use domain::entity::HeaderName;

    fn check(header: &str, prefix: &str, sent: &[(&str, &str)], keys: &[&str]) -> Verdict {
        let header = HeaderName::try_from(header.to_owned()).expect("legal name");
        verify(&TokenScheme { header, prefix: prefix.to_owned() }, &headers(sent), &secrets(keys))
    }

    #[test]
    fn the_secret_itself_is_believed() {
        for (header, prefix, sent, keys) in [
            ("X-Gitlab-Token", "", ("x-gitlab-token", "s3cret"), ["s3cret", "next"]),
            ("X-Gitlab-Token", "", ("X-GITLAB-TOKEN", "s3cret"), ["previous", "s3cret"]),
            ("Authorization", "Bearer ", ("authorization", "Bearer s3cret"), ["", "s3cret"]),
            ("Authorization", "Bearer ", ("authorization", "bearer s3cret"), ["s3cret", ""]),
        ] {
            assert_eq!(check(header, prefix, &[sent], &keys), Ok(()), "{sent:?}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let mismatch = Rejected::Mismatch("x-t".to_owned());
        for (value, why) in [
            ("s3cre", "shorter"),
            ("s3crets", "longer"),
            ("S3CRET", "other case"),
            ("s3cret,s3cret", "several"),
            ("", "empty"),
        ] {
            assert_eq!(check("x-t", "", &[("x-t", value)], &["s3cret"]), Err(mismatch.clone()), "{why}");
        }
        assert_eq!(check("x-t", "", &[], &["s3cret"]), Err(Rejected::MissingHeader("x-t".to_owned())));
        assert_eq!(
            check("x-t", "", &[("x-t", "s3cret"), ("x-t", "s3cret")], &["s3cret"]),
            Err(Rejected::RepeatedHeader("x-t".to_owned()))
        );
        for value in ["s3cret", "Basic s3cret", "Bearer", ""] {
            let verdict = check("x-t", "Bearer ", &[("x-t", value)], &["s3cret"]);
            assert!(matches!(verdict, Err(Rejected::Unreadable { .. })), "{value}: {verdict:?}");
        }
    }

    #[test]
    fn no_secret_or_an_empty_one_opens_no_door() {
        for keys in [&[][..], &[""][..]] {
            assert_eq!(check("x-t", "", &[("x-t", "")], keys), Err(Rejected::NoUsableSecret));
        }
    }
}
