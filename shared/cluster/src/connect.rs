//! Connections to clusters, one per way in. A rotated secret, kubeconfig or token counts from the next call on.

use crate::access::{Access, SignIn};
use crate::budget::{Counted, Share};
use crate::call::Cluster;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use platform::CallError;
use platform::config::SecretName;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

/// How many connections are kept; what is beyond is made anew.
const OPEN_MAX: usize = 1_000;

/// Looks up a secret of the agent by its name; the error is a sentence for people.
pub type SecretByName = Arc<dyn Fn(&SecretName) -> Result<SecretString, String> + Send + Sync>;

/// What clusters are reached with.
#[derive(Clone)]
pub struct Options {
    /// The agent's own secrets.
    pub secrets: SecretByName,
    /// The kubeconfig file for configs that name no cluster; without it they mean the cluster the agent runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The API server as pods see it.
    pub in_cluster_server: String,
    /// Where a pod finds its service account: `token`, which is read again as it is renewed, and `ca.crt`.
    pub service_account_dir: PathBuf,
    /// One request and its whole answer take no longer.
    pub deadline: Duration,
    /// Where calls are counted; `None` for whoever looks at a cluster before there is a bus.
    pub counted: Option<Counted>,
}

impl Options {
    /// Where Kubernetes puts a pod's service account.
    pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
    /// The name of the API server within a cluster.
    pub const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
}

/// All clusters an agent talks to.
pub struct Clusters {
    options: Options,
    open: Mutex<HashMap<SignIn, Open>>,
}

#[derive(Clone)]
struct Open {
    /// Of what was signed in with.
    digest: [u8; 32],
    client: Client,
    host: String,
}

/// What a connection is made of.
enum Material {
    Token { server: Url, token: SecretString, ca: Option<SecretString> },
    Kubeconfig { text: SecretString, context: Option<String>, whence: String },
    InCluster,
}

impl Clusters {
    /// Connected to none yet.
    pub fn new(options: Options) -> Arc<Self> {
        Arc::new(Self { options, open: Mutex::default() })
    }

    /// The cluster a config names. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`CallError::Unauthorized`] where a secret or file to sign in with is missing or unusable;
    /// [`CallError::Invalid`] where a kubeconfig has no such context.
    pub async fn of(self: &Arc<Self>, access: &Access) -> Result<Cluster, CallError> {
        let material = self.material(&access.sign_in)?;
        let digest = material.digest();
        let known = self.open().get(&access.sign_in).filter(|open| open.digest == digest).cloned();
        let (open, is_new) = match known {
            Some(open) => (open, false),
            None => {
                let config = self.config(&material).await?;
                let host = config.cluster_url.authority().map(|host| host.as_str().to_ascii_lowercase());
                let client = Client::try_from(config).map_err(|error| {
                    CallError::Unauthorized(format!("{}: {}", material.whose(), said(&error)))
                })?;
                let open = Open { digest, client, host: host.unwrap_or_default() };
                let mut all = self.open();
                if all.len() >= OPEN_MAX {
                    all.clear();
                }
                all.insert(access.sign_in.clone(), open.clone());
                (open, true)
            }
        };
        let counted = self.options.counted.as_ref();
        let budget = counted.map(|by| by.of(&open.host, &access.sign_in, access.writes_per_minute));
        Ok(Cluster {
            budget: Share(budget),
            clusters: Arc::clone(self),
            access: access.clone(),
            client: open.client,
            host: open.host,
            whose: material.whose(),
            deadline: self.options.deadline,
            is_new,
        })
    }

    /// The next call signs in anew.
    pub(crate) fn forget(&self, sign_in: &SignIn) {
        self.open().remove(sign_in);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SignIn, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self, name: &SecretName) -> Result<SecretString, CallError> {
        (self.options.secrets)(name).map_err(CallError::Unauthorized)
    }

    fn material(&self, sign_in: &SignIn) -> Result<Material, CallError> {
        Ok(match sign_in {
            SignIn::Token { server, token_secret, ca_secret } => Material::Token {
                server: server.clone(),
                token: self.secret(token_secret)?,
                ca: ca_secret.as_ref().map(|name| self.secret(name)).transpose()?,
            },
            SignIn::Kubeconfig { secret, context } => Material::Kubeconfig {
                text: self.secret(secret)?,
                context: context.clone(),
                whence: format!("the kubeconfig in the secret {secret}"),
            },
            SignIn::Own { context } => match (&self.options.kubeconfig, context) {
                (Some(file), _) => Material::Kubeconfig {
                    text: read(file, "the kubeconfig")?.into(),
                    context: context.clone(),
                    whence: format!("the kubeconfig {}", file.display()),
                },
                (None, None) => Material::InCluster,
                (None, Some(context)) => {
                    let why =
                        format!("config field `context` is {context:?}, but this agent has no kubeconfig");
                    return Err(CallError::Invalid(why));
                }
            },
        })
    }

    async fn config(&self, material: &Material) -> Result<Config, CallError> {
        let mut config = match material {
            Material::Token { server, token, ca } => {
                let mut config = Config::new(uri(server.as_str())?);
                // kube keeps its secrets in a type of the same crate, of the version it is built with.
                config.auth_info =
                    AuthInfo { token: Some(token.expose_secret().to_owned().into()), ..AuthInfo::default() };
                config.root_cert = ca.as_ref().map(|ca| certificates(ca.expose_secret())).transpose()?;
                config
            }
            Material::Kubeconfig { text, context, whence } => {
                // What is wrong with the text is not said in detail: it is full of secrets.
                let kubeconfig = Kubeconfig::from_yaml(text.expose_secret())
                    .map_err(|_| CallError::Unauthorized(format!("{whence} is no kubeconfig")))?;
                let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|error| unusable(whence, &error))?
            }
            Material::InCluster => {
                let (token, ca) = (self.service_account("token"), self.service_account("ca.crt"));
                read(&token, "the service account's token")?;
                let mut config = Config::new(uri(&self.options.in_cluster_server)?);
                config.root_cert = Some(certificates(&read(&ca, "the cluster's CA")?)?);
                config.root_cert_file = Some(ca);
                let token_file = Some(token.to_string_lossy().into_owned());
                config.auth_info = AuthInfo { token_file, ..AuthInfo::default() };
                config
            }
        };
        config.connect_timeout = Some(self.options.deadline.min(Duration::from_secs(5)));
        // When to try again is the agent's business: it knows what a repeat may do.
        config.default_retry = false;
        Ok(config)
    }

    fn service_account(&self, file: &str) -> PathBuf {
        self.options.service_account_dir.join(file)
    }
}

impl Material {
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        match self {
            Material::Token { token, ca, .. } => {
                digest.update(token.expose_secret());
                digest.update([0]);
                digest.update(ca.as_ref().map_or("", |ca| ca.expose_secret()));
            }
            Material::Kubeconfig { text, .. } => digest.update(text.expose_secret()),
            Material::InCluster => {}
        }
        digest.finalize().into()
    }

    /// As whom we sign in, for people.
    fn whose(&self) -> String {
        match self {
            Material::Token { .. } => "the token of `tokenSecret`".to_owned(),
            Material::Kubeconfig { whence, .. } => whence.clone(),
            Material::InCluster => "the agent's service account".to_owned(),
        }
    }
}

fn uri(text: &str) -> Result<http::Uri, CallError> {
    text.parse().map_err(|_| CallError::Invalid(format!("{text:?} is no address of an API server")))
}

fn read(file: &Path, what: &str) -> Result<String, CallError> {
    std::fs::read_to_string(file).map_err(|error| {
        CallError::Unauthorized(format!("{what} cannot be read from {}: {error}", file.display()))
    })
}

/// The certificates of a PEM text, in DER.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, CallError> {
    let unusable = || CallError::Unauthorized("the cluster's CA holds no certificate in PEM".to_owned());
    let parsed = pem::parse_many(pem).map_err(|_| unusable())?;
    let certificates: Vec<Vec<u8>> = parsed
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(pem::Pem::into_contents)
        .collect();
    if certificates.is_empty() { Err(unusable()) } else { Ok(certificates) }
}

fn unusable(whence: &str, error: &KubeconfigError) -> CallError {
    if let KubeconfigError::LoadContext(context) = error {
        return CallError::Invalid(format!("{whence} has no context {context:?}"));
    }
    if let KubeconfigError::CurrentContextNotSet = error {
        return CallError::Invalid(format!("{whence} has no current context: name one in `context`"));
    }
    if let KubeconfigError::LoadClusterOfContext(cluster) = error {
        return CallError::Invalid(format!("{whence} has no cluster {cluster:?}, which its context names"));
    }
    CallError::Unauthorized(format!("{whence} cannot be used: {}", said(error)))
}

/// An error and its causes, in one line.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    crate::refusal::words(&text)
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clusters({} connected)", self.open().len())
    }
}
