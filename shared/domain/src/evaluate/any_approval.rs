//! `anyApproval`: so many distinct people must say yes to a version in an environment; one no is a veto.

use super::ruling::{Ruling, after, rfc};
use crate::Timestamp;
use crate::decision::{RuleInputs, Word};
use crate::entity::{AnyApproval, Approval, ApprovalStatus};
use chrono::TimeDelta;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What the rule must know of the version and of people's words on it in the environment.
pub(super) struct Question<'a> {
    /// When the rule came to be: an older version is grandfathered.
    pub(super) ruled_since: Timestamp,
    /// Since when the version is what it is: what was said before was said of something else.
    pub(super) content_since: Timestamp,
    /// Its content as it is now.
    pub(super) content: Uuid,
    /// Who made the version, if known.
    pub(super) created_by: Option<&'a str>,
    /// Who changed what it is.
    pub(super) edited_by: &'a BTreeSet<String>,
    /// The environment's name, for people.
    pub(super) environment: &'a str,
    /// Every word on the version in the environment.
    pub(super) words: Vec<&'a Approval>,
    pub(super) now: Timestamp,
}

/// `is_approver` says whether a person's word counts under the rule's `approvers`.
/// A no from anybody whose word counts is a veto, also from the version's maker, whose yes may not count, and also where
/// the version was changed since: a no is always the safe side. It is asked before grandfathering, because it was meant
/// for this version.
pub(super) fn judge(
    rule: &AnyApproval,
    question: &Question<'_>,
    is_approver: impl Fn(&Approval) -> Result<bool, String>,
) -> Ruling {
    let mut vetoes = BTreeMap::new();
    let mut yeses: Vec<(Timestamp, &str)> = Vec::new();
    for word in &question.words {
        match is_approver(word) {
            Err(error) => return Ruling::error(format!("`approvers` cannot be evaluated: {error}")),
            Ok(false) => continue,
            Ok(true) => {}
        }
        match word.status {
            ApprovalStatus::Rejected => {
                vetoes.insert(word.user.as_str(), word.reason.as_deref());
            }
            ApprovalStatus::Approved if counts(rule, question, word) => yeses.push((word.at, &word.user)),
            ApprovalStatus::Approved => {}
        }
    }
    let inputs = RuleInputs::Approvals {
        needed: rule.min_approvals.max(1),
        approved: {
            yeses.sort_unstable();
            yeses.iter().map(|(at, user)| Word { user: (*user).to_owned(), at: *at }).collect()
        },
        rejected: vetoes.keys().map(|user| (*user).to_owned()).collect(),
    };
    answer(rule, question, &vetoes, &yeses).on(inputs)
}

fn answer(
    rule: &AnyApproval,
    question: &Question<'_>,
    vetoes: &BTreeMap<&str, Option<&str>>,
    yeses: &[(Timestamp, &str)],
) -> Ruling {
    if let Some((user, reason)) = vetoes.first_key_value() {
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        return Ruling::deny(format!("{user} rejected it in {}{why}", question.environment));
    }
    // What was changed after the rule came to be is not older than the rule.
    if question.content_since < question.ruled_since {
        let reason =
            format!("grandfathered: the version is older than the rule ({})", rfc(question.ruled_since));
        return Ruling::allow(reason, Some(question.content_since));
    }
    count(rule, question, yeses)
}

fn counts(rule: &AnyApproval, question: &Question<'_>, word: &Approval) -> bool {
    (rule.allow_self_approval || is_anothers(question, &word.user))
        && is_about_it(question, word)
        && expiry(rule, word.at).is_none_or(|expiry| question.now < expiry)
}

/// Whether the version is surely not the person's own.
fn is_anothers(question: &Question<'_>, user: &str) -> bool {
    question.created_by.is_some_and(|maker| maker != user) && !question.edited_by.contains(user)
}

/// Whether it was said of the version as it is.
fn is_about_it(question: &Question<'_>, word: &Approval) -> bool {
    word.is_of(question.content, question.content_since)
}

fn expiry(rule: &AnyApproval, at: Timestamp) -> Option<Timestamp> {
    rule.expires_after_seconds.map(|seconds| after(at, TimeDelta::seconds(seconds.into())))
}

/// `yeses` are in the order of their instants.
fn count(rule: &AnyApproval, question: &Question<'_>, yeses: &[(Timestamp, &str)]) -> Ruling {
    let wanted = usize::try_from(rule.min_approvals.max(1)).unwrap_or(usize::MAX);
    let people: Vec<&str> = yeses.iter().map(|(_, user)| *user).collect();
    let by = if people.is_empty() { String::new() } else { format!(" ({})", people.join(", ")) };
    let mut reason = format!("{} of {wanted} approvals in {}{by}", people.len(), question.environment);
    if !rule.allow_self_approval && question.created_by.is_none() {
        reason.push_str("; who made the version is not known, so that nobody's yes is surely another's");
        return Ruling::deny(reason);
    }
    let before = |word: &&&Approval| word.status == ApprovalStatus::Approved && !is_about_it(question, word);
    let before = question.words.iter().filter(before).count();
    if before > 0 {
        let changed = rfc(question.content_since);
        reason.push_str(&format!("; {before} were said before the version was changed ({changed})"));
    }
    match yeses.get(wanted - 1) {
        Some((nth, _)) => {
            // One yes too few is left when all but `wanted - 1` of them have expired.
            let ends = yeses.get(yeses.len() - wanted).and_then(|(at, _)| expiry(rule, *at));
            Ruling::allow(reason, Some(*nth)).ending(ends)
        }
        None => Ruling::wait(reason, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::id::{EnvironmentId, VersionId, derive};

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// `ann+10` says yes at second 10, `bob-20` says no at second 20.
    fn words(text: &str) -> Vec<Approval> {
        text.split_whitespace()
            .map(|word| {
                let split = word.find(['+', '-']).unwrap();
                let status = match &word[split..=split] {
                    "+" => ApprovalStatus::Approved,
                    _ => ApprovalStatus::Rejected,
                };
                Approval {
                    version: VersionId(derive(&["v"])),
                    environment: EnvironmentId(derive(&["e"])),
                    user: word[..split].to_owned(),
                    status,
                    reason: None,
                    role: None,
                    at: at(word[split + 1..].parse().unwrap()),
                    of_content: None,
                }
            })
            .collect()
    }

    const NOW: Uuid = Uuid::from_u128(2);

    #[test]
    fn whether_it_was_said_of_what_the_version_is_now_is_no_question_of_clocks() {
        for (of_content, second, counts) in [
            (Some(NOW), 5, true),
            (Some(NOW), 15, true),
            (Some(Uuid::from_u128(1)), 5, false),
            (Some(Uuid::from_u128(1)), 15, false),
            (None, 5, false),
            (None, 15, true),
        ] {
            let mut words = words(&format!("ann+{second}"));
            words[0].of_content = of_content;
            let question = Question {
                ruled_since: at(0),
                content_since: at(10),
                content: NOW,
                created_by: Some("maker"),
                edited_by: &["editor".to_owned()].into(),
                environment: "prod",
                words: words.iter().collect(),
                now: at(20),
            };
            let one = AnyApproval { min_approvals: 1, ..TWO };
            let ruling = judge(&one, &question, |_| Ok(true));
            assert_eq!(ruling.verdict.allows(), counts, "{of_content:?} at {second}");
        }
    }

    const TWO: AnyApproval = AnyApproval {
        min_approvals: 2,
        approvers: None,
        allow_self_approval: true,
        expires_after_seconds: None,
    };

    fn ask(rule: &AnyApproval, said: &str, version_since: i64, now: i64) -> Ruling {
        ask_of(rule, said, (version_since, version_since), Some("maker"), now)
    }

    /// The version came to be and was last changed (by `editor`) at these seconds.
    fn ask_of(
        rule: &AnyApproval,
        said: &str,
        (version_since, content_since): (i64, i64),
        created_by: Option<&str>,
        now: i64,
    ) -> Ruling {
        let words = words(said);
        let edited = content_since > version_since;
        let question = Question {
            ruled_since: at(0),
            content_since: at(content_since),
            content: NOW,
            created_by,
            edited_by: &edited.then(|| "editor".to_owned()).into_iter().collect(),
            environment: "prod",
            words: words.iter().collect(),
            now: at(now),
        };
        judge(rule, &question, |word| match word.user.as_str() {
            "broken" => Err("no such overload".to_owned()),
            user => Ok(user != "stranger"),
        })
    }

    #[track_caller]
    fn check(
        ruling: &Ruling,
        verdict: Verdict,
        reason: &str,
        satisfied_at: Option<i64>,
        ends_at: Option<i64>,
    ) {
        assert_eq!((&ruling.verdict, ruling.reason.as_str()), (&verdict, reason));
        assert_eq!((ruling.satisfied_at, ruling.ends_at), (satisfied_at.map(at), ends_at.map(at)));
    }

    #[test]
    fn as_many_people_as_wanted_must_say_yes() {
        let wait = Verdict::Wait { until: None };
        check(&ask(&TWO, "", 5, 50), wait.clone(), "0 of 2 approvals in prod", None, None);
        check(&ask(&TWO, "ann+10", 5, 50), wait.clone(), "1 of 2 approvals in prod (ann)", None, None);
        check(&ask(&TWO, "ann+10 stranger+11", 5, 50), wait, "1 of 2 approvals in prod (ann)", None, None);
        let reason = "2 of 2 approvals in prod (bob, ann)";
        check(&ask(&TWO, "ann+30 bob+10", 5, 50), Verdict::Allow, reason, Some(30), None);
        let reason = "3 of 2 approvals in prod (ann, bob, cid)";
        check(&ask(&TWO, "cid+40 ann+10 bob+20", 5, 50), Verdict::Allow, reason, Some(20), None);
    }

    #[test]
    fn the_makers_own_yes_counts_only_where_it_may() {
        check(
            &ask(&TWO, "ann+10 maker+11", 5, 50),
            Verdict::Allow,
            "2 of 2 approvals in prod (ann, maker)",
            Some(11),
            None,
        );
        let strict = AnyApproval { allow_self_approval: false, ..TWO };
        let wait = Verdict::Wait { until: None };
        check(&ask(&strict, "ann+10 maker+11", 5, 50), wait, "1 of 2 approvals in prod (ann)", None, None);
        check(&ask(&strict, "maker-11", 5, 50), Verdict::Deny, "maker rejected it in prod", None, None);
    }

    #[test]
    fn nobodys_yes_is_surely_anothers_where_the_maker_is_not_known() {
        let strict = AnyApproval { allow_self_approval: false, ..TWO };
        let reason = "0 of 2 approvals in prod; who made the version is not known, so that nobody's yes is surely another's";
        check(&ask_of(&strict, "ann+10 bob+11", (5, 5), None, 50), Verdict::Deny, reason, None, None);
        let reason = "2 of 2 approvals in prod (ann, bob)";
        check(&ask_of(&TWO, "ann+10 bob+11", (5, 5), None, 50), Verdict::Allow, reason, Some(11), None);
        let reason = "grandfathered: the version is older than the rule (1970-01-01T00:00:00Z)";
        check(&ask_of(&strict, "", (-5, -5), None, 50), Verdict::Allow, reason, Some(-5), None);
    }

    #[test]
    fn what_was_said_before_the_version_was_changed_counts_no_more_but_a_no() {
        let wait = Verdict::Wait { until: None };
        let reason = "1 of 2 approvals in prod (bob); 1 were said before the version was changed (1970-01-01T00:00:12Z)";
        check(&ask_of(&TWO, "ann+11 bob+12", (5, 12), Some("maker"), 50), wait.clone(), reason, None, None);
        let reason = "ann rejected it in prod";
        check(&ask_of(&TWO, "ann-11", (5, 12), Some("maker"), 50), Verdict::Deny, reason, None, None);
        // Who changed it is one of its makers.
        let strict = AnyApproval { allow_self_approval: false, ..TWO };
        let reason = "1 of 2 approvals in prod (ann)";
        check(
            &ask_of(&strict, "ann+13 editor+14", (5, 12), Some("maker"), 50),
            wait.clone(),
            reason,
            None,
            None,
        );
        // What was older than the rule is not when it was changed after it.
        let reason = "0 of 2 approvals in prod";
        check(&ask_of(&TWO, "", (-5, 1), Some("maker"), 50), wait, reason, None, None);
    }

    #[test]
    fn one_no_of_an_approver_is_a_veto_also_for_a_grandfathered_version() {
        for since in [5, -5] {
            let ruling = ask(&TWO, "ann+10 bob+11 cid-12", since, 50);
            check(&ruling, Verdict::Deny, "cid rejected it in prod", None, None);
        }
        let reason = "2 of 2 approvals in prod (ann, bob)";
        check(&ask(&TWO, "ann+10 bob+11 stranger-12", 5, 50), Verdict::Allow, reason, Some(11), None);
    }

    #[test]
    fn a_version_older_than_the_rule_is_grandfathered() {
        let reason = "grandfathered: the version is older than the rule (1970-01-01T00:00:00Z)";
        check(&ask(&TWO, "", -5, 50), Verdict::Allow, reason, Some(-5), None);
        assert!(!ask(&TWO, "", 0, 50).verdict.allows(), "as old as the rule is not older");
    }

    #[test]
    fn a_yes_expires_at_the_exact_instant() {
        let rule = AnyApproval { expires_after_seconds: Some(20), ..TWO };
        let reason = "2 of 2 approvals in prod (ann, bob)";
        check(&ask(&rule, "ann+10 bob+15", 5, 29), Verdict::Allow, reason, Some(15), Some(30));
        let wait = Verdict::Wait { until: None };
        check(&ask(&rule, "ann+10 bob+15", 5, 30), wait, "1 of 2 approvals in prod (bob)", None, None);
        let reason = "3 of 2 approvals in prod (ann, bob, cid)";
        check(&ask(&rule, "ann+10 bob+15 cid+20", 5, 29), Verdict::Allow, reason, Some(15), Some(35));
        check(&ask(&rule, "ann-1", 5, 1000), Verdict::Deny, "ann rejected it in prod", None, None);
    }

    #[test]
    fn an_error_in_the_selector_of_approvers_is_a_no() {
        let reason = "`approvers` cannot be evaluated: no such overload";
        check(&ask(&TWO, "ann+10 bob+11 broken+12", 5, 50), Verdict::Deny, reason, None, None);
    }
}
