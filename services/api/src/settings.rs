//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::{Documented, Invalid, Setting};
use url::Url;

use crate::oidc::{GroupRole, is_safe};

/// The bucket of sessions forgets after a week.
const SESSION_HOURS_MAX: u32 = 168;

/// The API's own settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Who may call.
    pub auth: AuthSettings,
    /// Logging in at the console with an issuer.
    pub oidc: OidcSettings,
    /// How often somebody may call.
    pub limits: LimitSettings,
    /// Live events.
    pub events: EventSettings,
}

/// Who may call. With neither file, and no key made over the API, every request is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthSettings {
    /// Lines `name:role:sha256hex[:workspace]`.
    pub keys_file: Option<PathBuf>,
    /// A file that holds one key, in clear, which may do everything.
    pub bootstrap_key_file: Option<PathBuf>,
    /// How often the files are looked at for changes, in seconds.
    pub reread_seconds: u64,
    /// How long a login at the console is good for, in hours.
    pub session_hours: u32,
    /// Where people reach the API and the console.
    pub public_url: Option<String>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            keys_file: None,
            bootstrap_key_file: None,
            reread_seconds: 5,
            session_hours: 12,
            public_url: None,
        }
    }
}

impl AuthSettings {
    pub(crate) fn is_https(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// Logging in at the console with an issuer of OpenID Connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct OidcSettings {
    /// The issuer, as it calls itself; without one nobody logs in this way.
    pub issuer: Option<String>,
    /// Who we are to it.
    pub client_id: Option<String>,
    /// A file that holds the secret of the client; without one it is a public client.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that is the name of the user.
    pub user_claim: String,
    /// The claim that lists the user's groups.
    pub groups_claim: String,
    /// What groups may do: `group=role` or `group=role@workspace`.
    pub roles: Vec<String>,
    /// What people know the issuer by.
    pub name: Option<String>,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret_file: None,
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            user_claim: "email".to_owned(),
            groups_claim: "groups".to_owned(),
            roles: Vec::new(),
            name: None,
        }
    }
}

/// How often somebody may call, at each replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// Requests per key and second, on average; 0: as many as they like.
    pub requests_per_second: u32,
    /// Requests per key at once.
    pub requests_at_once: u32,
    /// Wrong keys per address and minute, on average; 0: as many as they like.
    pub failures_per_minute: u32,
    /// Wrong keys per address at once.
    pub failures_at_once: u32,
    /// Sessions that a key may begin per minute, on average and at once; 0: as many as they like.
    pub logins_per_minute: u32,
    /// How many proxies of ours stand in front, each of which adds an address to X-Forwarded-For.
    pub forwarded_hops: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            requests_per_second: 200,
            requests_at_once: 2_000,
            failures_per_minute: 30,
            failures_at_once: 30,
            logins_per_minute: 30,
            forwarded_hops: 0,
        }
    }
}

/// Live events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct EventSettings {
    /// How many clients may listen at once.
    pub clients_max: usize,
    /// How many of them may be of one key or user; 0: as many as there are.
    pub clients_each_max: usize,
    /// How often it is asked whether a listener still may, in seconds.
    pub recheck_seconds: u64,
    /// How long a client may leave its buffer full before it is cut off, in seconds.
    pub slow_client_seconds: u64,
}

impl EventSettings {
    pub(crate) fn recheck(&self) -> Duration {
        Duration::from_secs(self.recheck_seconds)
    }

    pub(crate) fn slow_client(&self) -> Duration {
        Duration::from_secs(self.slow_client_seconds)
    }
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { clients_max: 2_000, clients_each_max: 100, recheck_seconds: 15, slow_client_seconds: 20 }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[
        Setting::new(
            "auth.keys_file",
            "File of API keys, one per line: name:role:sha256hex[:workspace]; roles viewer, operator, approver, admin. \
             Read again when it changes; other keys are made with `ctrlplane keys create`.",
        ),
        Setting::new(
            "auth.bootstrap_key_file",
            "File that holds one API key, in clear, with the role admin in every workspace.",
        ),
        Setting::new(
            "auth.reread_seconds",
            "How often the files of keys are looked at for changes, in seconds.",
        ),
        Setting::new(
            "auth.session_hours",
            "How many hours a login at the console is good for, at most 168 (a week).",
        ),
        Setting::new(
            "auth.public_url",
            "Where people reach the API and the console, as in https://ctrlplane.example.com; needed for oidc. With https, \
             cookies are sent over https only.",
        ),
        Setting::new(
            "oidc.issuer",
            "Issuer of OpenID Connect with which people log in at the console, exactly as it calls itself in \
             /.well-known/openid-configuration.",
        ),
        Setting::new("oidc.client_id", "The client that the issuer knows this API as."),
        Setting::new(
            "oidc.client_secret_file",
            "File that holds the client's secret; without one it is a public client, which PKCE alone protects.",
        ),
        Setting::new("oidc.scopes", "What is asked for; openid must be among them."),
        Setting::new(
            "oidc.user_claim",
            "Claim of the ID token that is the user's name: who approves, who is audited. It must be one that users cannot \
             choose freely.",
        ),
        Setting::new(
            "oidc.groups_claim",
            "Claim of the ID token that lists the user's groups; a dot leads inside, as in realm_access.roles.",
        ),
        Setting::new(
            "oidc.roles",
            "What groups may do, each as group=role (in every workspace) or group=role@workspace; the group * is anybody the \
             issuer lets in. Who gets no role is not let in.",
        ),
        Setting::new(
            "oidc.name",
            "What people know the issuer by, shown at the login; without one its host.",
        ),
        Setting::new(
            "limits.requests_per_second",
            "How many requests per second a key may make on average, at each replica; 0 is no limit.",
        ),
        Setting::new("limits.requests_at_once", "How many requests a key may make at once beyond that."),
        Setting::new(
            "limits.failures_per_minute",
            "How many wrong keys per minute may come from an address on average, at each replica; 0 is no limit.",
        ),
        Setting::new(
            "limits.failures_at_once",
            "How many wrong keys may come from an address at once beyond that.",
        ),
        Setting::new(
            "limits.logins_per_minute",
            "How many sessions per minute a key may begin, on average and at once, at each replica; 0 is no limit.",
        ),
        Setting::new(
            "limits.forwarded_hops",
            "How many proxies of yours stand in front of the API, each adding an address to X-Forwarded-For; 0 takes the \
             address of the connection.",
        ),
        Setting::new("events.clients_max", "How many clients may listen to live events at once."),
        Setting::new(
            "events.clients_each_max",
            "How many of them may be of one key (with the sessions it opened) or user; 0 is no limit.",
        ),
        Setting::new(
            "events.recheck_seconds",
            "After how many seconds at most live events end for whom they are not any more: a revoked key, a session that is \
             over, a role that was taken away.",
        ),
        Setting::new(
            "events.slow_client_seconds",
            "How many seconds a client may leave its buffer of live events full before it is cut off.",
        ),
    ];

    fn check(&self) -> Result<(), Invalid> {
        self.check_access()?;
        if self.events.clients_max == 0 {
            return Err(Invalid { key: "events.clients_max", reason: "must be at least 1".to_owned() });
        }
        if self.events.recheck_seconds == 0 {
            return Err(Invalid { key: "events.recheck_seconds", reason: "must be at least 1".to_owned() });
        }
        if self.events.slow_client_seconds == 0 {
            return Err(Invalid {
                key: "events.slow_client_seconds",
                reason: "must be at least 1".to_owned(),
            });
        }
        Ok(())
    }
}

impl Settings {
    fn check_access(&self) -> Result<(), Invalid> {
        let invalid = |key, reason: &str| Err(Invalid { key, reason: reason.to_owned() });
        if self.auth.reread_seconds == 0 {
            return invalid("auth.reread_seconds", "must be at least 1");
        }
        if !(1..=SESSION_HOURS_MAX).contains(&self.auth.session_hours) {
            return invalid("auth.session_hours", "must be between 1 and 168");
        }
        if self.limits.requests_per_second > 0 && self.limits.requests_at_once == 0 {
            return invalid("limits.requests_at_once", "must be at least 1");
        }
        if self.limits.failures_per_minute > 0 && self.limits.failures_at_once == 0 {
            return invalid("limits.failures_at_once", "must be at least 1");
        }
        if let Some(url) = &self.auth.public_url
            && !url.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        {
            return invalid(
                "auth.public_url",
                "must be the address of a web site, as in https://ctrlplane.example.com",
            );
        }
        for text in &self.oidc.roles {
            if let Err(why) = text.parse::<GroupRole>() {
                return invalid("oidc.roles", &format!("{text:?}: {why}"));
            }
        }
        let Some(issuer) = &self.oidc.issuer else { return Ok(()) };
        if !issuer.parse::<Url>().is_ok_and(|url| is_safe(&url)) {
            return invalid("oidc.issuer", "must begin with https:// (http:// on this machine only)");
        }
        if self.oidc.client_id.as_ref().is_none_or(String::is_empty) {
            return invalid("oidc.client_id", "is needed where oidc.issuer is set");
        }
        if self.auth.public_url.is_none() {
            return invalid("auth.public_url", "is needed where oidc.issuer is set");
        }
        if !self.oidc.scopes.iter().any(|scope| scope == "openid") {
            return invalid("oidc.scopes", "must have openid");
        }
        if self.oidc.roles.is_empty() {
            return invalid("oidc.roles", "is empty: nobody could do anything");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_documented_and_the_defaults_fit() {
        service::assert_documented::<Settings>();
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn an_issuer_needs_what_belongs_to_it() {
        let mut settings = Settings::default();
        settings.oidc.issuer = Some("https://id.example".to_owned());
        let mut wrong = Vec::new();
        while let Err(invalid) = settings.check() {
            wrong.push(invalid.key);
            match invalid.key {
                "oidc.client_id" => settings.oidc.client_id = Some("ctrlplane".to_owned()),
                "auth.public_url" => settings.auth.public_url = Some("https://ctrlplane.example".to_owned()),
                "oidc.roles" => settings.oidc.roles = vec!["platform=admin".to_owned()],
                other => panic!("{other}: {}", invalid.reason),
            }
        }
        assert_eq!(wrong, ["oidc.client_id", "auth.public_url", "oidc.roles"]);
        assert!(settings.auth.is_https());
        settings.oidc.roles.push("platform=king".to_owned());
        assert_eq!(settings.check().unwrap_err().key, "oidc.roles");
        settings.oidc.issuer = Some("http://id.example".to_owned());
        settings.oidc.roles.pop();
        assert_eq!(settings.check().unwrap_err().key, "oidc.issuer");
    }
}
