//! `ctrlplane policy backtest`: what proposed policies would have changed of what happened.

use domain::backtest::{CutBy, JudgedJob, LookedAt, Outcome, Report, Totals};
use reqwest::Method;
use serde_json::{Value, json};

use super::args::BacktestArgs;
use super::failure::Failure;
use super::files;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::stamp;

pub(super) async fn run(session: &Session, args: &BacktestArgs) -> Result<(), Failure> {
    let sources = files::collect(&args.files)?;
    let files: Vec<Value> =
        sources.iter().map(|source| json!({ "name": source.name, "content": source.text })).collect();
    let body = json!({ "manifests": files, "since": args.since.as_secs() });
    let path = session.below(&["policies", "backtest"]).await?;
    let answer = session.api.send_json(Method::POST, &path, &[], &body).await?;
    match session.format {
        Format::Json => return output::json(&answer),
        Format::Yaml => return output::yaml(&answer),
        Format::Name | Format::Table => {}
    }
    let report: Report = serde_json::from_value(answer)
        .map_err(|error| Failure::Refused(format!("the API's report cannot be read: {error}")))?;
    let changed = report.jobs.iter().filter(|job| job.outcome != Outcome::Allowed);
    match session.format {
        Format::Name => output::print(&changed.map(|job| format!("{}\n", job.job)).collect::<String>()),
        Format::Table | Format::Json | Format::Yaml => {
            let (table, totals) = (table(changed), totals(&report.totals));
            output::print(&format!("{table}{totals}\n{}\n", looked_at(&report.looked_at)))
        }
    }
}

/// What changes, and a line between it and the totals.
fn table<'a>(changed: impl Iterator<Item = &'a JudgedJob>) -> String {
    let mut table =
        Table::new(["REQUESTED", "DEPLOYMENT", "VERSION", "ENVIRONMENT", "RESOURCE", "OUTCOME", "HELD BY"]);
    for job in changed {
        let held: Vec<String> = job
            .held_by
            .iter()
            .map(|held| format!("{} of {}: {}", held.rule, held.policy, held.reason))
            .collect();
        table.row([
            stamp(job.requested_at),
            job.deployment.clone(),
            job.version.clone(),
            job.environment.clone(),
            job.resource.clone(),
            outcome(&job.outcome),
            held.join("; "),
        ]);
    }
    let text = table.render();
    if text.is_empty() { text } else { format!("{text}\n") }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allowed => "allowed".to_owned(),
        Outcome::Delayed { by_seconds, .. } => format!("delayed by {}", length(*by_seconds)),
        Outcome::Overtaken { by } => format!("overtaken by {by}"),
        Outcome::Stopped => "stopped".to_owned(),
        Outcome::Waiting { until } => format!("waiting until {}", stamp(*until)),
        Outcome::Unknown => "unknown: the catalog of then is not kept".to_owned(),
    }
}

fn totals(totals: &Totals) -> String {
    let Totals { jobs, allowed, delayed, overtaken, stopped, waiting, unknown, .. } = totals;
    let mut text = format!(
        "{}: {allowed} allowed, {delayed} delayed, {overtaken} overtaken, {stopped} stopped",
        count(*jobs, "job")
    );
    for (count, what) in [(waiting, "waiting"), (unknown, "unknown")] {
        if *count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if *delayed > 0 {
        let (longest, all) = (length(totals.longest_delay_seconds), length(totals.delayed_seconds));
        text.push_str(&format!("; the longest delay is {longest}, all together {all}"));
    }
    text
}

/// What it is about, and what it leaves out.
fn looked_at(looked_at: &LookedAt) -> String {
    let LookedAt { facts, targets, days, changes, remembered, unreadable, cut, limits, .. } = looked_at;
    let mut text = format!(
        "looked at {} of {} from {}, and {} of the catalog",
        count(*facts, "fact"),
        count(*targets, "target"),
        count(*days, "day"),
        count(*changes, "change")
    );
    if *remembered > 0 {
        let targets = count(*remembered, "target");
        text.push_str(&format!("; of {targets} decisions remember what ran before"));
    }
    if unreadable.facts + unreadable.changes > 0 {
        let (facts, changes) = (count(unreadable.facts, "fact"), count(unreadable.changes, "change"));
        text.push_str(&format!("\nwhat could not be read: {facts}, {changes} of the catalog"));
        for message in &unreadable.first {
            text.push_str(&format!("\n  {} at {}: {}", message.key, message.sequence, message.why));
        }
    }
    if let Some(cut) = cut {
        let why = match cut.by {
            CutBy::Facts => format!("there are more than {}", count(limits.facts, "fact")),
            CutBy::Changes => {
                format!("there are more than {} of the catalog", count(limits.changes, "change"))
            }
            CutBy::Bytes => format!("there are more than {}", count(limits.bytes, "byte")),
            CutBy::Time => format!("it took {}", count(limits.seconds, "second")),
        };
        text.push_str(&format!("\ncut at {}: {why}; a later --since needs less", stamp(cut.at)));
    }
    text
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A length of time to the second: `1d2h3m4s`, without what is zero.
fn length(seconds: i64) -> String {
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n != 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::backtest::{Cut, Limits, Unreadable, UnreadableMessage};

    #[test]
    fn lengths_are_told_to_the_second() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (14_398, "3h59m58s"), (90_000, "1d1h")] {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn what_was_left_out_is_told() {
        let at = "2026-03-02T10:00:00Z".parse().unwrap();
        let first =
            UnreadableMessage { key: "ctrlplane.job.acme.j".into(), sequence: 7, at, why: "no".into() };
        let some = LookedAt {
            facts: 1,
            targets: 2,
            days: 30,
            changes: 4,
            remembered: 3,
            unreadable: Unreadable { facts: 1, changes: 0, first: vec![first] },
            cut: Some(Cut { at, by: CutBy::Facts }),
            limits: Limits { facts: 9, ..Limits::default() },
            ..LookedAt::default()
        };
        let text = looked_at(&some);
        let lines: Vec<&str> = text.lines().collect();
        let first = "looked at 1 fact of 2 targets from 30 days, and 4 changes of the catalog; of 3 targets decisions \
                     remember what ran before";
        assert_eq!(lines[0], first);
        assert_eq!(lines[1], "what could not be read: 1 fact, 0 changes of the catalog");
        assert_eq!(lines[2], "  ctrlplane.job.acme.j at 7: no");
        let cut = format!("cut at {}: there are more than 9 facts; a later --since needs less", stamp(at));
        assert_eq!(lines[3..], [cut]);
    }

    #[test]
    fn totals_name_what_there_is() {
        let some = Totals {
            jobs: 4,
            allowed: 1,
            delayed: 2,
            waiting: 1,
            delayed_seconds: 90,
            longest_delay_seconds: 60,
            ..Totals::default()
        };
        assert_eq!(
            totals(&some),
            "4 jobs: 1 allowed, 2 delayed, 0 overtaken, 0 stopped, 1 waiting; the longest delay is 1m, all \
             together 1m30s"
        );
    }
}
