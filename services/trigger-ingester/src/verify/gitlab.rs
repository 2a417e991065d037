//! GitLab, which signs with Standard Webhooks since 19.0 and repeats a token in `X-Gitlab-Token` before.
//!
//! The secrets say which is meant: those with `whsec_` sign, the others are tokens. One never stands in for the other.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use super::standard_webhooks::{self, SECRET_PREFIX, SIGNATURE};
use super::{Verdict, token};

/// Believes a signed delivery by its signature alone, and one without a signature by its token.
///
/// # Errors
/// [`super::Rejected`]; a signature that is present and bad, or for which there is no key, is not rescued by a good token.
pub fn verify(headers: &HeaderMap, body: &[u8], secrets: &[SecretString], now: DateTime<Utc>) -> Verdict {
    if headers.contains_key(SIGNATURE) {
        return standard_webhooks::verify(headers, body, secrets, now);
    }
    let tokens = secrets.iter().filter(|secret| !secret.expose_secret().starts_with(SECRET_PREFIX));
    token::equals("x-gitlab-token", "", headers, tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Rejected;
    use crate::verify::testing::{headers, secrets};

    const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNED: [(&str, &str); 3] = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn check(sent: &[(&str, &str)], body: &[u8], keys: &[&str]) -> Verdict {
        let now = DateTime::from_timestamp(1_614_265_330, 0).expect("in range");
        verify(&headers(sent), body, &secrets(keys), now)
    }

    #[test]
    fn either_proof_is_believed_with_its_own_kind_of_secret() {
        let token = [("x-gitlab-token", "t0ken")];
        assert_eq!(check(&SIGNED, BODY, &[SIGNING]), Ok(()));
        assert_eq!(check(&SIGNED, BODY, &["t0ken", SIGNING]), Ok(()));
        assert_eq!(check(&token, BODY, &["t0ken"]), Ok(()));
        assert_eq!(check(&token, BODY, &[SIGNING, "t0ken"]), Ok(()));
    }

    #[test]
    fn a_bad_signature_is_not_rescued_by_a_good_token() {
        let mut both = SIGNED.to_vec();
        both.push(("x-gitlab-token", "t0ken"));
        assert_eq!(
            check(&both, b"changed", &[SIGNING, "t0ken"]),
            Err(Rejected::Mismatch("webhook-signature".to_owned()))
        );
        assert_eq!(check(&both, BODY, &["t0ken"]), Err(Rejected::NoUsableSecret));
        let empty = [("webhook-signature", ""), ("x-gitlab-token", "t0ken")];
        assert!(check(&empty, BODY, &[SIGNING, "t0ken"]).is_err());
    }

    #[test]
    fn a_signing_secret_is_no_token() {
        assert_eq!(check(&[("x-gitlab-token", SIGNING)], BODY, &[SIGNING]), Err(Rejected::NoUsableSecret));
        assert_eq!(check(&[], BODY, &["t0ken"]), Err(Rejected::MissingHeader("x-gitlab-token".to_owned())));
        assert_eq!(check(&SIGNED, BODY, &[]), Err(Rejected::NoUsableSecret));
    }
}
