//! GitLab's log of a project's webhook: what it told us in the last seven days, and telling it again.
//! Source: docs.gitlab.com "Project webhooks API" (events since 17.3, resending since 17.4, five a minute).

use super::api::parse;
use super::config::GitlabConfig;
use super::pipelines::GitlabCi;
use domain::Timestamp;
use domain::webhook::{Answer, Attempt, Hook};
use http::StatusCode;
use platform::budget::Kind;
use platform::http::Outcome;
use platform::{AttemptsPage, CallError, HookAt, Recover, Redelivered, leads_to_us};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long GitLab keeps a delivery to be sent again.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// At two looks a minute this stays below the five that GitLab allows.
const REDELIVERIES_MAX: usize = 2;
/// Each line holds the whole payload, so a page is short.
const LINES_PER_PAGE: usize = 20;
/// The field that names the project's webhook where its URL does not tell that it is ours.
const HOOK_ID: &str = "hookId";

/// One line of the log.
#[derive(Debug, Deserialize)]
struct Line {
    id: u64,
    created_at: Timestamp,
    request_headers: BTreeMap<String, Value>,
    /// A number as text, or `internal error` where there was no answer.
    response_status: Option<Value>,
}

#[async_trait::async_trait]
impl Recover for GitlabCi {
    fn hook(&self, config: &Map<String, Value>) -> Result<Option<Hook>, CallError> {
        let Some(config) = GitlabConfig::of_webhook(config, &self.hosts)? else { return Ok(None) };
        Ok(Some(Hook { platform: self.name.clone(), host: config.host, scope: config.project }))
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
        let Place { mut hooks, number, seen } = match page {
            Some(page) => Place::read(page)
                .ok_or_else(|| CallError::Invalid(format!("{page:?} is no page of a log of deliveries")))?,
            None => Place::first_of(self.our_hooks(&config, at).await?),
        };
        let Some(hook) = hooks.first().copied() else { return Ok(AttemptsPage::default()) };
        let mut url = config.project_url(["hooks", &hook.to_string(), "events"]);
        url.query_pairs_mut()
            .append_pair("per_page", &LINES_PER_PAGE.to_string())
            .append_pair("page", &number.to_string());
        let outcome = self.api.about_hooks(&config, url, Kind::Read).await?;
        if outcome.status != StatusCode::OK {
            return Err(self.log_refused(&outcome));
        }
        let lines: Vec<Line> = parse(&outcome)?;
        let is_last = lines.len() < LINES_PER_PAGE || lines.last().is_none_or(|line| line.created_at < since);
        let next = if is_last {
            hooks.remove(0);
            (!hooks.is_empty()).then(|| Place::first_of(hooks))
        } else {
            Some(Place { hooks, number: number + 1, seen: lines.iter().map(|line| line.id).collect() })
        };
        let lines = unseen(lines, &seen);
        Ok(AttemptsPage { attempts: attempts(hook, lines, since), next: next.map(|place| place.name()) })
    }

    async fn redeliver(&self, at: &HookAt<'_>, attempt: &str) -> Result<Redelivered, CallError> {
        let config = self.of_webhook(at)?;
        let Some((hook, id)) = attempt.split_once('/') else { return Ok(Redelivered::NotKept) };
        let url = config.project_url(["hooks", hook, "events", id, "resend"]);
        let outcome = self.api.about_hooks(&config, url, Kind::Write).await?;
        match outcome.status {
            status if status.is_success() => Ok(Redelivered::Asked),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Redelivered::NotKept),
            // What we answered to it again: the log tells.
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Redelivered::Asked),
            _ => Err(self.log_refused(&outcome)),
        }
    }
}

impl GitlabCi {
    fn of_webhook(&self, at: &HookAt<'_>) -> Result<GitlabConfig, CallError> {
        let config = GitlabConfig::of_webhook(at.config, &self.hosts)?;
        config.ok_or_else(|| CallError::Invalid("the config names no project".to_owned()))
    }

    /// The project's webhooks that lead to the workspace's sources, or the one the config names. Others are nobody's
    /// business here.
    async fn our_hooks(&self, config: &GitlabConfig, at: &HookAt<'_>) -> Result<Vec<u64>, CallError> {
        #[derive(Deserialize)]
        struct Listed {
            id: u64,
            url: Option<String>,
        }
        if let Some(id) = at.config.get(HOOK_ID).and_then(Value::as_u64) {
            return Ok(vec![id]);
        }
        let mut url = config.project_url(["hooks"]);
        url.query_pairs_mut().append_pair("per_page", "100");
        let outcome = self.api.about_hooks(config, url, Kind::Read).await?;
        if outcome.status != StatusCode::OK {
            return Err(self.log_refused(&outcome));
        }
        let listed: Vec<Listed> = parse(&outcome)?;
        let leads = |hook: &Listed| hook.url.as_deref().is_some_and(|url| leads_to_us(url, at.workspace));
        let ours: Vec<u64> = listed.into_iter().filter(leads).map(|hook| hook.id).collect();
        if ours.is_empty() {
            return Err(CallError::Invalid(format!(
                "{} has no webhook that leads to /webhooks/{}/…: create one, or name it in the agent's config by {HOOK_ID}",
                config.project, at.workspace
            )));
        }
        Ok(ours)
    }

    /// Why the log cannot be read, and what to do about it.
    fn log_refused(&self, outcome: &Outcome) -> CallError {
        match self.api.refused_read(outcome) {
            CallError::Unauthorized(why) | CallError::Invalid(why) => CallError::Unauthorized(format!(
                "{why}; to see webhooks the access token needs the role Maintainer, and the scope api to have them sent again"
            )),
            other @ (CallError::RateLimited { .. } | CallError::Ambiguous(_) | CallError::Transient(_)) => {
                other
            }
        }
    }
}

/// The attempts of a page, newest first. What stands under a key that an older line has was asked for again.
fn attempts(hook: u64, lines: Vec<Line>, since: Timestamp) -> Vec<Attempt> {
    let mut seen = BTreeSet::new();
    let mut attempts = Vec::new();
    for line in lines.into_iter().rev() {
        // Without a key nobody could tell what was delivered: GitLab before 17.4.
        let Some(delivery) = line.header("Idempotency-Key") else { continue };
        let is_repeat = !seen.insert(delivery.clone());
        if line.created_at >= since {
            attempts.push(Attempt {
                id: format!("{hook}/{}", line.id),
                delivery,
                event: line.header("X-Gitlab-Event").unwrap_or_default().replace(' ', "_"),
                at: line.created_at,
                answer: Answer::of_status(line.status()),
                is_repeat,
            });
        }
    }
    attempts.reverse();
    attempts
}

impl Line {
    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.request_headers.iter();
        let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.as_str().map(str::to_owned)
    }

    /// 0 where there was no answer.
    fn status(&self) -> u16 {
        match &self.response_status {
            Some(Value::String(text)) => text.parse().unwrap_or(0),
            Some(Value::Number(number)) => number.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => 0,
        }
    }
}

/// A page: the webhooks still to be read, this one first, its number in that one's log, and the lines of the page before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    hooks: Vec<u64>,
    number: usize,
    seen: BTreeSet<u64>,
}

impl Place {
    fn first_of(hooks: Vec<u64>) -> Self {
        Self { hooks, number: 1, seen: BTreeSet::new() }
    }

    fn name(&self) -> String {
        format!("{} {} {}", list(&self.hooks), self.number, list(&self.seen))
    }

    fn read(name: &str) -> Option<Self> {
        let mut parts = name.split(' ');
        let (hooks, number, seen) = (parts.next()?, parts.next()?, parts.next()?);
        let seen = ids(seen)?.into_iter().collect();
        Some(Self { hooks: ids(hooks)?, number: number.parse().ok()?, seen })
    }
}

fn list<'a>(ids: impl IntoIterator<Item = &'a u64>) -> String {
    ids.into_iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

fn ids(list: &str) -> Option<Vec<u64>> {
    list.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect()
}

/// What was not on the page before, nor before that one: new lines push older ones to later pages.
fn unseen(lines: Vec<Line>, seen: &BTreeSet<u64>) -> Vec<Line> {
    let newest = seen.last().copied().unwrap_or(u64::MAX);
    lines.into_iter().filter(|line| line.id <= newest && !seen.contains(&line.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(id: u64, second: u32, key: &str, status: Value) -> Line {
        serde_json::from_value(json!({
            "id": id,
            "created_at": format!("2026-11-23T12:00:{second:02}.000Z"),
            "request_headers": { "Idempotency-Key": key, "x-gitlab-event": "Pipeline Hook", "Other": 1 },
            "response_status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_line_is_an_attempt_and_what_has_an_older_one_was_asked_for() {
        let since: Timestamp = "2026-11-23T12:00:05Z".parse().unwrap();
        let lines = vec![
            line(9, 30, "a", json!("202")),
            line(8, 20, "b", json!("internal error")),
            line(7, 10, "a", json!(503)),
            line(6, 1, "old", json!("200")),
        ];
        let told: Vec<(String, String, bool, Answer)> = attempts(3, lines, since)
            .into_iter()
            .map(|a| (a.id, a.delivery, a.is_repeat, a.answer))
            .collect();
        let of = |id: &str, key: &str, is_repeat, status| {
            (id.to_owned(), key.to_owned(), is_repeat, Answer::of_status(status))
        };
        assert_eq!(told, [of("3/9", "a", true, 202), of("3/8", "b", false, 0), of("3/7", "a", false, 503)]);
    }

    #[test]
    fn the_event_is_the_token_the_agent_listens_to_and_a_line_without_key_is_none() {
        let since = Timestamp::UNIX_EPOCH;
        let read = attempts(3, vec![line(9, 30, "a", json!("202"))], since);
        assert!(bus::topology::GITLAB_EVENTS.contains(&read[0].event.as_str()), "{read:?}");
        let mut keyless = line(9, 30, "a", json!("202"));
        keyless.request_headers.remove("Idempotency-Key");
        assert_eq!(attempts(3, vec![keyless], since), []);
    }

    #[test]
    fn a_page_s_name_reads_back() {
        let place = Place { hooks: vec![1, 2], number: 7, seen: BTreeSet::from([30, 31]) };
        assert_eq!(Place::read(&place.name()), Some(place));
        let first = Place::first_of(vec![3]);
        assert_eq!(Place::read(&first.name()), Some(first));
        for nonsense in ["x 1 ", "1", "1 2", "1 2 x"] {
            assert_eq!(Place::read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn what_was_pushed_to_a_later_page_is_not_read_twice() {
        let lines = || [14, 13, 12, 10, 11, 9].map(|id| line(id, 30, &id.to_string(), json!("202"))).into();
        let ids = |seen: &[u64]| {
            let left: Vec<Line> = unseen(lines(), &seen.iter().copied().collect());
            left.into_iter().map(|line| line.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[]), [14, 13, 12, 10, 11, 9]);
        assert_eq!(ids(&[13, 12, 10]), [11, 9], "11 was late");
        assert_eq!(ids(&[8, 7]), [0_u64; 0]);
    }
}
