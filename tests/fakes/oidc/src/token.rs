//! ID tokens, right and wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

const FIRST: &[u8] = include_bytes!("../keys/first.pem");
const SECOND: &[u8] = include_bytes!("../keys/second.pem");
const CURVE: &[u8] = include_bytes!("../keys/curve.pem");

/// The keys it may sign with. They are in this repository: nothing is safe behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// RSA.
    First,
    /// RSA, another one.
    Second,
    /// On the curve P-256.
    Curve,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// It is over.
    Expired,
    /// It is for another client.
    OtherAudience,
    /// Another issuer made it.
    OtherIssuer,
    /// It repeats the nonce of another login.
    OtherNonce,
    /// It repeats no nonce.
    NoNonce,
    /// Somebody signed it with a key of their own, under the name of ours.
    Forged,
    /// Its claims were changed after it was signed.
    Changed,
    /// It is not signed.
    Unsigned,
    /// It is signed with our public key as if that were a shared secret.
    PublicKeyAsSecret,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Key::First => "first",
            Key::Second => "second",
            Key::Curve => "curve",
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Key::First | Key::Second => Algorithm::RS256,
            Key::Curve => Algorithm::ES256,
        }
    }

    fn private(self) -> EncodingKey {
        let read = match self {
            Key::First => EncodingKey::from_rsa_pem(FIRST),
            Key::Second => EncodingKey::from_rsa_pem(SECOND),
            Key::Curve => EncodingKey::from_ec_pem(CURVE),
        };
        read.expect("a key of this folder")
    }

    /// As the issuer publishes it.
    pub(crate) fn public(self) -> Value {
        let key = Jwk::from_encoding_key(&self.private(), self.algorithm()).expect("a key has a public half");
        let mut key = serde_json::to_value(key).expect("a key is JSON");
        key["kid"] = json!(self.name());
        key["use"] = json!("sig");
        key
    }
}

/// The token of the person, wrong in the way that is asked for.
pub(crate) fn id_token(
    (issuer, client): (&str, &str),
    nonce: Option<&str>,
    person: &Map<String, Value>,
    key: Key,
    lie: Option<Lie>,
) -> String {
    let now = Utc::now().timestamp();
    let mut claims = json!({ "iss": issuer, "aud": client, "iat": now, "exp": now + 300, "nonce": nonce });
    for (name, value) in person {
        claims[name] = value.clone();
    }
    match lie {
        Some(Lie::Expired) => {
            (claims["iat"], claims["exp"]) = (json!(now - 400), json!(now - 100));
        }
        Some(Lie::OtherAudience) => claims["aud"] = json!("somebody-else"),
        Some(Lie::OtherIssuer) => claims["iss"] = json!("https://issuer.example"),
        Some(Lie::OtherNonce) => claims["nonce"] = json!("of-another-login"),
        Some(Lie::NoNonce) => claims["nonce"] = Value::Null,
        Some(Lie::Forged | Lie::Changed | Lie::Unsigned | Lie::PublicKeyAsSecret) | None => {}
    }
    let header = |algorithm| Header { kid: Some(key.name().to_owned()), ..Header::new(algorithm) };
    let signed = |header: &Header, key: &EncodingKey| encode(header, &claims, key).expect("signed");
    match lie {
        Some(Lie::Forged) => {
            let other = if key == Key::Second { Key::First } else { Key::Second };
            signed(&header(Algorithm::RS256), &other.private())
        }
        Some(Lie::PublicKeyAsSecret) => {
            let public = key.public().to_string();
            signed(&header(Algorithm::HS256), &EncodingKey::from_secret(public.as_bytes()))
        }
        Some(Lie::Unsigned) => {
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(json!({ "alg": "none", "kid": key.name() })), part(claims.clone()))
        }
        Some(Lie::Changed) => {
            let token = signed(&header(key.algorithm()), &key.private());
            let parts: Vec<&str> = token.split('.').collect();
            claims["sub"] = json!("somebody else");
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
        }
        Some(Lie::Expired | Lie::OtherAudience | Lie::OtherIssuer | Lie::OtherNonce | Lie::NoNonce)
        | None => signed(&header(key.algorithm()), &key.private()),
    }
}
