//! Where a platform's API is: the URL a config gives, held against the hosts that credentials may be sent to. Pure.

use crate::config::{below, host_of};
use reqwest::Url;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The root of a platform's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: Url,
    host: String,
}

impl BaseUrl {
    /// Reads a URL of a scheme, a host and a path; a slash at its end is dropped.
    ///
    /// # Errors
    /// What does not fit, as the end of a sentence that begins with the field's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim_end_matches('/')).map_err(|error| format!("is not a URL: {error}"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err("must begin with https://".to_owned());
        }
        let more = url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err("must be a scheme, a host and a path, nothing else".to_owned());
        }
        let host = host_of(&url).ok_or("has no host")?;
        Ok(Self { url, host })
    }

    /// The host in lower case, with its port where that is not the scheme's usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A URL below it, each segment escaped.
    pub fn below<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        below(self.url.clone(), segments)
    }

    /// The URL itself.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// Which hosts credentials may be sent to. Everybody who may edit a job agent may edit its URL, so whoever runs the agent can
/// say where its secrets may go.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    /// These hosts only, over any scheme; without any: every host over https, and loopback over http.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect())
    }

    /// Whether credentials may be sent there.
    ///
    /// # Errors
    /// Why not, as the end of a sentence that begins with the field's name.
    pub fn permit(&self, base: &BaseUrl) -> Result<(), String> {
        let host = base.host();
        if !self.0.is_empty() {
            return match self.0.contains(host) {
                true => Ok(()),
                false => Err(format!("has the host {host}, which is not one this agent may talk to")),
            };
        }
        if base.url.scheme() == "https" || is_loopback(base.url.host_str().unwrap_or_default()) {
            return Ok(());
        }
        Err("must begin with https://, or its host be one that the agent's settings allow".to_owned())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap_or_else(|why| panic!("{text} {why}"))
    }

    #[test]
    fn a_base_keeps_its_path_and_escapes_what_is_put_below() {
        let argo = base("https://Tools.Example:8443/argo/");
        assert_eq!(argo.host(), "tools.example:8443");
        assert_eq!(argo.below(["api", "a b/c"]).as_str(), "https://tools.example:8443/argo/api/a%20b%2Fc");
        assert_eq!(base("https://tools.example:443").host(), "tools.example");
    }

    #[test]
    fn what_is_no_base_is_refused() {
        for text in [
            "tools.example",
            "ftp://x",
            "https://user@x",
            "https://user:pw@x",
            "https://x?a",
            "https://x#a",
            "",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_go_over_https_to_loopback_or_where_the_settings_allow() {
        let any = AllowedHosts::default();
        for (text, permitted) in [
            ("https://tools.example", true),
            ("http://tools.example", false),
            ("http://127.0.0.1:2746", true),
            ("http://localhost:2746", true),
            ("http://[::1]:2746", true),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(any.permit(&base(text)).is_ok(), permitted, "{text}");
        }
        let one = AllowedHosts::new(["Argo-Server.argo:2746".to_owned()]);
        assert!(one.permit(&base("http://argo-server.argo:2746/x")).is_ok());
        assert!(one.permit(&base("https://argo-server.argo")).is_err());
        assert!(one.permit(&base("http://127.0.0.1")).is_err());
    }
}
