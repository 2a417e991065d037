//! The settings every service has: the bus, the store, its listener, its log, its secrets, its drain.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::hidden;
use crate::secrets::read_secret;
use crate::setting::{Documented, Invalid, Setting};

/// What every service can be told. `redis` is read only by those that keep or show views.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct CommonSettings {
    /// The bus.
    pub nats: Nats,
    /// The views.
    pub redis: Redis,
    /// The listener.
    pub http: Http,
    /// The log.
    pub log: Log,
    /// Where secrets are.
    pub secrets: Secrets,
    /// How long work in hand may take to finish after the wish to stop.
    pub drain_seconds: u64,
}

/// How to reach the bus.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Nats {
    /// One server or several, separated by commas.
    pub url: String,
    /// The user, with a password.
    pub user: Option<String>,
    /// The password itself; a file is better.
    #[serde(with = "hidden")]
    pub password: Option<SecretString>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// A credentials file (JWT and key), in place of user and password.
    pub creds_file: Option<PathBuf>,
    /// What to do about streams, consumers and buckets at the start.
    pub provision: Provision,
    /// After so many seconds without a sign of life, a message goes to another process. Alike for all services.
    pub ack_wait_seconds: u64,
}

/// Whether a service makes its part of the topology or only looks that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provision {
    /// Create what is missing; for one machine and for an administrator's user.
    #[default]
    Create,
    /// Only verify; for users that may not create.
    Verify,
}

/// How to reach the views.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Redis {
    /// Server and database.
    pub url: String,
}

/// The listener for health, metrics and a service's own routes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// `None` is no listener, as for a service inside the all-in-one.
    pub bind: Option<SocketAddr>,
}

/// What the log shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// Level and exceptions, as in `info,bus=debug`.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One compact line for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where secrets are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Secrets {
    /// A directory with one file per secret, named as the secret.
    pub dir: Option<PathBuf>,
    /// Workspaces whose agents and sources may use secrets whose names tell no workspace; `*` is all.
    pub shared: Vec<String>,
}

impl CommonSettings {
    /// The defaults, with a listener on this port of the loopback interface.
    pub fn listening_on(port: u16) -> Self {
        let bind = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self { http: Http { bind }, ..Self::default() }
    }

    /// The limit of the drain.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

impl Nats {
    /// The password, from its file or as given.
    ///
    /// # Errors
    /// When the file cannot be read, naming setting and file.
    pub fn password(&self) -> anyhow::Result<Option<SecretString>> {
        match &self.password_file {
            Some(path) => {
                read_secret(path).map(Some).with_context(|| format!("nats.password_file {}", path.display()))
            }
            None => Ok(self.password.clone()),
        }
    }
}

impl From<LogFormat> for telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Documented for CommonSettings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new("nats.url", "NATS server, or several separated by commas (nats:// or tls://)."),
        Setting::new("nats.user", "NATS user."),
        Setting::secret("nats.password", "NATS password; prefer nats.password_file."),
        Setting::new("nats.password_file", "File that holds the NATS password."),
        Setting::new(
            "nats.creds_file",
            "NATS credentials file (JWT and key), in place of user and password.",
        ),
        Setting::new(
            "nats.provision",
            "create: make missing streams, consumers and buckets; verify: only check.",
        ),
        Setting::new(
            "nats.ack_wait_seconds",
            "Seconds without a sign of life after which a message goes to another process; alike for all services.",
        ),
        Setting::new(
            "redis.url",
            "Redis server and database (redis:// or rediss://), used by services with views.",
        ),
        Setting::new("http.bind", "Address and port for health, metrics and the service's own routes."),
        Setting::new("log.format", "text (for people) or json (one object per line)."),
        Setting::new("log.filter", "Log level and exceptions, as in info,bus=debug."),
        Setting::new("secrets.dir", "Directory with one file per secret, named as the secret."),
        Setting::new(
            "secrets.shared",
            "Workspaces whose job agents and trigger sources may use secrets whose names tell no workspace (github-app-key \
             beside for-acme-github-app-key); * for all, none by default.",
        ),
        Setting::new(
            "drain_seconds",
            "How many seconds work in hand may take to finish when the service stops.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        let invalid = |key, reason: &str| Err(Invalid { key, reason: reason.to_owned() });
        let schemes = ["nats://", "tls://", "ws://", "wss://"];
        if !self.nats.url.split(',').all(|url| begins_with_one(url.trim(), &schemes)) {
            return invalid("nats.url", "expected nats://host:port or tls://host:port");
        }
        if !begins_with_one(&self.redis.url, &["redis://", "rediss://", "redis+unix://", "unix://"]) {
            return invalid("redis.url", "expected redis://host:port or rediss://host:port");
        }
        if self.nats.password.is_some() && self.nats.password_file.is_some() {
            return invalid("nats.password_file", "nats.password is set too; give one of them");
        }
        if self.nats.creds_file.is_some() && self.nats.user.is_some() {
            return invalid("nats.creds_file", "nats.user is set too; give one of them");
        }
        if self.nats.ack_wait_seconds == 0 {
            return invalid("nats.ack_wait_seconds", "must be at least 1");
        }
        telemetry::check_filter(&self.log.filter)
            .map_err(|error| Invalid { key: "log.filter", reason: error.to_string() })
    }
}

fn begins_with_one(url: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

impl Default for CommonSettings {
    fn default() -> Self {
        Self {
            nats: Nats::default(),
            redis: Redis::default(),
            http: Http::default(),
            log: Log::default(),
            secrets: Secrets::default(),
            drain_seconds: 30,
        }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            user: None,
            password: None,
            password_file: None,
            creds_file: None,
            provision: Provision::default(),
            ack_wait_seconds: 30,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: "redis://127.0.0.1:6379/0".to_owned() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

// By hand, because a URL may hold a password.
impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = telemetry::redact(&self.url);
        f.debug_struct("Nats").field("url", &url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("url", &telemetry::redact(&self.url)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn the_defaults_do() {
        assert_eq!(CommonSettings::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_work_names_its_setting() {
        let refused = |change: fn(&mut CommonSettings)| {
            let mut settings = CommonSettings::default();
            change(&mut settings);
            settings.check().expect_err("refused").key
        };
        assert_eq!(refused(|s| s.nats.url = "localhost:4222".into()), "nats.url");
        assert_eq!(refused(|s| s.nats.url = "nats://a,http://b".into()), "nats.url");
        assert_eq!(refused(|s| s.redis.url = "redis://".into()), "redis.url");
        assert_eq!(refused(|s| s.log.filter = "bus=loudest".into()), "log.filter");
        assert_eq!(
            refused(|s| {
                s.nats.user = Some("api".into());
                s.nats.creds_file = Some("c".into());
            }),
            "nats.creds_file"
        );
    }

    #[test]
    fn a_password_is_read_from_its_file_and_never_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2\n").expect("written");
        let nats = Nats { url: "nats://u:pass-word@h".into(), password_file: Some(path), ..Nats::default() };
        let password = nats.password().expect("read").expect("some");
        assert_eq!(password.expose_secret(), "hunter2");
        let shown = format!(
            "{nats:?} {}",
            serde_json::to_string(&Nats { password: Some(password), ..Nats::default() }).expect("json")
        );
        assert!(!shown.contains("hunter2") && !shown.contains("pass-word"), "{shown}");
    }
}
