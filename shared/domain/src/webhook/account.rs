//! The account of a webhook: which deliveries were sent, which of them we have, which are missing, and which of the missing
//! are to be asked for now. The value in the bucket `webhooks`.

use super::{Answer, Attempt, Hook};
use crate::Timestamp;
use crate::id::JobAgentId;
use crate::token::Slug;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Deliveries show up in a platform's log a little late and out of order: what was made this long before the newest that is
/// known is read again.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// After so many refusals a delivery is not asked for again: it would be refused for ever.
const REFUSALS_MAX: u32 = 3;
/// How many missing deliveries are kept by name; the value must fit into a message.
const MISSING_MAX: usize = 2_000;
/// How many attempts of the overlap are remembered, so that none counts twice.
const RECENT_MAX: usize = 3_000;
/// The pause after asking for a delivery for the first time, doubled each time.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(30);
/// The longest of these pauses.
const ASK_AGAIN_MAX: TimeDelta = TimeDelta::hours(1);

/// What is known of the deliveries of one webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Which webhook.
    pub hook: Hook,
    /// Whose jobs it tells of.
    pub users: Vec<HookUser>,
    /// When counting began.
    pub since: Timestamp,
    /// The totals since then.
    pub counts: Counts,
    /// Deliveries we do not have, by delivery id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, Missing>,
    /// When the newest attempt that is known was made, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(Timestamp, Answer)>,
    /// When an event that the agent reads was last accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// When the platform was last asked with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// When it is to be asked next. Whoever moves this by compare-and-set is the one who asks.
    pub next_look_at: Timestamp,
    /// Why the platform's log cannot be read, since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What could not be read yet of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
    /// Attempts of the overlap that were counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recent: BTreeMap<String, Timestamp>,
}

/// An agent of the catalog whose platform tells of its runs through the webhook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookUser {
    /// The tenant.
    pub workspace: Slug,
    /// The agent.
    pub agent: JobAgentId,
    /// Its name.
    pub name: String,
}

/// Totals. `sent = accepted + lost + missing that are still asked for`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Events the platform sent, each once however often it was tried.
    pub sent: u64,
    /// Of these, those we have.
    pub accepted: u64,
    /// Of the accepted, those that came only after they were asked for again.
    pub recovered: u64,
    /// How often the platform was asked to send one again.
    pub redelivered: u64,
    /// Those that are not asked for any more: refused too often, or no longer kept by the platform.
    pub lost: u64,
}

/// A delivery we do not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    /// The platform's name of its last attempt.
    pub attempt: String,
    /// The event.
    pub event: String,
    /// When it was first sent.
    pub at: Timestamp,
    /// What came of the last attempt.
    pub answer: Answer,
    /// How often it was refused.
    pub refused: u32,
    /// How often it was asked for.
    pub asked: u32,
    /// Not asked for before.
    pub ask_after: Timestamp,
    /// Why it is not asked for any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
}

/// Why a delivery is not asked for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GivenUp {
    /// We refused it again and again.
    Refused,
    /// The platform does not send it again.
    NotKept,
}

/// Why a platform's log of deliveries cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// What a person has to do with it.
    pub kind: TroubleKind,
    /// In words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// An older part of a platform's log that one look did not come to: nothing in it is counted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// How far back it goes.
    pub since: Timestamp,
    /// The platform's name of the page it begins with.
    pub page: String,
}

/// What a person has to do with a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TroubleKind {
    /// Mend it: credentials, permissions or the webhook itself do not fit.
    Refused,
    /// Wait: the platform or the network is away, or limits us.
    Passing,
}

impl Account {
    /// Nothing is known yet; deliveries made from `since` on count.
    pub fn begin(hook: Hook, users: Vec<HookUser>, since: Timestamp, now: Timestamp) -> Self {
        Self {
            hook,
            users,
            since,
            counts: Counts::default(),
            missing: BTreeMap::new(),
            last: None,
            heard_at: None,
            looked_at: None,
            next_look_at: now,
            trouble: None,
            unread: None,
            recent: BTreeMap::new(),
        }
    }

    /// From when on the platform's log is to be read: a little before what is known, never before what it keeps.
    pub fn read_from(&self, now: Timestamp, kept_for: TimeDelta) -> Timestamp {
        let known = self.last.map_or(self.since, |(at, _)| (at - OVERLAP).max(self.since));
        known.max(now - kept_for)
    }

    /// Counts what the log said, in any order; attempts that were counted before do not count again. `reads` says whether
    /// the agent reads an event.
    pub fn take_in(&mut self, mut attempts: Vec<Attempt>, reads: impl Fn(&str) -> bool) {
        attempts.retain(|attempt| attempt.at >= self.since && !self.recent.contains_key(&attempt.id));
        attempts.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        let mut counted = BTreeSet::new();
        for attempt in attempts {
            if counted.insert(attempt.id.clone()) {
                self.count(&attempt);
                if attempt.answer.is_accepted() && reads(&attempt.event) {
                    self.heard_at = self.heard_at.max(Some(attempt.at));
                }
                if self.last.is_none_or(|(at, _)| attempt.at >= at) {
                    self.last = Some((attempt.at, attempt.answer));
                }
                self.recent.insert(attempt.id, attempt.at);
            }
        }
        let oldest = self.last.map_or(self.since, |(at, _)| at - OVERLAP);
        self.recent.retain(|_, at| *at >= oldest);
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_first();
        }
    }

    fn count(&mut self, attempt: &Attempt) {
        if let Some(missing) = self.missing.get_mut(&attempt.delivery) {
            if attempt.answer.is_accepted() {
                let was_lost = missing.given_up.is_some();
                self.missing.remove(&attempt.delivery);
                self.counts.accepted += 1;
                self.counts.recovered += 1;
                self.counts.lost -= u64::from(was_lost);
                return;
            }
            attempt.id.clone_into(&mut missing.attempt);
            missing.answer = attempt.answer;
            missing.refused += u32::from(is_refusal(attempt.answer));
            if missing.refused >= REFUSALS_MAX && missing.given_up.is_none() {
                missing.given_up = Some(GivenUp::Refused);
                self.counts.lost += 1;
            }
            return;
        }
        if attempt.is_repeat {
            // Somebody asked for one that we have, or that was sent before we counted.
            return;
        }
        self.counts.sent += 1;
        if attempt.answer.is_accepted() {
            self.counts.accepted += 1;
        } else if self.missing.len() >= MISSING_MAX {
            self.counts.lost += 1;
        } else {
            let missing = Missing {
                attempt: attempt.id.clone(),
                event: attempt.event.clone(),
                at: attempt.at,
                answer: attempt.answer,
                refused: u32::from(is_refusal(attempt.answer)),
                asked: 0,
                ask_after: attempt.at,
                given_up: None,
            };
            self.missing.insert(attempt.delivery.clone(), missing);
        }
    }

    /// Lets go of what the platform does not keep any more.
    pub fn forget_before(&mut self, oldest: Timestamp) {
        let lost = &mut self.counts.lost;
        self.missing.retain(|_, missing| {
            if missing.at >= oldest {
                return true;
            }
            *lost += u64::from(missing.given_up.is_none());
            false
        });
    }

    /// The deliveries to ask for now, oldest first, at most that many: delivery id and attempt. While nobody answers, one
    /// is enough to find out whether somebody does again.
    pub fn to_ask_for(&self, now: Timestamp, count_max: usize) -> Vec<(String, String)> {
        let nobody_answers = self.nobody_answers();
        let mut open: Vec<(&String, &Missing)> = self
            .missing
            .iter()
            .filter(|(_, missing)| missing.given_up.is_none())
            .filter(|(_, missing)| nobody_answers || missing.ask_after <= now)
            .collect();
        open.sort_by_key(|(_, missing)| missing.at);
        let count = if nobody_answers { count_max.min(1) } else { count_max };
        open.into_iter()
            .take(count)
            .map(|(delivery, missing)| (delivery.clone(), missing.attempt.clone()))
            .collect()
    }

    /// The platform was asked to send it again.
    pub fn asked_for(&mut self, delivery: &str, now: Timestamp) {
        self.counts.redelivered += 1;
        let nobody_answers = self.nobody_answers();
        let Some(missing) = self.missing.get_mut(delivery) else { return };
        missing.asked += 1;
        if !nobody_answers {
            let pause = ASK_AGAIN * 2_i32.pow(missing.asked.saturating_sub(1).min(8));
            missing.ask_after = now + pause.min(ASK_AGAIN_MAX);
        }
    }

    /// The platform does not send it again.
    pub fn not_kept(&mut self, delivery: &str) {
        if let Some(missing) = self.missing.get_mut(delivery)
            && missing.given_up.is_none()
        {
            missing.given_up = Some(GivenUp::NotKept);
            self.counts.lost += 1;
        }
    }

    /// How many deliveries are missing and still asked for.
    pub fn open(&self) -> usize {
        self.missing.values().filter(|missing| missing.given_up.is_none()).count()
    }

    /// The status with which deliveries were refused for good, and how many, of those the platform still keeps.
    pub fn refused(&self) -> Option<(u16, usize)> {
        let statuses = self.missing.values().filter(|missing| missing.given_up == Some(GivenUp::Refused));
        let statuses: Vec<u16> = statuses.filter_map(|missing| status_of(missing.answer)).collect();
        statuses.first().map(|status| (*status, statuses.len()))
    }

    fn nobody_answers(&self) -> bool {
        match self.last {
            Some((_, Answer::Unanswered { .. })) => true,
            Some((_, Answer::Accepted | Answer::Refused { .. })) | None => false,
        }
    }
}

fn is_refusal(answer: Answer) -> bool {
    match answer {
        Answer::Refused { .. } => true,
        Answer::Accepted | Answer::Unanswered { .. } => false,
    }
}

fn status_of(answer: Answer) -> Option<u16> {
    match answer {
        Answer::Refused { status } => Some(status),
        Answer::Unanswered { status } => status,
        Answer::Accepted => None,
    }
}
