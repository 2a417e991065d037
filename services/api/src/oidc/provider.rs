//! The issuer, as it describes itself: found by discovery, its keys fetched and fetched again when it changes them.

use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

/// How long what the issuer says of itself is believed.
const DESCRIBED_FOR: Duration = Duration::from_secs(3_600);
/// An unknown key makes us ask for its keys again, but no more often.
const KEYS_AGAIN_AFTER: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// No answer of an issuer is larger.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Why the issuer is of no use now. Says nothing that is secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not as it should.
    #[error("the issuer does not answer: {0}")]
    Away(String),
    /// It does not describe itself as it must.
    #[error("the issuer does not fit: {0}")]
    Misfit(String),
    /// It does not give a token for the code.
    #[error("the issuer refused the code: {0}")]
    Refused(String),
}

/// What the discovery document says that we need.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    takes_basic: bool,
}

/// As it stands there.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// The issuer.
pub(crate) struct Provider {
    issuer: String,
    http: reqwest::Client,
    described: Mutex<Option<(Instant, Description)>>,
    keys: Mutex<Option<(Instant, JwkSet)>>,
}

/// What the code is exchanged with.
pub(crate) struct Exchange<'a> {
    pub(crate) code: &'a str,
    pub(crate) redirect_uri: &'a str,
    pub(crate) verifier: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<&'a SecretString>,
}

impl Provider {
    pub(crate) fn new(issuer: &str) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder();
        let here = issuer.parse::<Url>().is_ok_and(|url| is_safe(&url) && url.scheme() == "http");
        let http = if here { builder.no_proxy() } else { builder }
            // An issuer that could send us elsewhere could send us inside.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WITHIN)
            .user_agent(concat!("ctrlplane/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { issuer: issuer.to_owned(), http, described: Mutex::default(), keys: Mutex::default() })
    }

    /// What the issuer says of itself.
    pub(crate) async fn describe(&self) -> Result<Description, ProviderError> {
        let mut described = self.described.lock().await;
        if let Some((at, description)) = &*described
            && at.elapsed() < DESCRIBED_FOR
        {
            return Ok(description.clone());
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document: Document = self.read(self.http.get(url)).await?;
        let description = document.check(&self.issuer)?;
        *described = Some((Instant::now(), description.clone()));
        Ok(description)
    }

    /// The issuer's keys. Asked for again where `missed` says that the last known ones were not enough.
    pub(crate) async fn keys(&self, missed: bool) -> Result<JwkSet, ProviderError> {
        let mut keys = self.keys.lock().await;
        if let Some((at, known)) = &*keys {
            let good_for = if missed { KEYS_AGAIN_AFTER } else { DESCRIBED_FOR };
            if at.elapsed() < good_for {
                return Ok(known.clone());
            }
        }
        let url = self.describe().await?.jwks_uri;
        let read: Value = self.read(self.http.get(url)).await?;
        let known = usable(&read);
        *keys = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// The ID token for the code.
    pub(crate) async fn exchange(&self, with: Exchange<'_>) -> Result<SecretString, ProviderError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: Option<String>,
        }
        let description = self.describe().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", with.code),
            ("redirect_uri", with.redirect_uri),
            ("code_verifier", with.verifier),
        ];
        let request = self.http.post(description.token_endpoint.clone());
        let request = match with.client_secret {
            None => {
                form.push(("client_id", with.client_id));
                request
            }
            Some(secret) if description.takes_basic => {
                let encoded =
                    |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                request.basic_auth(encoded(with.client_id), Some(encoded(secret.expose_secret())))
            }
            Some(secret) => {
                form.push(("client_id", with.client_id));
                form.push(("client_secret", secret.expose_secret()));
                request
            }
        };
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(reqwest::header::ACCEPT, "application/json")
            .body(body);
        let tokens: Tokens = self.read(request).await?;
        tokens.id_token.map(SecretString::from).ok_or_else(|| {
            ProviderError::Misfit("it gave no ID token; is openid among oidc.scopes?".to_owned())
        })
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ProviderError> {
        let away = |error: reqwest::Error| ProviderError::Away(error.without_url().to_string());
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(ProviderError::Away("its answer is too large".to_owned()));
            }
        }
        if status.is_client_error() {
            // RFC 6749, section 5.2; the description may repeat what was sent, the word does not.
            let word = serde_json::from_slice::<Value>(&bytes).ok();
            let word = word.as_ref().and_then(|body| body["error"].as_str()).unwrap_or_default();
            let word: String = word.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
            return Err(ProviderError::Refused(format!("{} {word}", status.as_u16()).trim_end().to_owned()));
        }
        if !status.is_success() {
            return Err(ProviderError::Away(format!("it says {}", status.as_u16())));
        }
        serde_json::from_slice(&bytes)
            .map_err(|_| ProviderError::Away("its answer is not what it should be".to_owned()))
    }
}

impl Document {
    fn check(self, issuer: &str) -> Result<Description, ProviderError> {
        if self.issuer != issuer {
            let why = format!("it calls itself {:?}, and oidc.issuer is {issuer:?}", self.issuer);
            return Err(ProviderError::Misfit(why));
        }
        let safe = |text: &str| {
            let url = text.parse::<Url>().ok().filter(is_safe);
            url.ok_or_else(|| ProviderError::Misfit(format!("{text} is no address of https")))
        };
        // Without a word on it, basic authentication it is (OpenID Connect Discovery 1.0).
        let methods = self.token_endpoint_auth_methods_supported;
        Ok(Description {
            authorization_endpoint: safe(&self.authorization_endpoint)?,
            token_endpoint: safe(&self.token_endpoint)?,
            jwks_uri: safe(&self.jwks_uri)?,
            takes_basic: methods
                .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
        })
    }
}

/// The keys that we can use and that are for signatures; an issuer may have others beside them.
fn usable(read: &Value) -> JwkSet {
    let keys = read["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let for_signatures = |key: &&Value| key["use"].as_str().is_none_or(|purpose| purpose == "sig");
    let keys =
        keys.iter().filter(for_signatures).filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    JwkSet { keys: keys.filter(|key| DecodingKey::from_jwk(key).is_ok()).collect() }
}

/// Whether nobody on the way can read or change what is sent there: https, or this machine.
pub(crate) fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_https_or_this_machine_is_safe() {
        for (url, safe) in [
            ("https://id.example/token", true),
            ("http://127.0.0.1:5/token", true),
            ("http://[::1]/token", true),
            ("http://localhost/token", true),
            ("http://id.example/token", false),
            ("http://localhost.example/token", false),
            ("ftp://127.0.0.1/", false),
        ] {
            assert_eq!(is_safe(&url.parse().unwrap()), safe, "{url}");
        }
    }

    #[test]
    fn keys_that_are_not_for_signatures_or_not_known_are_left_out() {
        let set = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a" },
            { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "enc" },
            { "kty": "new" },
        ]});
        let keys = usable(&set).keys;
        assert_eq!(keys.iter().map(|key| key.common.key_id.as_deref()).collect::<Vec<_>>(), [Some("a")]);
        assert!(usable(&json!({})).keys.is_empty());
    }
}
