//! The secrets of a job: put into a copy of its config for the one call that starts it, and taken out of whatever the
//! platform says to that call or later.

use super::Agent;
use crate::platform::{CallError, Platform, Triggered};
use crate::secrets::SecretSource;
use domain::command::AgentCommand;
use domain::job::{ExternalRef, JobState, Links, RawStatus, Snapshot};
use domain::token::Slug;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
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
pub struct Filled {
    config: Map<String, Value>,
    mask: Mask,
}

/// The texts that the secrets of a job may show as, the longest first.
pub struct Mask(Vec<SecretString>);

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filled")
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

impl<P: Platform> Agent<P> {
    /// The command's config with its secrets in place. Nothing is called and nothing recorded.
    pub(super) fn filled(&self, command: &AgentCommand) -> Result<Filled, CallError> {
        fill(&*self.secrets.0, &command.job.workspace, &command.config, &command.secrets)
    }

    /// What hides the secrets of a job in later words about its run. A secret that is gone by now cannot be looked for.
    pub(super) fn mask(&self, state: &JobState) -> Mask {
        let Some(assigned) = &state.assigned else { return Mask(Vec::new()) };
        Mask::of_names(&*self.secrets.0, &state.job.workspace, assigned.dispatch.secrets.values())
    }
}

/// A config with its secrets in place: which belong where is told by JSON pointer and name.
///
/// # Errors
/// [`CallError::Unauthorized`] for a secret that is not there, [`CallError::Invalid`] for one that has no place.
pub fn fill(
    source: &dyn SecretSource,
    workspace: &Slug,
    config: &Map<String, Value>,
    names: &BTreeMap<String, String>,
) -> Result<Filled, CallError> {
    let mut config = Value::Object(config.clone());
    let mut secrets = Vec::new();
    for (pointer, name) in names {
        let place = place(&mut config, pointer).ok_or_else(|| {
            CallError::Invalid(format!("the config has no place for the secret {name:?} at {pointer:?}"))
        })?;
        let secret = source.secret(workspace, name).map_err(|why| {
            CallError::Unauthorized(format!("the secret {name:?} of workspace {workspace}: {why}"))
        })?;
        *place = Value::String(secret.expose_secret().to_owned());
        secrets.push(secret);
    }
    let config = match config {
        Value::Object(config) => config,
        // No pointer leads to the whole, so it stayed a map.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    Ok(Filled { config, mask: Mask::of(&secrets) })
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
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// The answer without the secrets. What names a run stays as it is: by another name it could not be followed.
    pub(super) fn masked(&self, answer: Result<Triggered, CallError>) -> Result<Triggered, CallError> {
        match answer {
            Ok(Triggered::Run { external, links }) => {
                Ok(Triggered::Run { external: self.mask.run(external), links: self.mask.links(links) })
            }
            Ok(Triggered::Accepted) => Ok(Triggered::Accepted),
            Err(error) => Err(self.mask.error(error)),
        }
    }
}

impl Mask {
    /// Hides secrets of the workspace. One that is gone by now cannot be looked for.
    pub fn of_names<'a>(
        source: &dyn SecretSource,
        workspace: &Slug,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let found: Vec<SecretString> =
            names.into_iter().filter_map(|name| source.secret(workspace, name).ok()).collect();
        Self::of(&found)
    }

    fn of(secrets: &[SecretString]) -> Self {
        let mut texts: Vec<SecretString> =
            secrets.iter().flat_map(|secret| texts(secret.expose_secret())).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.expose_secret().len()));
        Self(texts)
    }

    pub(super) fn error(&self, error: CallError) -> CallError {
        match error {
            CallError::Unauthorized(why) => CallError::Unauthorized(self.text(why)),
            CallError::Invalid(why) => CallError::Invalid(self.text(why)),
            CallError::RateLimited { after, why } => CallError::RateLimited { after, why: self.text(why) },
            CallError::Ambiguous(why) => CallError::Ambiguous(self.text(why)),
            CallError::Transient(why) => CallError::Transient(self.text(why)),
        }
    }

    pub(super) fn run(&self, run: ExternalRef) -> ExternalRef {
        ExternalRef { url: run.url.map(|url| self.text(url)), ..run }
    }

    pub(super) fn snapshot<S>(&self, snapshot: Snapshot<S>) -> Snapshot<S> {
        Snapshot {
            raw: snapshot.raw.map(|raw| self.raw(raw)),
            message: snapshot.message.map(|message| self.text(message)),
            links: self.links(snapshot.links),
            external: snapshot.external.map(|run| self.run(run)),
            ..snapshot
        }
    }

    pub(super) fn raw(&self, raw: RawStatus) -> RawStatus {
        RawStatus {
            status: self.text(raw.status),
            conclusion: raw.conclusion.map(|conclusion| self.text(conclusion)),
        }
    }

    fn links(&self, links: Links) -> Links {
        links.into_iter().map(|(name, link)| (self.text(name), self.text(link))).collect()
    }

    /// The text without the secrets.
    pub fn text(&self, text: String) -> String {
        let mut text = text;
        for secret in &self.0 {
            text = text.replace(secret.expose_secret(), MASK);
        }
        self.cut_off(text)
    }

    /// Platforms' words are cut at some length, perhaps in the middle of a secret.
    fn cut_off(&self, text: String) -> String {
        let (whole, end) = match text.strip_suffix('…') {
            Some(whole) => (whole, "…"),
            None => (text.as_str(), ""),
        };
        let begun = |secret: &SecretString| {
            let secret = secret.expose_secret();
            let cuts = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= MASKED_BYTES_MIN);
            cuts.rev().find(|at| whole.ends_with(&secret[..*at]))
        };
        match self.0.iter().filter_map(begun).max() {
            Some(length) => format!("{}{MASK}{end}", &whole[..whole.len() - length]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::of(&secrets.iter().map(|secret| SecretString::from(*secret)).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(secrets: &[&str], text: &str, expected: &str) {
        assert_eq!(mask(secrets).text(text.to_owned()), expected);
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
        let filled = Filled { config: Map::new(), mask: mask(&["hunter2"]) };
        let shown = format!("{filled:?} {:?} {:?}", filled.mask, Source(Arc::new(crate::NoSecrets)));
        assert_eq!(shown, "Filled Mask Source");
    }
}
