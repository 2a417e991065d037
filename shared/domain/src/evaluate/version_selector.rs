//! `versionSelector`: only versions that match may go where the policy governs.

use super::ruling::Ruling;
use crate::decision::RuleInputs;
use crate::entity::VersionSelector;

/// `matches` is what the selector said of the version on the target.
pub(super) fn judge(rule: &VersionSelector, matches: Result<bool, String>) -> Ruling {
    let said = matches.as_ref().ok().copied();
    let ruling = match matches {
        Ok(true) => Ruling::allow(format!("the version matches `{}`", rule.selector), None),
        Ok(false) => Ruling::deny(match &rule.description {
            Some(description) => description.clone(),
            None => format!("the version does not match `{}`", rule.selector),
        }),
        Err(error) => Ruling::error(format!("the selector `{}` cannot be evaluated: {error}", rule.selector)),
    };
    match said {
        Some(matches) => ruling.on(RuleInputs::Selector { expression: rule.selector.clone(), matches }),
        None => ruling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;

    #[test]
    fn it_says_what_the_selector_says_and_an_error_is_a_no() {
        let plain = VersionSelector { selector: "version.tag != 'x'".into(), description: None };
        let told = VersionSelector { description: Some("no x here".into()), ..plain.clone() };
        for (rule, matches, verdict, reason) in [
            (&plain, Ok(true), Verdict::Allow, "the version matches `version.tag != 'x'`"),
            (&plain, Ok(false), Verdict::Deny, "the version does not match `version.tag != 'x'`"),
            (&told, Ok(false), Verdict::Deny, "no x here"),
            (
                &told,
                Err("no such key: tag".to_owned()),
                Verdict::Deny,
                "the selector `version.tag != 'x'` cannot be evaluated: no such key: tag",
            ),
        ] {
            let ruling = judge(rule, matches);
            assert_eq!((ruling.verdict, ruling.reason.as_str()), (verdict, reason));
        }
    }
}
