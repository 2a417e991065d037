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

/// Which hosts credentials may be sent to. Everybody who may edit a job agent may edit its URL, so it is whoever runs the agent
/// who says where its secrets may go.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    /// These hosts only (with a port where it is unusual), over any scheme; without any: the platform's usual one over https,
    /// and loopback.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect())
    }

    /// Whether credentials may be sent there. `usual` is where the platform is for most, if it is one place.
    ///
    /// # Errors
    /// Why not, as the end of a sentence that begins with the field's name.
    pub fn permit(&self, base: &BaseUrl, usual: Option<&BaseUrl>) -> Result<(), String> {
        let host = base.host();
        let is_usual =
            usual.is_some_and(|usual| usual.host == base.host && usual.url.scheme() == base.url.scheme());
        let permitted = match self.0.is_empty() {
            true => is_usual || is_loopback(base.url.host_str().unwrap_or_default()),
            false => self.0.contains(host),
        };
        match permitted {
            true => Ok(()),
            false => Err(format!(
                "has the host {host}, which is not one this agent may talk to: whoever runs the agent lists it in the setting \
                 `hosts`"
            )),
        }
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
    fn credentials_go_to_the_usual_host_to_loopback_or_where_the_settings_allow() {
        let (unsaid, usual) = (AllowedHosts::default(), base("https://tools.example"));
        for (text, permitted) in [
            ("https://tools.example", true),
            ("https://tools.example:8443", false),
            ("https://evil.example", false),
            ("http://tools.example", false),
            ("http://127.0.0.1:2746", true),
            ("http://localhost:2746", true),
            ("http://[::1]:2746", true),
            ("http://127.0.0.1.example", false),
        ] {
            assert_eq!(unsaid.permit(&base(text), Some(&usual)).is_ok(), permitted, "{text}");
        }
        assert!(unsaid.permit(&usual, None).is_err(), "where there is no usual host, it is listed");
        let one = AllowedHosts::new(["Argo-Server.argo:2746".to_owned()]);
        assert!(one.permit(&base("http://argo-server.argo:2746/x"), None).is_ok());
        assert!(one.permit(&base("https://argo-server.argo"), None).is_err());
        assert!(one.permit(&base("http://127.0.0.1"), Some(&usual)).is_err());
    }
}
