//! The secrets of a job: put into a copy of its config for the one call that starts it, and taken out of whatever the
//! platform says to that call.

use super::Agent;
use crate::platform::{CallError, Platform, Triggered};
use crate::secrets::SecretSource;
use domain::command::AgentCommand;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// What stands where a secret was.
const MASK: &str = "***";
/// A shorter secret is not looked for: it would be found everywhere.
const MASKED_BYTES_MIN: usize = 4;

/// The source an agent was given; shows nothing of it.
#[derive(Clone)]
pub(super) struct Source(pub(super) Arc<dyn SecretSource>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// A config with its secrets, for one call.
pub(super) struct Filled {
    config: Map<String, Value>,
    /// The texts a secret may show as, the longest first.
    masked: Vec<SecretString>,
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filled")
    }
}

impl<P: Platform> Agent<P> {
    /// The command's config with its secrets in place. Nothing is called and nothing recorded.
    pub(super) fn filled(&self, command: &AgentCommand) -> Result<Filled, CallError> {
        let workspace = &command.job.workspace;
        let mut config = Value::Object(command.config.clone());
        let mut masked = Vec::new();
        for (pointer, name) in &command.secrets {
            let place = place(&mut config, pointer).ok_or_else(|| {
                let why = format!("the config has no place for the secret {name:?} at {pointer:?}");
                CallError::Invalid(why)
            })?;
            let secret = self.secrets.0.secret(workspace, name).map_err(|why| {
                CallError::Unauthorized(format!("the secret {name:?} of workspace {workspace}: {why}"))
            })?;
            *place = Value::String(secret.expose_secret().to_owned());
            masked.extend(texts(secret.expose_secret()));
        }
        masked.sort_by_key(|text| std::cmp::Reverse(text.expose_secret().len()));
        let config = match config {
            Value::Object(config) => config,
            // No pointer leads to the whole, so it stayed a map.
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        };
        Ok(Filled { config, masked })
    }
}

/// Where a template left room for a secret: null, and within the config.
fn place<'c>(config: &'c mut Value, pointer: &str) -> Option<&'c mut Value> {
    config.pointer_mut(pointer).filter(|place| place.is_null())
}

/// A secret as it is, as JSON quotes it, and as words in one line have it.
fn texts(secret: &str) -> impl Iterator<Item = SecretString> {
    let quoted = Value::from(secret).to_string();
    let quoted = quoted[1..quoted.len() - 1].to_owned();
    let line = secret.replace(char::is_control, " ");
    let mut texts = vec![secret.to_owned(), quoted, line.trim().to_owned(), secret.trim().to_owned()];
    texts.sort();
    texts.dedup();
    texts.into_iter().filter(|text| text.len() >= MASKED_BYTES_MIN).map(SecretString::from)
}

impl Filled {
    /// For the call only.
    pub(super) fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// The answer without the secrets. What names a run stays as it is: by another name it could not be followed.
    pub(super) fn masked(&self, answer: Result<Triggered, CallError>) -> Result<Triggered, CallError> {
        match answer {
            Ok(Triggered::Run { mut external, links }) => {
                external.url = external.url.map(|url| self.mask(url));
                let links =
                    links.into_iter().map(|(name, link)| (self.mask(name), self.mask(link))).collect();
                Ok(Triggered::Run { external, links })
            }
            Ok(Triggered::Accepted) => Ok(Triggered::Accepted),
            Err(error) => Err(self.masked_error(error)),
        }
    }

    pub(super) fn masked_error(&self, error: CallError) -> CallError {
        match error {
            CallError::Unauthorized(why) => CallError::Unauthorized(self.mask(why)),
            CallError::Invalid(why) => CallError::Invalid(self.mask(why)),
            CallError::RateLimited { after, why } => CallError::RateLimited { after, why: self.mask(why) },
            CallError::Ambiguous(why) => CallError::Ambiguous(self.mask(why)),
            CallError::Transient(why) => CallError::Transient(self.mask(why)),
        }
    }

    pub(super) fn mask(&self, text: String) -> String {
        let mut text = text;
        for secret in &self.masked {
            text = text.replace(secret.expose_secret(), MASK);
        }
        self.mask_cut_off(text)
    }

    /// Platforms' words are cut at some length, perhaps in the middle of a secret.
    fn mask_cut_off(&self, text: String) -> String {
        let (whole, end) = match text.strip_suffix('…') {
            Some(whole) => (whole, "…"),
            None => (text.as_str(), ""),
        };
        let begun = |secret: &SecretString| {
            let secret = secret.expose_secret();
            let cuts = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= MASKED_BYTES_MIN);
            cuts.rev().find(|at| whole.ends_with(&secret[..*at]))
        };
        match self.masked.iter().filter_map(begun).max() {
            Some(length) => format!("{}{MASK}{end}", &whole[..whole.len() - length]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(secrets: &[&str]) -> Filled {
        let mut masked: Vec<SecretString> = secrets.iter().flat_map(|secret| texts(secret)).collect();
        masked.sort_by_key(|text| std::cmp::Reverse(text.expose_secret().len()));
        Filled { config: Map::new(), masked }
    }

    #[track_caller]
    fn check(secrets: &[&str], text: &str, expected: &str) {
        assert_eq!(filled(secrets).mask(text.to_owned()), expected);
    }

    #[test]
    fn a_secret_is_masked_however_it_shows() {
        check(&["hunter2"], "no hunter2, no hunter2!", "no ***, no ***!");
        check(&["hunter2", "hunter2-longer"], "hunter2-longer hunter2", "*** ***");
        check(&["say \"so\"\nnow"], r#"{"value":"say \"so\"\nnow"}"#, r#"{"value":"***"}"#);
        check(&["two\nlines"], "bad two lines here", "bad *** here");
        check(&[" padded "], "got padded.", "got ***.");
        check(&["schlüssel"], "ein schlüssel", "ein ***");
        check(&["abc"], "abc is too short to be looked for", "abc is too short to be looked for");
        check(&[], "nothing to mask", "nothing to mask");
    }

    #[test]
    fn a_secret_that_was_cut_off_is_masked_too() {
        check(&["hunter2-hunter2"], "is not: hunter2-hun…", "is not: ***…");
        check(&["hunter2-hunter2"], "is not: hunt", "is not: ***");
        check(&["hunter2-hunter2"], "is not: hun…", "is not: hun…");
        check(&["schlüüüssel"], "kein schlü…", "kein ***…");
    }

    #[test]
    fn a_place_is_a_null_within_the_config() {
        let mut config = json!({ "a": { "b/c": [null, 1], "d": "text" }, "e": null });
        for pointer in ["/e", "/a/b~1c/0"] {
            assert!(place(&mut config, pointer).is_some(), "{pointer}");
        }
        for pointer in ["", "e", "/f", "/a", "/a/d", "/a/d/x", "/a/b~1c/1", "/a/b~1c/2", "/a/b~1c/-", "/e/x"]
        {
            assert!(place(&mut config, pointer).is_none(), "{pointer}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let shown = format!("{:?} {:?}", filled(&["hunter2"]), Source(Arc::new(crate::NoSecrets)));
        assert_eq!(shown, "Filled Source");
    }
}
