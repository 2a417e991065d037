//! GitHub's logs of webhook deliveries: an App's, read as the App, and a repository's, read with a token. GitHub never
//! repeats a delivery by itself, and keeps it for three days to be sent again.
//! Source: docs.github.com "REST API endpoints for GitHub App webhooks", "… for repository webhooks", "Handling failed
//! webhook deliveries".

use super::actions::GithubActions;
use super::api::{PAGE_MAX, parse};
use super::config::{Credential, GithubConfig};
use domain::Timestamp;
use domain::webhook::{Answer, Attempt, Hook};
use http::header::LINK;
use http::{HeaderMap, StatusCode};
use platform::budget::Kind;
use platform::http::{Outcome, text};
use platform::{AttemptsPage, CallError, HookAt, Recover, Redelivered, leads_to_us};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long GitHub keeps a delivery to be sent again.
const KEPT_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// At two looks a minute this stays below the 80 content-creating calls a minute that GitHub allows.
const REDELIVERIES_MAX: usize = 30;
/// The field that names a repository's webhook where its URL does not tell that it is ours.
const HOOK_ID: &str = "hookId";

/// One line of the log.
#[derive(Debug, Deserialize)]
struct Line {
    id: u64,
    guid: String,
    delivered_at: Timestamp,
    #[serde(default)]
    redelivery: bool,
    /// Absent or 0 where there was no answer.
    status_code: Option<u16>,
    event: String,
}

#[async_trait::async_trait]
impl Recover for GithubActions {
    fn hook(&self, config: &Map<String, Value>) -> Result<Option<Hook>, CallError> {
        let Some(config) = GithubConfig::of_webhook(config, &self.hosts)? else { return Ok(None) };
        let scope = match &config.credential {
            Credential::App { id, .. } if id.contains("{{") => return Ok(None),
            Credential::App { id, .. } => format!("app {id}"),
            Credential::Token { .. } => config.scope(),
        };
        Ok(Some(Hook { platform: self.name.clone(), host: config.host, scope }))
    }

    fn kept_for(&self) -> Duration {
        KEPT_FOR
    }

    fn redeliveries_max(&self) -> usize {
        REDELIVERIES_MAX
    }

    async fn attempts(
        &self,
        at: &HookAt<'_>,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<AttemptsPage, CallError> {
        let config = self.of_webhook(at)?;
        let place = match page {
            Some(page) => Place::read(page)
                .ok_or_else(|| CallError::Invalid(format!("{page:?} is no page of a log of deliveries")))?,
            None => match &config.credential {
                Credential::App { .. } => Place { hooks: Vec::new(), cursor: None },
                Credential::Token { .. } => Place { hooks: self.our_hooks(&config, at).await?, cursor: None },
            },
        };
        let mut url = log_of(&config, place.hooks.first().copied());
        url.query_pairs_mut().append_pair("per_page", &PAGE_MAX.to_string());
        if let Some(cursor) = &place.cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let outcome = self.api.call_about_hooks(&config, url, Kind::Read).await?;
        if outcome.status != StatusCode::OK {
            return Err(self.log_refused(&config, &outcome));
        }
        let lines: Vec<Line> = parse(&outcome)?;
        let is_past = lines.last().is_none_or(|line| line.delivered_at < since);
        let cursor = next_cursor(&outcome.headers).filter(|_| !is_past);
        let hook = place.hooks.first().copied();
        let attempts = lines.into_iter().filter(|line| line.delivered_at >= since);
        Ok(AttemptsPage {
            attempts: attempts.map(|line| line.attempt(hook)).collect(),
            next: place.after(cursor).map(|place| place.write()),
        })
    }

    async fn redeliver(&self, at: &HookAt<'_>, attempt: &str) -> Result<Redelivered, CallError> {
        let config = self.of_webhook(at)?;
        let (hook, id) = match attempt.split_once('/') {
            Some((hook, id)) => (hook.parse().ok(), id),
            None => (None, attempt),
        };
        let mut url = log_of(&config, hook);
        url.path_segments_mut().expect("an http URL has a path").extend([id, "attempts"]);
        let outcome = self.api.call_about_hooks(&config, url, Kind::Write).await?;
        match outcome.status {
            status if status.is_success() => Ok(Redelivered::Asked),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Redelivered::NotKept)
            }
            _ => Err(self.log_refused(&config, &outcome)),
        }
    }
}

impl GithubActions {
    fn of_webhook(&self, at: &HookAt<'_>) -> Result<GithubConfig, CallError> {
        let config = GithubConfig::of_webhook(at.config, &self.hosts)?;
        config.ok_or_else(|| CallError::Invalid("the config names no repository".to_owned()))
    }

    /// The repository's webhooks that lead to the workspace's sources, or the one the config names. Others are nobody's
    /// business here.
    async fn our_hooks(&self, config: &GithubConfig, at: &HookAt<'_>) -> Result<Vec<u64>, CallError> {
        #[derive(Deserialize)]
        struct Listed {
            id: u64,
            config: Target,
        }
        #[derive(Deserialize)]
        struct Target {
            url: Option<String>,
        }
        if let Some(id) = at.config.get(HOOK_ID).and_then(Value::as_u64) {
            return Ok(vec![id]);
        }
        let mut url = config.repo_url(["hooks"]);
        url.query_pairs_mut().append_pair("per_page", &PAGE_MAX.to_string());
        let outcome = self.api.call_about_hooks(config, url, Kind::Read).await?;
        if outcome.status != StatusCode::OK {
            return Err(self.log_refused(config, &outcome));
        }
        let listed: Vec<Listed> = parse(&outcome)?;
        let ours = listed
            .into_iter()
            .filter(|hook| hook.config.url.as_deref().is_some_and(|url| leads_to_us(url, at.workspace)));
        let ours: Vec<u64> = ours.map(|hook| hook.id).collect();
        if ours.is_empty() {
            return Err(CallError::Invalid(format!(
                "{} has no webhook that leads to /webhooks/{}/…: create one, or name it in the agent's config by {HOOK_ID}",
                config.scope(),
                at.workspace
            )));
        }
        Ok(ours)
    }

    /// Why the log cannot be read, and what to do about it.
    fn log_refused(&self, config: &GithubConfig, outcome: &Outcome) -> CallError {
        let needs = match &config.credential {
            Credential::App { .. } => "the App must exist and have an active webhook",
            Credential::Token { .. } => {
                "the token needs the repository permission Webhooks: read and write (a classic one the scope admin:repo_hook)"
            }
        };
        match self.api.refused_read(outcome) {
            CallError::Unauthorized(why) | CallError::Invalid(why) => {
                CallError::Unauthorized(format!("{why}; {needs}"))
            }
            other @ (CallError::RateLimited { .. } | CallError::Ambiguous(_) | CallError::Transient(_)) => {
                other
            }
        }
    }
}

impl Line {
    fn attempt(self, hook: Option<u64>) -> Attempt {
        Attempt {
            id: match hook {
                Some(hook) => format!("{hook}/{}", self.id),
                None => self.id.to_string(),
            },
            delivery: self.guid,
            event: self.event,
            at: self.delivered_at,
            answer: Answer::of_status(self.status_code.unwrap_or(0)),
            is_repeat: self.redelivery,
        }
    }
}

/// The log of a repository's webhook, or of the App's.
fn log_of(config: &GithubConfig, hook: Option<u64>) -> Url {
    match hook {
        Some(hook) => config.repo_url(["hooks", &hook.to_string(), "deliveries"]),
        None => config.url(["app", "hook", "deliveries"]),
    }
}

/// Where a walk through the logs is: the webhooks still to be read, this one first, and the place in its log.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    hooks: Vec<u64>,
    cursor: Option<String>,
}

impl Place {
    fn after(mut self, cursor: Option<String>) -> Option<Self> {
        if cursor.is_none() {
            if self.hooks.len() < 2 {
                return None;
            }
            self.hooks.remove(0);
        }
        Some(Self { cursor, ..self })
    }

    fn write(&self) -> String {
        let hooks: Vec<String> = self.hooks.iter().map(u64::to_string).collect();
        format!("{} {}", hooks.join(","), self.cursor.as_deref().unwrap_or_default())
    }

    fn read(text: &str) -> Option<Self> {
        let (hooks, cursor) = text.split_once(' ')?;
        let hooks: Result<Vec<u64>, _> =
            hooks.split(',').filter(|hook| !hook.is_empty()).map(str::parse).collect();
        Some(Self { hooks: hooks.ok()?, cursor: Some(cursor.to_owned()).filter(|cursor| !cursor.is_empty()) })
    }
}

/// The `cursor` of the page that `Link` calls next.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let link = text(headers, LINK.as_str())?;
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split_once('<')?.1.split_once('>')?.0;
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::token::Slug;

    #[test]
    fn a_webhook_is_ours_by_its_path() {
        let acme: Slug = "acme".parse().unwrap();
        for (url, ours) in [
            ("https://ctrlplane.example/webhooks/acme/github", true),
            ("https://example.org/behind/a/proxy/webhooks/acme/github/", true),
            ("https://example.org/webhooks/globex/github", false),
            ("https://example.org/webhooks/acme", false),
            ("https://chat.example/services/acme/github", false),
            ("nonsense", false),
        ] {
            assert_eq!(leads_to_us(url, &acme), ours, "{url}");
        }
    }

    #[test]
    fn a_place_reads_back_and_ends_after_the_last_log() {
        for place in [
            Place { hooks: vec![], cursor: Some("v1_7".to_owned()) },
            Place { hooks: vec![1, 2], cursor: None },
            Place { hooks: vec![1], cursor: Some("v1 x".to_owned()) },
        ] {
            assert_eq!(Place::read(&place.write()), Some(place));
        }
        let two = || Place { hooks: vec![1, 2], cursor: None };
        let cursor = || Some("c".to_owned());
        assert_eq!(two().after(cursor()), Some(Place { hooks: vec![1, 2], cursor: cursor() }));
        let second = two().after(None).expect("another webhook");
        assert_eq!((second.hooks.as_slice(), &second.cursor), (&[2][..], &None));
        assert_eq!(second.after(None), None);
        assert_eq!(Place { hooks: vec![], cursor: None }.after(None), None);
    }

    #[test]
    fn the_next_page_is_in_the_link_header() {
        let link =
            "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_12077215967>; rel=\"next\"";
        let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
        assert_eq!(next_cursor(&headers).as_deref(), Some("v1_12077215967"));
        let headers = HeaderMap::from_iter([(LINK, link.replace("next", "prev").parse().unwrap())]);
        assert_eq!(next_cursor(&headers), None);
        assert_eq!(next_cursor(&HeaderMap::new()), None);
    }
}
