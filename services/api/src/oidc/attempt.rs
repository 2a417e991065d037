//! One attempt to log in: a secret in the browser's cookie, from which state, nonce and PKCE verifier follow. So nothing
//! is kept for attempts that are never finished, and any replica can finish one. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::auth::{can_be_key, fresh};

const BEGINNING: &str = "cpl_";

/// The secret of an attempt.
pub(crate) struct Attempt(SecretString);

impl Attempt {
    pub(crate) fn begin() -> Self {
        Self(fresh(BEGINNING))
    }

    /// A cookie that can be one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        (text.starts_with(BEGINNING) && text.len() > 60 && can_be_key(text))
            .then(|| Self(SecretString::from(text)))
    }

    /// What the cookie holds.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What comes back beside the code, by which the attempt of this browser is told from another's.
    pub(crate) fn state(&self) -> String {
        self.derive("state")
    }

    pub(crate) fn is_state(&self, presented: &str) -> bool {
        self.state().as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// What the ID token must repeat.
    pub(crate) fn nonce(&self) -> String {
        self.derive("nonce")
    }

    /// What only whoever began the attempt can show for the code (RFC 7636).
    pub(crate) fn verifier(&self) -> String {
        self.derive("verifier")
    }

    /// What the issuer is told of it beforehand, by the method S256.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier().as_bytes()))
    }

    fn derive(&self, what: &str) -> String {
        let hash =
            Sha256::new().chain_update(what).chain_update(b"\0").chain_update(self.expose().as_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_issuer_sees_does_not_tell_the_verifier() {
        let (one, other) = (Attempt::begin(), Attempt::begin());
        let seen = [one.state(), one.nonce(), one.challenge(), one.verifier()];
        for (n, text) in seen.iter().enumerate() {
            assert_eq!(text.len(), 43, "RFC 7636 wants 43 to 128 characters");
            assert!(seen[..n].iter().all(|before| before != text) && !text.contains(one.expose()));
        }
        assert!(one.is_state(&one.state()) && !one.is_state(&other.state()) && !one.is_state(""));
        let again = Attempt::of(one.expose()).unwrap();
        assert_eq!(again.verifier(), one.verifier());
        assert!(Attempt::of("cpl_").is_none() && Attempt::of("x").is_none());
    }
}
