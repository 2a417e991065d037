//! `versionCooldown`: a target rests for a while after a deploy of another version.

use super::ruling::{Ruling, after, rfc};
use crate::Timestamp;
use crate::decision::{LastDeploy, RuleInputs};
use crate::entity::VersionCooldown;
use crate::id::VersionId;
use chrono::TimeDelta;

/// The last deploy to a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deploy<'a> {
    pub(super) version: VersionId,
    pub(super) tag: &'a str,
    /// When its job ended; `None`: it is on its way.
    pub(super) ended_at: Option<Timestamp>,
}

/// `on_its_way` and `last` are the job that is active on the target and the last that ended as a success or a failure.
pub(super) fn judge(
    rule: &VersionCooldown,
    version: VersionId,
    on_its_way: Option<Deploy<'_>>,
    last: Option<Deploy<'_>>,
    now: Timestamp,
) -> Ruling {
    let told = |deploy: Option<Deploy<'_>>, rested_at| RuleInputs::Cooldown {
        last: deploy.map(|d| LastDeploy { tag: d.tag.to_owned(), ended_at: d.ended_at }),
        rested_at,
    };
    if let Some(active) = on_its_way.filter(|active| active.version != version) {
        let reason = format!("{} is on its way; the target rests after it", active.tag);
        return Ruling::wait(reason, None).on(told(Some(active), None));
    }
    let Some((deploy, ended_at)) =
        last.filter(|last| last.version != version).and_then(|last| Some((last, last.ended_at?)))
    else {
        return Ruling::allow("no other version was deployed here last", None).on(told(last, None));
    };
    let rested_at = after(ended_at, TimeDelta::seconds(rule.interval_seconds.into()));
    let ruling = if now < rested_at {
        let reason = format!("the target rests until {} after {}", rfc(rested_at), deploy.tag);
        Ruling::wait(reason, Some(rested_at))
    } else {
        let reason = format!("the target has rested since {} after {}", rfc(rested_at), deploy.tag);
        Ruling::allow(reason, Some(rested_at))
    };
    ruling.on(told(Some(deploy), Some(rested_at)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::id::derive;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn deploy(tag: &str, ended: Option<i64>) -> Option<Deploy<'_>> {
        Some(Deploy { version: VersionId(derive(&[tag])), tag, ended_at: ended.map(at) })
    }

    #[test]
    fn it_rests_after_another_version_to_the_exact_second() {
        let rule = VersionCooldown { interval_seconds: 60 };
        let v2 = VersionId(derive(&["v2"]));
        let until = |second| Verdict::Wait { until: Some(at(second)) };
        for (active, last, now, verdict) in [
            (None, None, 10, Verdict::Allow),
            (None, deploy("v1", Some(5)), 64, until(65)),
            (None, deploy("v1", Some(5)), 65, Verdict::Allow),
            (None, deploy("v2", Some(5)), 6, Verdict::Allow),
            (deploy("v1", None), deploy("v0", Some(5)), 500, Verdict::Wait { until: None }),
            (deploy("v2", None), deploy("v1", Some(5)), 6, until(65)),
        ] {
            assert_eq!(judge(&rule, v2, active, last, at(now)).verdict, verdict, "{active:?} {last:?} {now}");
        }
    }
}
