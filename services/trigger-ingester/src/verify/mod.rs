//! Proves that a delivery comes from who holds the secret: one module per scheme, all over raw bytes and in constant time.
//!
//! Knows no event, no envelope and no clock; `now` is an argument, and an unusable or missing secret is always a refusal.

pub mod github;
pub mod gitlab;
pub mod hmac;
mod mac;
pub mod standard_webhooks;
pub mod token;

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

/// `Ok` when one of the active secrets vouches for the delivery.
pub type Verdict = Result<(), Rejected>;

/// Why a delivery was not believed. Its text names headers, never their values and never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The source is misconfigured: nothing could have been verified.
    #[error("no usable secret is configured for this source")]
    NoUsableSecret,
    /// The proof is not there.
    #[error("header {0} is missing")]
    MissingHeader(String),
    /// The proof is there twice; choosing one would be guessing.
    #[error("header {0} appears more than once")]
    RepeatedHeader(String),
    /// The proof is there but not written as the scheme wants it.
    #[error("header {header} is not {expected}")]
    Unreadable {
        /// The header.
        header: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// The proof is well written and wrong for every active secret.
    #[error("no active secret matches header {0}")]
    Mismatch(String),
    /// The signed time is further in the past than the tolerance.
    #[error("the delivery was signed too long ago")]
    TooOld,
    /// The signed time is further in the future than the tolerance.
    #[error("the delivery was signed in the future")]
    TooNew,
}

/// The one value of `name`, as raw bytes.
fn header_bytes<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h [u8], Rejected> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| Rejected::MissingHeader(name.to_owned()))?;
    if values.next().is_some() {
        return Err(Rejected::RepeatedHeader(name.to_owned()));
    }
    Ok(value.as_bytes())
}

/// The one value of `name`, as text; `expected` completes "header … is not".
fn header_text<'h>(headers: &'h HeaderMap, name: &str, expected: &'static str) -> Result<&'h str, Rejected> {
    std::str::from_utf8(header_bytes(headers, name)?).map_err(|_| unreadable(name, expected))
}

fn unreadable(header: &str, expected: &'static str) -> Rejected {
    Rejected::Unreadable { header: header.to_owned(), expected }
}

/// The bytes of the secrets that may be used as they are. An empty one would let anybody in, so it does not count.
fn usable<'s>(secrets: impl IntoIterator<Item = &'s SecretString>) -> Result<Vec<&'s [u8]>, Rejected> {
    let keys: Vec<&[u8]> = secrets
        .into_iter()
        .map(|secret| secret.expose_secret().as_bytes())
        .filter(|key| !key.is_empty())
        .collect();
    if keys.is_empty() { Err(Rejected::NoUsableSecret) } else { Ok(keys) }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Words for the tests of all schemes.

    use http::{HeaderMap, HeaderName, HeaderValue};
    use secrecy::SecretString;

    pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).expect("legal name"),
                HeaderValue::from_str(value).expect("legal value"),
            );
        }
        map
    }

    pub(crate) fn secrets(values: &[&str]) -> Vec<SecretString> {
        values.iter().map(|value| SecretString::from(*value)).collect()
    }
}
