//! Telling a job's status on the `STATUS` stream, so that old news can never follow newer news on a subject.

use crate::folded::Place;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bus::topology::STATUS;
use bus::{Bus, BusError, HeaderMap, PublishError, crash_point};
use chrono::SecondsFormat;
use domain::job::JobView;
use domain::subject::{self, MOVED_TO};
use serde::Deserialize;

/// Several replicas may tell of one job at the same moment; each look lets one of them go first.
const TRIES: u32 = 8;

/// The last status on a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Which subject.
    pub(crate) place: Place,
    /// Its sequence in `STATUS`; 0: nothing is there.
    pub(crate) at: u64,
    /// The sequence in `JOBS` of the news it told.
    pub(crate) news: u64,
}

impl Told {
    /// Nothing is there.
    pub(crate) fn nothing(place: Place) -> Self {
        Self { place, at: 0, news: 0 }
    }
}

/// Tells the job's status where it stands, unless something as new is there. `known` is what we believe to be there.
pub(crate) async fn tell(
    bus: &Bus,
    view: &JobView,
    place: Place,
    known: Option<Told>,
) -> Result<Told, BusError> {
    let id = format!("s-{}", view.sequence);
    crash_point("status-syncer.status.before");
    let told = put(bus, view, place, known, &id, None).await?;
    crash_point("status-syncer.status.after");
    Ok(told)
}

/// Tells the job's status once more where it stood before, and where it stands now: who looks only there must not keep
/// an old word for the last one.
pub(crate) async fn farewell(bus: &Bus, view: &JobView, left: Place) -> Result<(), BusError> {
    let subject = subject_of(view, &left);
    let Some(last) = last(bus, &subject, &left).await? else { return Ok(()) };
    if last.moved {
        return Ok(());
    }
    let id =
        format!("s-{}-left-{}", view.sequence, left.as_ref().map_or("none", |platform| platform.as_str()));
    let moved_to = subject_of(view, &view.platform);
    crash_point("status-syncer.farewell.before");
    put(bus, view, left, Some(last.told), &id, Some(&moved_to)).await?;
    crash_point("status-syncer.farewell.after");
    Ok(())
}

async fn put(
    bus: &Bus,
    view: &JobView,
    place: Place,
    known: Option<Told>,
    id: &str,
    moved_to: Option<&str>,
) -> Result<Told, BusError> {
    let subject = subject_of(view, &place);
    let payload = serde_json::to_vec(view)
        .map_err(|error| BusError::Corrupt { what: subject.clone(), why: error.to_string() })?;
    let payload = bytes::Bytes::from(payload);
    let mut known = known.filter(|known| known.place == place);
    for _ in 0..TRIES {
        let told = match known {
            Some(told) => told,
            None => match last(bus, &subject, &place).await? {
                Some(last) => last.told,
                None => Told::nothing(place.clone()),
            },
        };
        if told.news >= view.sequence {
            metrics::counter!("syncer_statuses_total", "outcome" => "older").increment(1);
            return Ok(told);
        }
        let headers = headers(view, told.at, moved_to);
        match bus.publish(subject.clone(), headers, payload.clone(), Some(id)).await {
            Ok(published) => {
                metrics::counter!("syncer_statuses_total", "outcome" => "told").increment(1);
                return Ok(Told { place, at: published.sequence, news: view.sequence });
            }
            Err(PublishError::Conflict { .. }) => known = None,
            Err(
                error @ (PublishError::TooLarge { .. }
                | PublishError::Unconfirmed { .. }
                | PublishError::Refused { .. }),
            ) => return Err(error.into()),
        }
    }
    Err(BusError::Contended { what: subject })
}

fn subject_of(view: &JobView, place: &Place) -> String {
    subject::status(&view.workspace, place.as_ref(), &view.deployment, &view.environment, view.id)
}

/// CloudEvents in binary mode, so that anybody can route it.
fn headers(view: &JobView, after: u64, moved_to: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
    headers.insert("content-type", "application/json");
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-type", "dev.ctrlplane.job.status");
    headers.insert("ce-id", format!("{}/{}", view.id, view.sequence));
    headers.insert("ce-source", format!("/workspaces/{}", view.workspace));
    headers.insert("ce-subject", view.id.to_string());
    headers.insert("ce-time", view.updated_at.to_rfc3339_opts(SecondsFormat::Millis, true));
    if let Some(subject) = moved_to {
        headers.insert(MOVED_TO, subject);
    }
    headers
}

struct Last {
    told: Told,
    moved: bool,
}

#[derive(Deserialize)]
struct News {
    sequence: u64,
}

async fn last(bus: &Bus, subject: &str, place: &Place) -> Result<Option<Last>, BusError> {
    let Some(stored) = bus.last_of_subject(&STATUS, subject).await? else { return Ok(None) };
    // What cannot be read tells nothing, so whatever we tell is newer.
    let news = match serde_json::from_slice::<News>(&stored.payload) {
        Ok(News { sequence }) => sequence,
        Err(error) => {
            tracing::warn!(subject, at = stored.sequence, %error, "a status that cannot be read is replaced");
            0
        }
    };
    let told = Told { place: place.clone(), at: stored.sequence, news };
    Ok(Some(Last { told, moved: stored.headers.get(MOVED_TO).is_some() }))
}
