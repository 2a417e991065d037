//! `rollback`: a version that failed on a target is held back there, and what ran before takes its place.

use super::history::{History, speaks_against};
use super::ruling::{Ruling, rfc};
use super::verification::Verified;
use super::view::{DeploymentView, Place};
use crate::Timestamp;
use crate::decision::{EndedBadly, HeldVersion, RuleInputs, TargetDecision, Verdict, VersionOnTarget};
use crate::entity::{Kind, Rollback};
use crate::id::{ReleaseId, VersionId};
use crate::job::JobStatus;

/// How many versions a decision remembers to hold back.
const HELD_MAX: usize = 16;

/// The versions that are held back on a target, the last first, and what is to be brought back.
#[derive(Debug, Default)]
pub(super) struct Holds {
    pub(super) held: Vec<HeldVersion>,
    /// The last version that ran here well, where it has yet to be brought back.
    pub(super) restore: Option<VersionOnTarget>,
    /// The last version that is held and after which nothing succeeded here yet.
    pub(super) open: Option<VersionId>,
}

impl Holds {
    pub(super) fn of(&self, version: VersionId) -> Option<&HeldVersion> {
        self.held.iter().find(|held| held.version == version)
    }
}

pub(super) fn judge(held: &HeldVersion) -> Ruling {
    let reason = format!("held back here since {}: {}", rfc(held.since), held.reason);
    Ruling::deny(reason).on(RuleInputs::Rollback { job: Some(held.job), held_at: Some(held.since) })
}

/// Of a version between one that is held and what runs; where the held one cannot be read, the version may be newer.
pub(super) fn judge_below(held: &HeldVersion, is_unreadable: bool) -> Ruling {
    let older = if is_unreadable { "perhaps older" } else { "older" };
    let cannot_be_read = if is_unreadable { " and cannot be read" } else { "" };
    let reason = format!(
        "{older} than {}, which is held back here since {}{cannot_be_read}: {}",
        held.tag,
        rfc(held.since),
        held.reason
    );
    Ruling::deny(reason).on(RuleInputs::Rollback { job: Some(held.job), held_at: Some(held.since) })
}

impl<'a> DeploymentView<'a> {
    /// What is held back on the target. A hold lasts until somebody redeploys or pins the version there, its variables
    /// change (that makes another release), or it is deleted. What cannot be told for a moment ends none.
    pub(super) fn holds(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        verified: Option<&Verified>,
        previous: Option<&TargetDecision>,
    ) -> Holds {
        let pinned = self.pin(&place.key).map(|pin| pin.spec.version);
        let wish = self.redeploy(&place.key);
        let lasts = |held: &HeldVersion| {
            let wished =
                wish.is_some_and(|wish| wish.spec.version == Some(held.version) && wish.spec.at > held.since);
            !wished
                && pinned != Some(held.version)
                && self.is_there(held.version)
                && !self.is_another_release(place, held.version, held.release)
        };
        let remembered = previous.into_iter().flat_map(|previous| &previous.held);
        let mut held: Vec<HeldVersion> = remembered.filter(|held| lasts(held)).cloned().collect();
        let failed = self.failed(place, history, verified).filter(|new| {
            let forgiven = wish.is_some_and(|wish| {
                wish.spec.version == Some(new.version) && wish.spec.at > history.ended_at(new.job)
            });
            pinned != Some(new.version) && !forgiven && held.iter().all(|known| known.job != new.job)
        });
        if let Some(new) = failed {
            held.retain(|known| known.version != new.version);
            held.insert(0, new);
            held.truncate(HELD_MAX);
        }
        let open = held.iter().find(|held| !history.succeeded_after(held.job)).map(|held| held.version);
        let restore = open.and_then(|_| self.restore(history, &held));
        Holds { held, restore, open }
    }

    fn restore(&self, history: &History<'a>, held: &[HeldVersion]) -> Option<VersionOnTarget> {
        let ran = history.current.iter().chain(&history.earlier);
        let mut good = ran.filter(|ran| {
            held.iter().all(|held| held.version != ran.version)
                && self.version(ran.version).is_some_and(|version| {
                    // What was changed since is not what ran here.
                    let is_the_same = match ran.content {
                        Some(content) => self.content_of(version) == content,
                        None => version.content_since() <= ran.since,
                    };
                    !super::decide::is_rejected(version) && is_the_same
                })
        });
        let good = good.next()?;
        // What somebody or something newer has set out to bring is not turned round.
        let on_its_way = history.active.as_ref().map(|active| active.on_target.version);
        on_its_way.is_none_or(|version| version == good.version).then(|| good.clone())
    }

    /// The version that failed just now, by its job or by a verification of what the job brought.
    fn failed(
        &self,
        place: &Place<'a>,
        history: &History<'a>,
        verified: Option<&Verified>,
    ) -> Option<HeldVersion> {
        if history.active.is_some() {
            return None;
        }
        let last = history.last_known()?;
        let (status, reason) = last.status();
        let hold = |reason: String| HeldVersion {
            version: last.job.version,
            tag: last.job.tag.clone(),
            release: last.job.release,
            job: last.job.id,
            reason,
            since: self.now,
        };
        // What would be another release now, with other variables, is not held, nor is what is deleted.
        if !self.is_there(last.job.version)
            || self.is_another_release(place, last.job.version, last.job.release)
        {
            return None;
        }
        if status == JobStatus::Successful {
            let failed = verified.and_then(Verified::failed)?;
            let wanted = self.rollback_rules(place).any(|rule| rule.on_verification_failure);
            return wanted
                .then(|| hold(format!("a verification of {} failed (job {})", last.job.tag, failed.job)));
        }
        let counts = |rule: &Rollback| rule.on_job_statuses.iter().any(|on| JobStatus::from(*on) == status);
        // What had succeeded here before is not held: going back further would not help.
        if !speaks_against(status, reason)
            || !self.rollback_rules(place).any(counts)
            || history.has_run(last.job.version)
        {
            return None;
        }
        let tried = history.tried(last.job.release)?;
        let used_up = self.retries(place, &tried).iter().any(|named| named.ruling.verdict == Verdict::Deny);
        let EndedBadly { failed, .. } = tried;
        used_up.then(|| hold(format!("{} ended as {status} {failed} times in a row", last.job.tag)))
    }

    /// Whether the version is in the catalog, be it unreadable.
    fn is_there(&self, version: VersionId) -> bool {
        self.version(version).is_some() || self.is_unreadable(version)
    }

    pub(super) fn is_unreadable(&self, version: VersionId) -> bool {
        self.is_broken(Kind::Version, version.0)
    }

    /// Whether the version surely makes another release on the target now.
    fn is_another_release(&self, place: &Place<'a>, version: VersionId, release: ReleaseId) -> bool {
        self.release_of(&place.key, version).is_ok_and(|now| now != release)
    }

    fn rollback_rules(&self, place: &Place<'a>) -> impl Iterator<Item = &'a Rollback> {
        place.rules().filter_map(|(_, _, rule)| rule.rollback())
    }
}

impl History<'_> {
    fn ended_at(&self, job: crate::id::JobId) -> Timestamp {
        self.last_known().filter(|last| last.job.id == job).map_or(Timestamp::MIN_UTC, |last| last.at)
    }
}
