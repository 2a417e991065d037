//! The JWT an App proves itself with. Pure but for the key it is given.

use domain::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

/// Allows for GitHub's clock being behind ours, in seconds.
const ISSUED_BEFORE: i64 = 60;
/// How long it holds, in seconds: below GitHub's ten minutes, to allow for a clock ahead.
const EXPIRES_AFTER: i64 = 540;

#[derive(Serialize)]
struct Claims<'a> {
    iat: i64,
    exp: i64,
    iss: &'a str,
}

/// The secret is no private RSA key in PEM. Says nothing of what it is instead.
#[derive(Debug, thiserror::Error)]
#[error("is not a private RSA key in PEM")]
pub(super) struct NoKey;

/// A JWT of the App, as of `now` by GitHub's clock.
pub(super) fn sign(app: &str, key: &SecretString, now: Timestamp) -> Result<SecretString, NoKey> {
    // In a variable of the environment line breaks often come as `\n`.
    let pem = SecretString::from(key.expose_secret().replace("\\n", "\n"));
    let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).map_err(|_| NoKey)?;
    let at = now.timestamp();
    let claims = Claims { iat: at - ISSUED_BEFORE, exp: at + EXPIRES_AFTER, iss: app };
    let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(|_| NoKey)?;
    Ok(SecretString::from(jwt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    #[test]
    fn the_claims_are_what_github_wants() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let escaped = fake_github::SAMPLE_APP_PRIVATE_KEY_PEM.replace('\n', "\\n");
        for key in [fake_github::SAMPLE_APP_PRIVATE_KEY_PEM.to_owned(), escaped] {
            let jwt = sign("Iv1.app", &SecretString::from(key), now).unwrap();
            let public =
                DecodingKey::from_rsa_pem(fake_github::SAMPLE_APP_PUBLIC_KEY_PEM.as_bytes()).unwrap();
            let mut rules = Validation::new(Algorithm::RS256);
            rules.validate_exp = false;
            let claims = jsonwebtoken::decode::<Value>(jwt.expose_secret(), &public, &rules).unwrap().claims;
            assert_eq!(claims["iss"], "Iv1.app");
            assert_eq!(claims["iat"], now.timestamp() - 60);
            assert_eq!(claims["exp"], now.timestamp() + 540);
        }
    }

    #[test]
    fn a_secret_that_is_no_key_is_not_shown() {
        let error = sign("1", &SecretString::from("hunter2"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
