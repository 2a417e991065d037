//! What a job's config says about the cluster: which one, as whom, in which namespace. It knows names of secrets, never a
//! secret.

use platform::CallError;
use platform::config::{ConfigError, SecretName, secret_name, writes_per_minute};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use url::{Host, Url};

/// A config's part about the cluster. Keys it does not know are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// How to get in.
    pub sign_in: SignIn,
    /// `namespace`: where runs live.
    pub namespace: String,
    /// `rateLimit.writesPerMinute`: how many objects may be made a minute; 0 is no pace of ours.
    pub writes_per_minute: u32,
}

/// Which cluster, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SignIn {
    /// `baseUrl`, `tokenSecret` and, where the cluster's CA is not a public one, `caSecret`.
    Token {
        /// `baseUrl`: the API server, e.g. `https://10.0.0.1:6443`.
        server: Url,
        /// `tokenSecret`: the name of the secret that holds a bearer token.
        token_secret: SecretName,
        /// `caSecret`: the name of the secret that holds the CA's certificates in PEM.
        ca_secret: Option<SecretName>,
    },
    /// `kubeconfigSecret` and, where its current context is not meant, `context`.
    Kubeconfig {
        /// `kubeconfigSecret`: the name of the secret that holds a kubeconfig.
        secret: SecretName,
        /// `context`: one of its contexts.
        context: Option<String>,
    },
    /// Neither: the kubeconfig file of the agent's settings, or the cluster the agent runs in.
    Own {
        /// `context`: a context of that file.
        context: Option<String>,
    },
}

/// A config that does not fit, by field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("config field `{field}` {why}")]
pub struct AccessError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl From<ConfigError> for AccessError {
    fn from(error: ConfigError) -> Self {
        Self { field: error.field, why: error.why }
    }
}

impl From<AccessError> for CallError {
    fn from(error: AccessError) -> Self {
        CallError::Invalid(error.to_string())
    }
}

/// Which hosts a token may be sent to: whoever runs the agent says so, because whoever may edit a job agent names both the
/// host and the secret. A kubeconfig is a secret with its hosts in it.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    /// These hosts only (with a port where it is unusual), over any scheme; without any: loopback.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect())
    }

    fn permit(&self, server: &Url) -> Result<(), AccessError> {
        let host = host_of(server);
        let loopback = match server.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        let permitted = if self.0.is_empty() { loopback } else { self.0.contains(&host) };
        if permitted {
            Ok(())
        } else {
            wrong(
                "baseUrl",
                format!(
                    "has the host {host}, which is not one this agent may talk to: whoever runs the agent lists it in the \
                     setting `hosts`"
                ),
            )
        }
    }
}

impl Access {
    /// Reads a rendered config.
    ///
    /// # Errors
    /// The first field that does not fit, and why.
    pub fn parse(config: &Map<String, Value>, hosts: &AllowedHosts) -> Result<Self, AccessError> {
        let context = text(config, "context")?;
        let (server, token) = (text(config, "baseUrl")?, secret_name(config, "tokenSecret")?);
        let sign_in = match (server, token, secret_name(config, "kubeconfigSecret")?) {
            (Some(_), _, Some(_)) => {
                return wrong("baseUrl", "and `kubeconfigSecret` are both given; which one is meant?");
            }
            (None, Some(_), _) => {
                return wrong("baseUrl", "is missing: `tokenSecret` alone does not say where to sign in");
            }
            (Some(_), None, None) => {
                return wrong("tokenSecret", "is missing: `baseUrl` alone does not say as whom to sign in");
            }
            (Some(server), Some(token_secret), None) => {
                if context.is_some() {
                    return wrong("context", "belongs to a kubeconfig, and `baseUrl` is given");
                }
                let server = base_url(&server)?;
                hosts.permit(&server)?;
                SignIn::Token { server, token_secret, ca_secret: secret_name(config, "caSecret")? }
            }
            (None, None, Some(secret)) => SignIn::Kubeconfig { secret, context },
            (None, None, None) => SignIn::Own { context },
        };
        let writes_per_minute = writes_per_minute(config)?.unwrap_or(0);
        Ok(Self { sign_in, namespace: namespace(config)?, writes_per_minute })
    }

    /// Names the place and the way in, for logs and watches. Holds no secret.
    pub fn name(&self) -> String {
        let context = |context: &Option<String>| match context {
            Some(context) => format!(" context {context}"),
            None => String::new(),
        };
        let sign_in = match &self.sign_in {
            SignIn::Token { server, token_secret, .. } => format!("{} by {token_secret}", host_of(server)),
            SignIn::Kubeconfig { secret, context: named } => format!("kubeconfig {secret}{}", context(named)),
            SignIn::Own { context: named } => format!("own cluster{}", context(named)),
        };
        format!("namespace {} of {sign_in}", self.namespace)
    }
}

impl SignIn {
    /// Whose calls a cluster counts together, in words a person knows. Holds no secret.
    pub(crate) fn counted_as(&self) -> String {
        let in_context = |whence: String, context: &Option<String>| match context {
            Some(context) => format!("{whence} context {context}"),
            None => whence,
        };
        match self {
            SignIn::Token { token_secret, .. } => format!("token {token_secret}"),
            SignIn::Kubeconfig { secret, context } => in_context(format!("kubeconfig {secret}"), context),
            SignIn::Own { context } => in_context("the agent itself".to_owned(), context),
        }
    }
}

/// The host of a URL, with its port where that is not the scheme's usual one.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn wrong<T>(field: &'static str, why: impl Into<String>) -> Result<T, AccessError> {
    Err(AccessError { field, why: why.into() })
}

fn base_url(text: &str) -> Result<Url, AccessError> {
    let url = match Url::parse(text.trim_end_matches('/')) {
        Ok(url) => url,
        Err(error) => return wrong("baseUrl", format!("is not a URL: {error}")),
    };
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return wrong("baseUrl", "must begin with https://");
    }
    let bare = url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return wrong("baseUrl", "must be a scheme, a host and a path, nothing else");
    }
    Ok(url)
}

/// A DNS label, as Kubernetes asks of namespaces (RFC 1123): lower-case letters, digits and `-`, at most 63.
fn namespace(config: &Map<String, Value>) -> Result<String, AccessError> {
    let Some(name) = text(config, "namespace")? else { return wrong("namespace", "is missing") };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= 63 && name.chars().all(plain) && !name.starts_with('-') && !name.ends_with('-') {
        Ok(name)
    } else {
        wrong("namespace", format!("is {name:?}, which is not a name of a namespace"))
    }
}

/// A text; null and empty are nothing.
fn text(config: &Map<String, Value>, field: &'static str) -> Result<Option<String>, AccessError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            wrong(field, "must be a text")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::config::of_workspace;
    use serde_json::json;

    fn of_acme(config: &Value) -> Map<String, Value> {
        of_workspace(config.as_object().unwrap().clone(), &"acme".parse().unwrap())
    }

    fn parse(config: &Value) -> Result<Access, String> {
        let hosts = AllowedHosts::new(["k8s.example:6443".to_owned(), "a".to_owned()]);
        Access::parse(&of_acme(config), &hosts).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn named(config: &Value, expected: &str) {
        assert_eq!(parse(config).map(|access| access.name()).as_deref(), Ok(expected));
    }

    #[test]
    fn there_are_three_ways_in() {
        named(&json!({ "namespace": "ci" }), "namespace ci of own cluster");
        named(&json!({ "namespace": "ci", "context": "eu" }), "namespace ci of own cluster context eu");
        let kubeconfig = json!({ "namespace": "ci", "context": "eu", "kubeconfigSecret": "kube" });
        named(&kubeconfig, "namespace ci of kubeconfig kube of acme context eu");
        let token = json!({ "namespace": "ci", "baseUrl": "https://K8s.Example:6443/", "tokenSecret": "t", "caSecret": "ca" });
        named(&token, "namespace ci of k8s.example:6443 by t of acme");
    }

    #[test]
    fn a_pace_is_read_where_there_is_one() {
        let paced = |limits: Value| {
            parse(&json!({ "namespace": "ci", "rateLimit": limits })).unwrap().writes_per_minute
        };
        assert_eq!((paced(Value::Null), paced(json!({}))), (0, 0));
        assert_eq!(
            (paced(json!({ "writesPerMinute": 9 })), paced(json!({ "writesPerMinute": "9" }))),
            (9, 9)
        );
    }

    #[test]
    fn what_does_not_fit_is_said_by_its_field() {
        for (config, field) in [
            (json!({}), "namespace"),
            (json!({ "namespace": "Ci" }), "namespace"),
            (json!({ "namespace": "a/b" }), "namespace"),
            (json!({ "namespace": "-a" }), "namespace"),
            (json!({ "namespace": "a".repeat(64) }), "namespace"),
            (json!({ "namespace": 7 }), "namespace"),
            (json!({ "namespace": "ci", "tokenSecret": "t" }), "baseUrl"),
            (json!({ "namespace": "ci", "baseUrl": "https://a" }), "tokenSecret"),
            (
                json!({ "namespace": "ci", "baseUrl": "https://a", "tokenSecret": "t", "kubeconfigSecret": "k" }),
                "baseUrl",
            ),
            (
                json!({ "namespace": "ci", "baseUrl": "https://a", "tokenSecret": "t", "context": "c" }),
                "context",
            ),
            (json!({ "namespace": "ci", "baseUrl": "https://b", "tokenSecret": "t" }), "baseUrl"),
            (json!({ "namespace": "ci", "baseUrl": "https://u:p@a", "tokenSecret": "t" }), "baseUrl"),
            (json!({ "namespace": "ci", "baseUrl": "ftp://a", "tokenSecret": "t" }), "baseUrl"),
            (json!({ "namespace": "ci", "baseUrl": "nonsense", "tokenSecret": "t" }), "baseUrl"),
            (json!({ "namespace": "ci", "rateLimit": 5 }), "rateLimit"),
            (
                json!({ "namespace": "ci", "rateLimit": { "writesPerMinute": -1 } }),
                "rateLimit.writesPerMinute",
            ),
        ] {
            let why = parse(&config).expect_err(&config.to_string());
            assert!(why.starts_with(&format!("config field `{field}` ")), "{config}: {why}");
        }
    }

    #[test]
    fn tokens_go_where_the_settings_allow() {
        let at = |base: &str, hosts: &[&str]| {
            let config = json!({ "namespace": "ci", "baseUrl": base, "tokenSecret": "t" });
            let hosts = AllowedHosts::new(hosts.iter().map(|host| (*host).to_owned()));
            Access::parse(&of_acme(&config), &hosts).is_ok()
        };
        assert!(
            !at("https://a.example", &[]) && at("http://127.0.0.1:8080", &[]) && at("http://[::1]:1", &[])
        );
        assert!(at("https://a.example:6443", &["A.example:6443"]) && at("http://a.example", &["a.example"]));
        assert!(!at("https://a.example", &["b.example"]) && !at("https://a.example:1", &["a.example"]));
    }
}
