//! What an ID token must be before it says who somebody is (OpenID Connect Core 1.0, section 3.1.3.7). Pure: keys and the
//! moment are arguments.

use domain::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// How far the issuer's clock may be from ours, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// A token that was made longer ago was made for another login, in seconds.
const AGE_SECONDS_MAX: i64 = 600;

/// What the token must say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) now: Timestamp,
}

/// Why a token says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is no token at all.
    #[error("it is no signed token")]
    Malformed,
    /// Signed in a way that is not taken: without a key, or with one that we share.
    #[error("it is signed in a way that is not accepted ({0})")]
    Algorithm(String),
    /// The issuer has no such key, as far as is known.
    #[error("its key is none of the issuer's")]
    UnknownKey,
    /// Somebody else made it, or changed it.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or says something else.
    #[error("its {0}")]
    Claim(&'static str),
}

/// The claims of the token, once all of it is as expected.
pub(crate) fn verify(
    token: &str,
    keys: &JwkSet,
    expected: Expected<'_>,
) -> Result<Map<String, Value>, Unfit> {
    // A name of an algorithm that is not even known, as `none`, is told like one that is not accepted.
    let header = decode_header(token).map_err(|error| {
        if matches!(error.kind(), ErrorKind::InvalidAlgorithmName | ErrorKind::Json(_)) {
            return Unfit::Algorithm("unknown".to_owned());
        }
        Unfit::Malformed
    })?;
    if !is_accepted(header.alg) {
        return Err(Unfit::Algorithm(format!("{:?}", header.alg)));
    }
    let fits = |key: &&Jwk| {
        header.kid.as_ref().is_none_or(|kid| key.common.key_id.as_ref() == Some(kid))
            && is_for(key, header.alg)
    };
    let mut known = keys.keys.iter().filter(fits).peekable();
    if known.peek().is_none() {
        return Err(Unfit::UnknownKey);
    }
    let claims = known.find_map(|key| signed_by(token, key, header.alg)).ok_or(Unfit::Signature)?;
    check(&claims, expected)?;
    Ok(claims)
}

/// Asymmetric ones only: whoever can check one must not be able to make one.
fn is_accepted(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::ES256
            | Algorithm::ES384
            | Algorithm::EdDSA
    )
}

/// Whether the key is of the kind that the algorithm needs: what the header says alone decides nothing.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let rsa = matches!(
        algorithm,
        Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
    );
    if let AlgorithmParameters::EllipticCurve(key) = &key.algorithm {
        return (key.curve == EllipticCurve::P256 && algorithm == Algorithm::ES256)
            || (key.curve == EllipticCurve::P384 && algorithm == Algorithm::ES384);
    }
    (rsa && matches!(key.algorithm, AlgorithmParameters::RSA(_)))
        || (algorithm == Algorithm::EdDSA && matches!(key.algorithm, AlgorithmParameters::OctetKeyPair(_)))
}

fn signed_by(token: &str, key: &Jwk, algorithm: Algorithm) -> Option<Map<String, Value>> {
    let key = DecodingKey::from_jwk(key).ok()?;
    let mut signature_only = Validation::new(algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    decode::<Map<String, Value>>(token, &key, &signature_only).ok().map(|token| token.claims)
}

fn check(claims: &Map<String, Value>, expected: Expected<'_>) -> Result<(), Unfit> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let instant = |name: &str| claims.get(name).and_then(Value::as_f64);
    if text("iss") != Some(expected.issuer) {
        return Err(Unfit::Claim("issuer is another one"));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(several) => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        None => Vec::new(),
    };
    if !audience.contains(&expected.client_id) {
        return Err(Unfit::Claim("audience is somebody else"));
    }
    let authorized = text("azp");
    if audience.len() > 1 && authorized.is_none() || authorized.is_some_and(|azp| azp != expected.client_id) {
        return Err(Unfit::Claim("authorized party is somebody else"));
    }
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    let now = expected.now.timestamp() as f64;
    #[allow(clippy::cast_precision_loss, reason = "a few seconds")]
    let (skew, age) = (CLOCK_SKEW_SECONDS as f64, AGE_SECONDS_MAX as f64);
    match instant("exp") {
        None => return Err(Unfit::Claim("expiry is missing")),
        Some(exp) if exp + skew <= now => return Err(Unfit::Claim("time is over")),
        Some(_) => {}
    }
    match instant("iat") {
        None => return Err(Unfit::Claim("time of issue is missing")),
        Some(iat) if iat - skew > now => return Err(Unfit::Claim("time of issue is to come")),
        Some(iat) if iat + skew + age < now => return Err(Unfit::Claim("time of issue is long ago")),
        Some(_) => {}
    }
    if instant("nbf").is_some_and(|nbf| nbf - skew > now) {
        return Err(Unfit::Claim("time has not come"));
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(Unfit::Claim("nonce is of another login"));
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err(Unfit::Claim("subject is missing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn expected() -> Expected<'static> {
        let now = Timestamp::from_timestamp(NOW, 0).unwrap();
        Expected { issuer: "https://id.example", client_id: "ctrlplane", nonce: "n", now }
    }

    fn checked(change: Value) -> Result<(), Unfit> {
        let mut claims = json!({ "iss": "https://id.example", "aud": "ctrlplane", "sub": "1", "nonce": "n",
            "iat": NOW, "exp": NOW + 300 });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        check(claims.as_object().unwrap(), expected())
    }

    #[test]
    fn every_claim_must_be_ours_and_of_now() {
        assert_eq!(checked(json!({})), Ok(()));
        for fine in [
            json!({ "aud": ["ctrlplane"] }),
            json!({ "aud": ["ctrlplane", "other"], "azp": "ctrlplane" }),
            json!({ "exp": NOW - 59 }),
            json!({ "iat": NOW + 59, "nbf": NOW + 59 }),
        ] {
            assert_eq!(checked(fine.clone()), Ok(()), "{fine}");
        }
        for (wrong, why) in [
            (json!({ "iss": "https://id.example/" }), "issuer"),
            (json!({ "iss": null }), "issuer"),
            (json!({ "aud": "other" }), "audience"),
            (json!({ "aud": [] }), "audience"),
            (json!({ "aud": null }), "audience"),
            (json!({ "aud": ["ctrlplane", "other"] }), "authorized"),
            (json!({ "azp": "other" }), "authorized"),
            (json!({ "exp": NOW - 60 }), "over"),
            (json!({ "exp": "never" }), "expiry"),
            (json!({ "iat": null }), "issue is missing"),
            (json!({ "iat": NOW + 61 }), "to come"),
            (json!({ "iat": NOW - 661 }), "long ago"),
            (json!({ "nbf": NOW + 61 }), "not come"),
            (json!({ "nonce": "other" }), "nonce"),
            (json!({ "nonce": null }), "nonce"),
            (json!({ "sub": "" }), "subject"),
        ] {
            let refused = checked(wrong.clone()).expect_err("refused").to_string();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
    }

    #[test]
    fn only_signatures_that_we_could_not_make_ourselves_are_accepted() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(!is_accepted(algorithm));
        }
        let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
        let nothing = JwkSet { keys: vec![] };
        assert!(matches!(verify(none, &nothing, expected()), Err(Unfit::Algorithm(_))));
        assert_eq!(verify("nothing", &nothing, expected()), Err(Unfit::Malformed));
    }
}
