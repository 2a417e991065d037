//! One message of `STATUS`, read once for every client: who wants it, and what is sent.

use async_nats::HeaderMap;
use bytes::Bytes;
use domain::id::JobId;
use domain::job::JobStatus;
use domain::subject::MOVED_TO;
use domain::token::Slug;
use serde::Deserialize;
use serde_json::Value;

use crate::spelling::spelt;

/// The status of a job, ready to be sent.
#[derive(Debug)]
pub(super) struct News {
    /// In `STATUS`: the event's id.
    pub(super) sequence: u64,
    pub(super) job: JobId,
    /// The job's own order: the fact that made it so.
    pub(super) fact: u64,
    status: JobStatus,
    /// `<workspace>.<platform>.<deployment>.<environment>`
    place: String,
    /// The last word where the job stood before: the same news stands where it is now.
    is_farewell: bool,
    /// The whole event as it goes over the wire.
    pub(super) frame: Bytes,
}

/// What a client wants to hear.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) workspace: Slug,
    pub(crate) platform: Option<Slug>,
    pub(crate) deployment: Option<Slug>,
    pub(crate) environment: Option<Slug>,
    /// Only these statuses; empty: all.
    pub(crate) statuses: Vec<JobStatus>,
}

#[derive(Deserialize)]
struct View {
    id: JobId,
    sequence: u64,
    status: JobStatus,
}

impl News {
    /// `None`: it cannot be read, which the log says.
    pub(super) fn read(subject: &str, sequence: u64, headers: &HeaderMap, payload: &[u8]) -> Option<Self> {
        let read = Self::parse(subject, sequence, headers, payload);
        read.inspect_err(|why| tracing::warn!(sequence, why, "a status cannot be read")).ok()
    }

    fn parse(subject: &str, sequence: u64, headers: &HeaderMap, payload: &[u8]) -> Result<Self, String> {
        let told: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let view = View::deserialize(&told).map_err(|error| error.to_string())?;
        let place = subject.strip_prefix("ctrlplane.status.").and_then(|rest| rest.rsplit_once('.'));
        let (place, _job) = place.ok_or_else(|| format!("the subject {subject} is none of a status"))?;
        Ok(Self {
            sequence,
            job: view.id,
            fact: view.sequence,
            status: view.status,
            place: place.to_owned(),
            is_farewell: headers.get(MOVED_TO).is_some(),
            frame: Bytes::from(format!("event: job\nid: {sequence}\ndata: {}\n\n", spelt(told))),
        })
    }

    /// Whether it is a job's last word where it stood before.
    pub(super) fn is_farewell(&self) -> bool {
        self.is_farewell
    }
}

impl Wanted {
    /// The subjects.
    pub(super) fn subjects(&self) -> String {
        domain::subject::status_filter(
            &self.workspace,
            self.platform.as_ref(),
            self.deployment.as_ref(),
            self.environment.as_ref(),
        )
    }

    /// Whether this client is told. A farewell is for those who look at one platform only: the others hear the same
    /// news where the job stands now.
    pub(super) fn wants(&self, news: &News) -> bool {
        let mut tokens = news.place.split('.');
        let mut fits = |part: Option<&Slug>| {
            let token = tokens.next();
            part.is_none_or(|wanted| token == Some(wanted.as_str()))
        };
        fits(Some(&self.workspace))
            && fits(self.platform.as_ref())
            && fits(self.deployment.as_ref())
            && fits(self.environment.as_ref())
            && (!news.is_farewell || self.platform.is_some())
            && (self.statuses.is_empty() || self.statuses.contains(&news.status))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use domain::id::derive;

    /// The n-th job's news at that place, as of that fact.
    pub(crate) fn news(n: usize, place: &str, sequence: u64, fact: u64, moved: bool) -> News {
        let id = JobId(derive(&["job", &n.to_string()]));
        let mut headers = HeaderMap::new();
        if moved {
            headers.insert(MOVED_TO, "elsewhere");
        }
        let payload = format!("{{\"id\":\"{id}\",\"sequence\":{fact},\"status\":\"in_progress\"}}");
        News::read(&format!("ctrlplane.status.{place}.{id}"), sequence, &headers, payload.as_bytes()).unwrap()
    }

    fn wanted(parts: [&str; 4], statuses: &[JobStatus]) -> Wanted {
        let part = |text: &str| (text != "*").then(|| text.parse::<Slug>().unwrap());
        Wanted {
            workspace: parts[0].parse().unwrap(),
            platform: part(parts[1]),
            deployment: part(parts[2]),
            environment: part(parts[3]),
            statuses: statuses.to_vec(),
        }
    }

    #[test]
    fn a_client_is_told_what_its_filter_says() {
        for (parts, statuses, wants) in [
            (["acme", "*", "*", "*"], &[][..], true),
            (["acme", "github-app", "web", "staging"], &[JobStatus::InProgress], true),
            (["other", "*", "*", "*"], &[], false),
            (["acme", "none", "*", "*"], &[], false),
            (["acme", "*", "db", "*"], &[], false),
            (["acme", "*", "*", "production"], &[], false),
            (["acme", "*", "*", "*"], &[JobStatus::Failure], false),
        ] {
            let news = news(1, "acme.github-app.web.staging", 7, 3, false);
            assert_eq!(wanted(parts, statuses).wants(&news), wants, "{parts:?} {statuses:?}");
        }
        let left = news(1, "acme.none.web.staging", 8, 4, true);
        assert!(!wanted(["acme", "*", "web", "*"], &[]).wants(&left), "it stands elsewhere too");
        assert!(wanted(["acme", "none", "*", "*"], &[]).wants(&left), "who looks only here must know");
    }

    #[test]
    fn what_is_sent_is_one_event_of_one_line() {
        let id = derive(&["job", "1"]);
        let payload = format!("{{\"id\":\"{id}\",\n\"sequence\":3,\"status\":\"in_progress\"}}");
        let subject = format!("ctrlplane.status.acme.none.web.staging.{id}");
        let news = News::read(&subject, 7, &HeaderMap::new(), payload.as_bytes()).unwrap();
        let frame = std::str::from_utf8(&news.frame).unwrap();
        assert!(frame.starts_with("event: job\nid: 7\ndata: {") && frame.ends_with("}\n\n"), "{frame}");
        assert_eq!(frame.lines().count(), 4, "{frame}");
        assert!(frame.contains("\"status\":\"inProgress\""), "as the API spells it: {frame}");
        for (subject, payload) in [(subject.as_str(), "{}"), ("elsewhere", payload.as_str())] {
            assert!(News::read(subject, 7, &HeaderMap::new(), payload.as_bytes()).is_none());
        }
    }
}
