//! The facts of jobs: one subject per job, every append says which fact it follows. The state is the fold.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use bytes::Bytes;
use domain::id::JobId;
use domain::job::{Admission, JobEvent, JobFact, JobRef, JobState, Refusal, admit, evolve, settled};
use domain::subject;
use domain::token::Slug;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connect::Bus;
use crate::error::{BusError, PublishError};
use crate::topology::JOBS;
use crate::{clock, direct, publish};

/// How long a fact is tried to be appended among other writers.
const RECORD_WITHIN: Duration = Duration::from_secs(10);
/// Longer histories are no histories of one job.
const EVENTS_MAX: usize = 10_000;

/// The facts of jobs.
#[derive(Debug, Clone)]
pub struct JobLog {
    bus: Bus,
}

/// What is known of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The fold of its facts.
    pub state: JobState,
    /// The sequence of the last of them.
    pub sequence: u64,
}

/// What a fact builds on.
#[derive(Debug, Clone)]
pub enum Base {
    /// It is the first fact of the job.
    New,
    /// It is the first fact of the job; where there is one already, that stands, whatever it is.
    Only,
    /// It was born from the fact of this sequence: appended without looking, if that is still the last one.
    After(u64),
    /// It builds on this knowledge, which must admit it.
    Known(Box<Known>),
    /// Look first.
    Look,
}

/// What became of a fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// It was appended.
    Appended {
        /// Its sequence.
        sequence: u64,
    },
    /// The history says as much, or says something newer.
    AlreadySo(Box<Known>),
    /// The history does not admit it.
    Refused(Refusal, Option<Box<Known>>),
}

impl JobLog {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// What is known of the job.
    ///
    /// # Errors
    /// When the bus does not answer, or a fact cannot be read.
    pub async fn load(&self, workspace: &Slug, job: JobId) -> Result<Option<Known>, BusError> {
        let mut known: Option<Known> = None;
        for (sequence, event) in self.events(workspace, job).await? {
            let state = evolve(known.map(|known| known.state), &event);
            known = Some(Known { state, sequence });
        }
        Ok(known)
    }

    /// The facts of the job, oldest first, each with its sequence.
    ///
    /// # Errors
    /// As [`JobLog::load`].
    pub async fn events(&self, workspace: &Slug, job: JobId) -> Result<Vec<(u64, JobEvent)>, BusError> {
        self.events_after(workspace, job, 0).await
    }

    /// Those of them that came after that sequence.
    ///
    /// # Errors
    /// As [`JobLog::load`].
    pub async fn events_after(
        &self,
        workspace: &Slug,
        job: JobId,
        after: u64,
    ) -> Result<Vec<(u64, JobEvent)>, BusError> {
        let subject = subject::job(workspace, job);
        let mut events = Vec::new();
        let mut from = after + 1;
        while let Some(stored) = direct::next(&self.bus, JOBS.name, &subject, from).await? {
            if events.len() == EVENTS_MAX {
                return Err(BusError::Corrupt {
                    what: subject,
                    why: format!("more than {EVENTS_MAX} facts"),
                });
            }
            let event = serde_json::from_slice(&stored.payload).map_err(|error| BusError::Corrupt {
                what: format!("{subject} at {}", stored.sequence),
                why: error.to_string(),
            })?;
            events.push((stored.sequence, event));
            from = stored.sequence + 1;
        }
        Ok(events)
    }

    /// Appends the fact, if the history admits it. Two writers never append after the same fact; the one who
    /// comes second looks again and lets the history decide.
    ///
    /// # Errors
    /// When the bus does not answer; the fact may then be recorded, and recording it again is right.
    pub async fn record(
        &self,
        job: &JobRef,
        fact: JobFact,
        base: Base,
        cause: Option<String>,
    ) -> Result<Recorded, BusError> {
        let subject = subject::job(&job.workspace, job.id);
        let event = JobEvent {
            job: job.clone(),
            at: clock::now(),
            cause,
            traceparent: telemetry::current_traceparent(),
            fact,
        };
        let must_be_first = matches!(base, Base::Only);
        let mut look = match base {
            Base::New | Base::Only => judge(None, &event.fact),
            Base::After(sequence) => Verdict::AppendAfter(sequence, Box::new(event.fact.clone())),
            Base::Known(known) => judge(Some(*known), &event.fact),
            Base::Look => judge(self.load(&job.workspace, job.id).await?, &event.fact),
        };
        let give_up = Instant::now() + RECORD_WITHIN;
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(100));
        loop {
            let (base, fact) = match look {
                Verdict::AppendAfter(sequence, fact) => (sequence, fact),
                Verdict::Settled(settled) => return Ok(settled),
            };
            let payload: Bytes = serde_json::to_vec(&JobEvent { fact: *fact, ..event.clone() })
                .map_err(|error| BusError::Corrupt { what: subject.clone(), why: error.to_string() })?
                .into();
            match self.append(&subject, &payload, base, give_up).await? {
                Some(sequence) => return Ok(Recorded::Appended { sequence }),
                None if Instant::now() >= give_up => return Err(BusError::Contended { what: subject }),
                None => {
                    tracing::debug!(subject, after = base, "somebody else was first: looking again");
                    metrics::counter!("bus_append_conflicts_total").increment(1);
                    tokio::time::sleep(backoff.next_delay()).await;
                    look = match self.load(&job.workspace, job.id).await? {
                        Some(known) if must_be_first => return Ok(Recorded::AlreadySo(Box::new(known))),
                        known => judge(known, &event.fact),
                    };
                }
            }
        }
    }

    /// Appends after `base`; `None` if that is not the last fact. A lost answer is resolved by looking: an event that
    /// is ours to the byte at the place after `base` is our append.
    async fn append(
        &self,
        subject: &str,
        payload: &Bytes,
        base: u64,
        give_up: Instant,
    ) -> Result<Option<u64>, BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, base.to_string());
        publish::inject_trace(&mut headers);
        let mut in_doubt = false;
        let mut backoff = Backoff::of_server();
        loop {
            match self.bus.publish_once(subject, headers.clone(), payload.clone(), give_up).await {
                Ok(published) => return Ok(Some(published.sequence)),
                Err(PublishError::Conflict { .. }) if in_doubt => {
                    return self.ours(subject, payload, base).await;
                }
                Err(PublishError::Conflict { .. }) => return Ok(None),
                Err(PublishError::Unconfirmed { subject, why }) => {
                    if Instant::now() >= give_up {
                        return Err(BusError::unavailable(format!("append to {subject}"), why));
                    }
                    in_doubt = true;
                    tokio::time::sleep(backoff.next_delay()).await;
                    if let Some(sequence) = self.ours(&subject, payload, base).await? {
                        return Ok(Some(sequence));
                    }
                    // Not there: not stored, or not yet. Appending again cannot store it twice, because both
                    // expect the same predecessor.
                }
                Err(error @ (PublishError::TooLarge { .. } | PublishError::Refused { .. })) => {
                    return Err(error.into());
                }
            }
        }
    }

    async fn ours(&self, subject: &str, payload: &Bytes, base: u64) -> Result<Option<u64>, BusError> {
        let next = direct::next(&self.bus, JOBS.name, subject, base + 1).await?;
        Ok(next.filter(|stored| stored.payload == *payload).map(|stored| stored.sequence))
    }
}

enum Verdict {
    /// After this sequence; the fact as it reads on top of the history.
    AppendAfter(u64, Box<JobFact>),
    Settled(Recorded),
}

fn judge(known: Option<Known>, fact: &JobFact) -> Verdict {
    match admit(known.as_ref().map(|known| &known.state), fact) {
        Admission::Append => match known {
            Some(known) => {
                Verdict::AppendAfter(known.sequence, Box::new(settled(&known.state, fact.clone())))
            }
            None => Verdict::AppendAfter(0, Box::new(fact.clone())),
        },
        Admission::AlreadySo => match known {
            Some(known) => Verdict::Settled(Recorded::AlreadySo(Box::new(known))),
            None => Verdict::Settled(Recorded::Refused(Refusal::NoSuchJob, None)),
        },
        Admission::Refused(refusal) => Verdict::Settled(Recorded::Refused(refusal, known.map(Box::new))),
    }
}
