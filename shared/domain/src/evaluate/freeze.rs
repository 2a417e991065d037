//! `freeze`, built in: nothing new starts while a freeze is on.

use super::ruling::{Ruling, rfc};
use crate::Timestamp;
use crate::decision::RuleInputs;
use crate::entity::{Freeze, Record};
use crate::freeze::{from, is_on, is_over};
use crate::id::FreezeId;

/// `freezes` are those that concern the target, also those that are over: a yes is one since the last of them ended. It waits for the last end of those that are on; a yes ends when the next begins.
pub(super) fn judge(freezes: &[&Record<Freeze>], now: Timestamp) -> Ruling {
    let (over, ahead): (Vec<&Record<Freeze>>, Vec<_>) =
        freezes.iter().partition(|freeze| is_over(freeze, now));
    let on = ahead.iter().filter(|freeze| is_on(freeze, now));
    // One without an end ends last.
    let last = on.max_by_key(|freeze| (freeze.spec.until.is_none(), freeze.spec.until, freeze.meta.id));
    let Some(last) = last else {
        let begins = |freeze: &&Record<Freeze>| {
            let from = from(freeze);
            freeze.spec.until.is_none_or(|until| from < until).then_some(from)
        };
        let next = ahead.iter().filter_map(begins).min();
        let ends = |freeze: &&Record<Freeze>| freeze.spec.until.filter(|until| from(freeze) < *until);
        let last_end = over.iter().filter_map(ends).max();
        return Ruling::allow("nothing is frozen here", last_end).ending(next);
    };
    let Freeze { reason, owner, until, .. } = &last.spec;
    let end = until.map(|at| format!(" until {}", rfc(at))).unwrap_or_default();
    let reason = format!("frozen{end} by {owner}: {reason} ({})", last.meta.name);
    let (freeze, from) = (FreezeId(last.meta.id), from(last));
    Ruling::wait(reason, *until).on(RuleInputs::Freeze { freeze, from, until: *until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Verdict;
    use crate::entity::Meta;
    use crate::id::derive;
    use chrono::TimeDelta;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn freeze(name: &str, from: i64, until: Option<i64>) -> Record<Freeze> {
        let meta = Meta {
            id: derive(&[name]),
            workspace: "acme".parse().unwrap(),
            name: name.to_owned(),
            metadata: [].into(),
            created_at: at(from),
            updated_at: at(from),
        };
        let spec = Freeze {
            selector: "true".into(),
            reason: "sale".into(),
            owner: "ann".into(),
            from: Some(at(from)),
            until: until.map(at),
            thawed_by: None,
        };
        Record { meta, spec }
    }

    #[test]
    fn it_waits_for_the_last_end_and_a_yes_ends_with_the_next_beginning() {
        let (a, b) = (freeze("a", 10, Some(20)), freeze("b", 15, Some(40)));
        let endless = freeze("c", 50, None);
        let all = [&a, &b, &endless];
        let until = |second: Option<i64>| Verdict::Wait { until: second.map(at) };
        for (now, verdict, ends) in [
            (9, Verdict::Allow, Some(10)),
            (10, until(Some(20)), None),
            (15, until(Some(40)), None),
            (20, until(Some(40)), None),
            (40, Verdict::Allow, Some(50)),
            (50, until(None), None),
        ] {
            let ruling = judge(&all, at(now));
            assert_eq!((ruling.verdict, ruling.ends_at), (verdict, ends.map(at)), "{now}");
        }
    }
}
