//! Pasts told as stories of one day, and what policies would have made of them.

use super::{
    CatalogMoment, Cut, CutBy, JobMoment, Limits, Outcome, Past, Question, Reading, Report, backtest,
};
use crate::Timestamp;
use crate::catalog::Catalog;
use crate::decision::TargetDecision;
use crate::entity::Entity;
use crate::evaluate::{Facts, decide_target};
use crate::id::{DeploymentId, EnvironmentId, JobId, ReleaseId, ResourceId, VersionId, derive};
use crate::job::{JobEvent, JobFact, JobRef, TerminalStatus};
use crate::manifest::{Defaults, File, OfNames, parse};
use crate::target::TargetKey;
use crate::token::Slug;
use std::collections::BTreeSet;

/// How many values of a key are kept.
const KEPT: usize = 3;

const SHOP: &str = "
kind: Workspace
metadata: { name: acme }
---
kind: System
metadata: { name: shop }
---
kind: Environment
metadata: { name: staging }
spec: { systems: [shop], resourceSelector: resource.name.startsWith('staging') }
---
kind: Environment
metadata: { name: production }
spec: { systems: [shop], resourceSelector: resource.name.startsWith('production') }
---
kind: Resource
metadata: { name: staging-0 }
spec: { identifier: staging-0 }
---
kind: Resource
metadata: { name: production-0 }
spec: { identifier: production-0 }
---
kind: Resource
metadata: { name: production-1 }
spec: { identifier: production-1 }
---
kind: Deployment
metadata: { name: web }
spec: { systems: [shop] }
";

const WINDOW: &str = "deploymentWindow: { rrule: 'FREQ=DAILY;BYHOUR=14;BYMINUTE=0;BYSECOND=0', \
                      durationMinutes: 60 }";

fn acme() -> Slug {
    "acme".parse().unwrap()
}

/// An instant of the day the stories are about.
fn at(time: &str) -> Timestamp {
    format!("2026-03-02T{time}Z").parse().unwrap()
}

/// What happened.
#[derive(Default, Clone)]
struct Story {
    catalog: Vec<CatalogMoment>,
    jobs: Vec<JobMoment>,
}

impl Story {
    /// A shop in which v1 runs everywhere since the early morning.
    fn of_a_shop() -> Self {
        let mut story = Self::default();
        story.put("01:00:00", SHOP);
        story.version("01:30:00", "v1");
        for resource in ["staging-0", "production-0", "production-1"] {
            story.deploy("02:00:00", "02:10:00", "v1", resource);
        }
        story
    }

    fn put(&mut self, time: &str, yaml: &str) {
        for entity in entities(time, yaml) {
            let value = Some(serde_json::to_vec(&entity).unwrap());
            self.change(time, entity.key().to_string(), value);
        }
    }

    fn change(&mut self, time: &str, key: String, value: Option<Vec<u8>>) {
        let revision = self.catalog.len() as u64 + 1;
        self.catalog.push(CatalogMoment { at: at(time), revision, key, value });
    }

    fn version(&mut self, time: &str, tag: &str) {
        let yaml =
            format!("kind: Version\nmetadata: {{ name: {tag} }}\nspec: {{ deployment: web, tag: {tag} }}");
        self.put(time, &yaml);
    }

    fn yes(&mut self, time: &str, tag: &str) {
        let yaml = format!(
            "kind: Approval\nmetadata: {{ name: ann }}\nspec: {{ deployment: web, version: {tag}, environment: \
             production, user: ann, status: approved }}"
        );
        self.put(time, &yaml);
    }

    fn tell(&mut self, time: &str, job: &JobRef, fact: JobFact) {
        let sequence = self.jobs.len() as u64 + 1;
        let event = JobEvent { job: job.clone(), at: at(time), cause: None, traceparent: None, fact };
        self.jobs.push(JobMoment { at: at(time), sequence, event });
    }

    fn deploy(&mut self, begin: &str, end: &str, tag: &str, resource: &str) {
        let job = job(tag, resource);
        self.tell(begin, &job, JobFact::Requested { catalog_revision: 1, grounds: None });
        self.tell(end, &job, JobFact::ended(TerminalStatus::Successful, None, "done"));
    }

    /// What is decided on every target at the end of the day.
    fn decisions(&self) -> Vec<TargetDecision> {
        let (mut catalog, mut facts) = (Catalog::default(), Facts::default());
        for change in &self.catalog {
            catalog.apply(&change.key, change.value.as_deref(), change.revision);
        }
        for fact in &self.jobs {
            facts.apply(&fact.event, fact.sequence);
        }
        let ws = catalog.workspace(&acme()).unwrap();
        let targets: BTreeSet<TargetKey> = self.jobs.iter().map(|fact| fact.event.job.target).collect();
        let decide = |target| decide_target(ws, &facts, &(), target, at("23:00:00"), None).decision;
        targets.iter().map(decide).collect()
    }

    /// The same without the facts of before.
    fn forgetting_until(&self, time: &str) -> Self {
        let mut story = self.clone();
        story.jobs.retain(|fact| fact.at >= at(time));
        story
    }

    fn report_remembering(&self, since: &str, decisions: &[TargetDecision], policies: &[&str]) -> Report {
        let past = Past::of(self.catalog.clone(), self.jobs.clone(), KEPT).remembering(decisions);
        backtest(past, &question(since, policies), &mut || true)
    }

    fn report(&self, since: &str, policies: &[&str]) -> Report {
        let past = Past::of(self.catalog.clone(), self.jobs.clone(), KEPT);
        backtest(past, &question(since, policies), &mut || true)
    }

    /// The same, as it is read message by message, within limits.
    fn report_within(&self, since: &str, limits: Limits, policies: &[&str]) -> Report {
        let question = question(since, policies);
        let mut reading = Reading::of(question.since, question.until, limits);
        for fact in &self.jobs {
            let payload = serde_json::to_vec(&fact.event).unwrap();
            if reading.fact(fact.at, fact.sequence, "ctrlplane.job.acme.j", &payload).is_break() {
                break;
            }
        }
        for change in &self.catalog {
            if reading.change(change.clone()).is_break() {
                break;
            }
        }
        backtest(reading.finish(KEPT), &question, &mut || true)
    }
}

fn question(since: &str, policies: &[&str]) -> Question {
    let policies = policies.iter().flat_map(|yaml| entities("23:00:00", yaml));
    let policies = policies.map(|entity| {
        let Entity::Policy(policy) = entity else { panic!("not a policy: {entity:?}") };
        policy
    });
    Question { workspace: acme(), policies: policies.collect(), since: at(since), until: at("23:00:00") }
}

/// `v2 production-0 delayed by 60s: window` for each job, in order.
fn told(report: &Report) -> Vec<String> {
    let line = |job: &super::JudgedJob| {
        let became = match &job.outcome {
            Outcome::Allowed => "allowed".to_owned(),
            Outcome::Delayed { until, by_seconds } => {
                assert_eq!((*until - job.requested_at).num_seconds(), *by_seconds);
                format!("delayed by {by_seconds}s")
            }
            Outcome::Overtaken { by } => format!("overtaken by {by}"),
            Outcome::Stopped => "stopped".to_owned(),
            Outcome::Waiting { until } => format!("waiting until {until:?}"),
            Outcome::Unknown => "unknown".to_owned(),
        };
        let rules: Vec<&str> = job.held_by.iter().map(|held| held.rule.as_str()).collect();
        let why = if rules.is_empty() { String::new() } else { format!(": {}", rules.join(", ")) };
        format!("{} {} {became}{why}", job.version, job.resource)
    };
    report.jobs.iter().map(line).collect()
}

fn entities(time: &str, yaml: &str) -> Vec<Entity> {
    let files = [File { name: "story.yaml", text: yaml }];
    let workspace = acme();
    let documents =
        parse(&files, &Defaults { workspace: Some(&workspace), now: at(time), by: "ann", ids: &OfNames });
    documents.unwrap().into_iter().map(|document| document.entity).collect()
}

fn policy(rules: &str) -> String {
    named("gate", "environment.name == 'production'", rules)
}

fn named(name: &str, selector: &str, rules: &str) -> String {
    format!(
        "kind: Policy\nmetadata: {{ name: {name} }}\nspec:\n  selector: \"{selector}\"\n  rules: [{{ {rules} }}]"
    )
}

fn job(tag: &str, resource: &str) -> JobRef {
    job_of("web", tag, resource)
}

fn job_of(name: &str, tag: &str, resource: &str) -> JobRef {
    let deployment = DeploymentId::of(&acme(), name);
    let environment = resource.split('-').next().unwrap();
    let release = ReleaseId(derive(&[name, tag, resource]));
    JobRef {
        workspace: acme(),
        id: JobId::of(release, 1),
        target: TargetKey {
            deployment,
            environment: EnvironmentId::of(&acme(), environment),
            resource: ResourceId::of(&acme(), resource),
        },
        version: VersionId::of(deployment, tag),
        tag: tag.to_owned(),
        release,
        attempt: 1,
        deployment: name.parse().unwrap(),
        environment: environment.parse().unwrap(),
        purpose: Default::default(),
        content: None,
    }
}

#[test]
fn a_policy_that_allows_everything_changes_nothing() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:01", "10:05:00", "v2", "staging-0");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    let report = story.report("09:00:00", &[&policy("versionSelector: { selector: 'true' }")]);
    assert_eq!(told(&report), ["v2 staging-0 allowed", "v2 production-0 allowed"]);
    assert_eq!((report.totals.jobs, report.totals.allowed, report.totals.delayed_seconds), (2, 2, 0));
    assert_eq!(report.policies, ["gate"]);
    // What is disabled, or is about other places, says nothing.
    let off =
        policy("versionSelector: { selector: 'false' }").replace("spec:\n", "spec:\n  enabled: false\n");
    assert_eq!(told(&story.report("09:00:00", &[&off])), told(&report));
}

#[test]
fn a_window_delays_by_exact_seconds() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    story.deploy("14:30:00", "14:31:00", "v2", "production-1");
    let report = story.report("09:00:00", &[&policy(WINDOW)]);
    assert_eq!(
        told(&report),
        ["v2 production-0 delayed by 14398s: deploymentWindow", "v2 production-1 allowed"]
    );
    assert_eq!((report.totals.delayed_seconds, report.totals.longest_delay_seconds), (14_398, 14_398));
    // What was asked for before is history, not judged.
    assert_eq!(told(&story.report("12:00:00", &[&policy(WINDOW)])), ["v2 production-1 allowed"]);
    // A job of the late evening waits for a window after the end of history.
    story.deploy("20:00:00", "20:01:00", "v3", "production-0");
    story.version("19:00:00", "v3");
    let lines = told(&story.report("15:00:00", &[&policy(WINDOW)]));
    assert_eq!(lines, ["v3 production-0 waiting until 2026-03-03T14:00:00Z: deploymentWindow"]);
}

#[test]
fn an_approval_that_never_came_stops_and_a_late_one_delays() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    let gate = policy("anyApproval: { minApprovals: 1 }");
    let report = story.report("09:00:00", &[&gate]);
    assert_eq!(told(&report), ["v2 production-0 stopped: anyApproval"]);
    assert_eq!((report.totals.stopped, report.totals.allowed), (1, 0));
    assert!(!report.jobs[0].held_by[0].reason.is_empty());
    story.yes("10:00:32", "v2");
    assert_eq!(told(&story.report("09:00:00", &[&gate])), ["v2 production-0 delayed by 30s: anyApproval"]);
    // A version that is older than the time in question is older than the policy.
    assert_eq!(told(&story.report("10:00:01", &[&gate])), ["v2 production-0 allowed"]);
}

#[test]
fn a_soak_counts_from_the_success_also_where_that_was_delayed() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:01", "10:05:00", "v2", "staging-0");
    story.deploy("10:05:01", "10:06:00", "v2", "production-0");
    let soak = policy(
        "environmentProgression: { dependsOnEnvironmentSelector: environment.name == 'staging', \
         minimumSoakTimeMinutes: 30 }",
    );
    let lines = told(&story.report("09:00:00", &[&soak]));
    assert_eq!(lines, ["v2 staging-0 allowed", "v2 production-0 delayed by 1799s: environmentProgression"]);
    // Staging begins at 14:00:00, so it ends at 14:04:59.
    let window = named("hours", "environment.name == 'staging'", WINDOW);
    let lines = told(&story.report("09:00:00", &[&soak, &window]));
    assert_eq!(
        lines,
        [
            "v2 staging-0 delayed by 14399s: deploymentWindow",
            "v2 production-0 delayed by 16198s: environmentProgression"
        ]
    );
    // Without staging there is no production.
    let never = named("never", "environment.name == 'staging'", "versionSelector: { selector: 'false' }");
    let lines = told(&story.report("09:00:00", &[&soak, &never]));
    assert_eq!(
        lines,
        ["v2 staging-0 stopped: versionSelector", "v2 production-0 stopped: environmentProgression"]
    );
}

#[test]
fn what_a_held_job_did_later_does_not_let_it_go() {
    let mut story = Story::of_a_shop();
    story.version("02:20:00", "v2");
    // Really it was deployed before the cooldown of ten minutes was over.
    story.deploy("02:12:00", "02:13:00", "v2", "production-0");
    let cooldown = policy("versionCooldown: { intervalSeconds: 1200 }");
    let lines = told(&story.report("02:11:00", &[&cooldown]));
    assert_eq!(lines, ["v2 production-0 unknown"], "the catalog of then did not have it");
    let mut story = Story::of_a_shop();
    story.version("02:11:00", "v2");
    story.deploy("02:12:00", "02:13:00", "v2", "production-0");
    let lines = told(&story.report("02:11:00", &[&cooldown]));
    assert_eq!(lines, ["v2 production-0 delayed by 1080s: versionCooldown"]);
}

#[test]
fn a_newer_version_overtakes_what_is_held_and_an_older_one_does_not() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.version("11:00:00", "v3");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    story.deploy("11:00:02", "11:05:00", "v3", "production-0");
    story.deploy("11:00:02", "11:05:00", "v3", "production-1");
    story.deploy("12:00:00", "12:05:00", "v2", "production-1");
    assert_eq!(
        told(&story.report("09:00:00", &[&policy(WINDOW)])),
        [
            "v2 production-0 overtaken by v3: deploymentWindow",
            "v3 production-0 delayed by 10798s: deploymentWindow",
            "v3 production-1 delayed by 10798s: deploymentWindow",
            "v2 production-1 delayed by 7200s: deploymentWindow"
        ]
    );
}

#[test]
fn a_rollout_counts_from_when_the_other_gates_let_it_go() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:00", "10:05:00", "v2", "production-0");
    story.deploy("10:00:00", "10:05:00", "v2", "production-1");
    let rollout = policy("gradualRollout: { rolloutType: linear, timeScaleInterval: 600 }");
    let report = story.report("09:00:00", &[&rollout]);
    let mut outcomes: Vec<String> = told(&report).iter().map(|line| line[16..].to_owned()).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["allowed", "delayed by 600s: gradualRollout"]);
}

#[test]
fn a_proposed_policy_stands_in_for_the_one_of_its_name() {
    let mut story = Story::of_a_shop();
    story.put("03:00:00", &policy("anyApproval: { minApprovals: 1 }"));
    story.version("10:00:00", "v2");
    story.yes("10:00:01", "v2");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    let two = policy("anyApproval: { minApprovals: 2 }");
    assert_eq!(told(&story.report("09:00:00", &[&two])), ["v2 production-0 stopped: anyApproval"]);
    // The stored one comes and goes; the proposed one is there from the beginning.
    let key = entities("03:00:00", &two)[0].key().to_string();
    story.change("09:30:00", key, None);
    assert_eq!(told(&story.report("09:00:00", &[&two])), ["v2 production-0 stopped: anyApproval"]);
    // Other policies do not count: they let it go when it went.
    let other = named("other", "true", "versionSelector: { selector: 'true' }");
    assert_eq!(told(&story.report("09:00:00", &[&other])), ["v2 production-0 allowed"]);
}

#[test]
fn what_was_changed_too_often_to_be_kept_is_taken_to_have_been_there() {
    let mut story = Story::of_a_shop();
    let key = EnvironmentId::of(&acme(), "production").0.to_string();
    let begin = story.catalog.iter().position(|change| change.key.ends_with(&key)).unwrap();
    let first = story.catalog.remove(begin);
    for (time, revision) in [("11:00:00", 101), ("11:00:01", 102), ("11:00:02", 103)] {
        story.catalog.push(CatalogMoment { at: at(time), revision, ..first.clone() });
    }
    story.version("10:00:00", "v2");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    let gate = policy(WINDOW);
    assert_eq!(
        told(&story.report("09:00:00", &[&gate])),
        ["v2 production-0 delayed by 14398s: deploymentWindow"]
    );
    story.catalog.pop();
    assert_eq!(
        told(&story.report("09:00:00", &[&gate])),
        ["v2 production-0 unknown"],
        "that is its creation"
    );
}

#[test]
fn the_same_past_gives_the_same_report_in_whatever_order_it_is_given() {
    let mut story = Story::of_a_shop();
    for (tag, begin) in [("v2", "10:00:00"), ("v3", "13:59:59"), ("v4", "15:10:00")] {
        story.version(begin, tag);
        for resource in ["staging-0", "production-0", "production-1"] {
            let (asked, ended) = (format!("{}1", &begin[..7]), format!("{}9", &begin[..7]));
            story.deploy(&asked, &ended, tag, resource);
        }
    }
    let policies = [
        policy(&format!("{WINDOW} }}, {{ gradualRollout: {{ rolloutType: linear, timeScaleInterval: 60 }}")),
        named("all", "true", "versionCooldown: { intervalSeconds: 600 }"),
    ];
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    let report = story.report("09:00:00", &policies);
    assert_eq!(report.jobs.len(), 9);
    assert!(report.totals.delayed > 0, "{report:?}");
    let mut shuffled = story.clone();
    shuffled.catalog.reverse();
    shuffled.jobs.reverse();
    assert_eq!(shuffled.report("09:00:00", &policies), report);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}

/// One production target gets three versions under an approval, a soak of staging and a window from 14:00 to 15:00:
///
/// - v2: staging done 10:05, soaked 10:35; approved 10:40; the window opens 14:00. Asked for 10:06:00: 3:54:00 late.
/// - v3: staging done 14:10, soaked 14:40; approved 14:20; the window is open until 15:00. Asked for 14:11:00: 29:00 late.
/// - v4: staging done 16:05, soaked 16:35; nobody approves it. Asked for 16:06:00: stopped.
#[test]
fn the_figures_are_those_that_one_computes_by_hand() {
    let mut story = Story::of_a_shop();
    for (tag, created, staged, done, asked, approved) in [
        ("v2", "10:00:00", "10:00:01", "10:05:00", "10:06:00", Some("10:40:00")),
        ("v3", "14:00:30", "14:01:00", "14:10:00", "14:11:00", Some("14:20:00")),
        ("v4", "16:00:00", "16:00:01", "16:05:00", "16:06:00", None),
    ] {
        story.version(created, tag);
        story.deploy(staged, done, tag, "staging-0");
        story.tell(
            asked,
            &job(tag, "production-0"),
            JobFact::Requested { catalog_revision: 1, grounds: None },
        );
        if let Some(approved) = approved {
            story.yes(approved, tag);
        }
    }
    let gates = policy(&format!(
        "{WINDOW} }}, {{ anyApproval: {{ minApprovals: 1 }} }}, {{ environmentProgression: {{ \
         dependsOnEnvironmentSelector: environment.name == 'staging', minimumSoakTimeMinutes: 30 }}"
    ));
    let report = story.report_within("09:00:00", Limits::default(), &[&gates]);
    assert_eq!(
        told(&report),
        [
            "v2 staging-0 allowed",
            "v2 production-0 delayed by 14040s: deploymentWindow, anyApproval, environmentProgression",
            "v3 staging-0 allowed",
            "v3 production-0 delayed by 1740s: anyApproval, environmentProgression",
            "v4 staging-0 allowed",
            "v4 production-0 stopped: deploymentWindow, anyApproval, environmentProgression"
        ]
    );
    let totals = &report.totals;
    assert_eq!((totals.jobs, totals.allowed, totals.delayed, totals.stopped), (6, 3, 2, 1));
    assert_eq!((totals.delayed_seconds, totals.longest_delay_seconds), (14_040 + 1_740, 14_040));
    let looked_at = &report.looked_at;
    // Three jobs of v1 with two facts each; then two in staging and one in production of each version.
    assert_eq!((looked_at.facts, looked_at.targets, looked_at.days), (6 + 9, 3, 1));
    assert_eq!((looked_at.oldest_fact, looked_at.cut), (Some(at("02:00:00")), None));
    assert_eq!(looked_at.changes, story.catalog.len() as u64);
}

/// Nine jobs of three versions, some of one instant.
fn busy_day() -> Story {
    let mut story = Story::of_a_shop();
    for (tag, begin, end) in [("v2", "10:00", "10:09"), ("v3", "13:59", "14:10"), ("v4", "15:10", "15:20")] {
        story.version(&format!("{begin}:00"), tag);
        for resource in ["staging-0", "production-0", "production-1"] {
            story.tell(
                &format!("{begin}:01"),
                &job(tag, resource),
                JobFact::Requested { catalog_revision: 1, grounds: None },
            );
        }
        for resource in ["staging-0", "production-0", "production-1"] {
            let done = JobFact::ended(TerminalStatus::Successful, None, "done");
            story.tell(&format!("{end}:00"), &job(tag, resource), done);
        }
    }
    story
}

#[test]
fn of_jobs_from_before_the_last_fact_says_it_all() {
    let story = busy_day();
    let gates = [policy(WINDOW), named("all", "true", "versionCooldown: { intervalSeconds: 600 }")];
    let gates: Vec<&str> = gates.iter().map(String::as_str).collect();
    for since in ["00:00:00", "10:05:00", "13:59:01", "15:15:00"] {
        let (whole, read) =
            (story.report(since, &gates), story.report_within(since, Limits::default(), &gates));
        assert_eq!(whole, read, "{since}");
    }
    // Nine facts of before are three of them and the last of each job of v1: a limit of facts counts these only.
    let three_jobs = Limits { facts: 9, ..Limits::default() };
    assert_eq!(story.report_within("13:59:00", three_jobs, &gates).looked_at.cut.unwrap().at, at("14:10:00"));
    assert_eq!(story.report_within("00:00:00", three_jobs, &gates).looked_at.cut.unwrap().at, at("10:09:00"));
}

#[test]
fn what_is_too_much_is_cut_before_an_instant_and_never_within_one() {
    let story = busy_day();
    let gate = policy(WINDOW);
    let all = story.report("09:00:00", &[&gate]);
    for (limits, by) in [
        // The second of the three facts of 13:59:01 is one too many.
        (Limits { facts: 10, ..Limits::default() }, CutBy::Facts),
        (Limits { changes: story.catalog.len() as u64 - 2, ..Limits::default() }, CutBy::Changes),
    ] {
        let report = story.report_within("09:00:00", limits, &[&gate]);
        let Some(cut) = report.looked_at.cut else { panic!("it is not cut: {report:?}") };
        assert_eq!((cut.by, report.until), (by, cut.at));
        assert_eq!(report.looked_at.limits, limits);
        assert_eq!(report.jobs.len(), 3, "{report:?}");
        // The same as if history had ended there.
        let mut shorter = story.clone();
        shorter.jobs.retain(|fact| fact.at < cut.at);
        shorter.catalog.retain(|change| change.at < cut.at);
        let until = cut.at - chrono::TimeDelta::nanoseconds(1);
        let question = Question { until, ..question("09:00:00", &[&gate]) };
        let past = Past::of(shorter.catalog, shorter.jobs.clone(), KEPT);
        assert_eq!(report.jobs, backtest(past, &question, &mut || true).jobs);
        assert_eq!(report.looked_at.facts, shorter.jobs.len() as u64);
    }
    let bytes = Limits { bytes: 8_000, ..Limits::default() };
    let report = story.report_within("09:00:00", bytes, &[&gate]);
    assert!(report.looked_at.cut.is_some_and(|cut| cut.by == CutBy::Bytes), "{report:?}");
    assert_eq!(story.report_within("09:00:00", Limits::default(), &[&gate]).jobs, all.jobs);
}

#[test]
fn what_cannot_be_read_is_counted_and_told() {
    let mut story = busy_day();
    let broken = format!("acme.approval.{}", JobId::of(ReleaseId(derive(&["x"])), 1));
    story.change("09:30:00", broken.clone(), Some(b"{".to_vec()));
    let question = question("09:00:00", &[&policy("anyApproval: { minApprovals: 1 }")]);
    let mut reading = Reading::of(question.since, question.until, Limits::default());
    for sequence in 1..=7 {
        assert!(reading.fact(at("09:00:00"), sequence, "ctrlplane.job.acme.j", b"{}").is_continue());
    }
    story.catalog.sort_by_key(|change| change.at);
    for change in &story.catalog {
        assert!(reading.change(change.clone()).is_continue());
    }
    let unreadable = backtest(reading.finish(KEPT), &question, &mut || true).looked_at.unreadable;
    assert_eq!((unreadable.facts, unreadable.changes), (7, 1));
    let first: Vec<u64> = unreadable.first.iter().map(|message| message.sequence).collect();
    assert_eq!(first, [1, 2, 3, 4, 5], "the first are told one by one");
    assert!(unreadable.first.iter().all(|message| !message.why.is_empty()));
}

#[test]
fn it_is_cut_between_instants_when_there_is_no_time_left() {
    let story = busy_day();
    let question = question("09:00:00", &[&policy(WINDOW)]);
    let past = || Past::of(story.catalog.clone(), story.jobs.clone(), KEPT);
    let whole = backtest(past(), &question, &mut || true);
    let mut seen = Vec::new();
    for steps in 0.. {
        let mut left = steps;
        let mut keep_going = || {
            left -= 1;
            left >= 0
        };
        let report = backtest(past(), &question, &mut keep_going);
        let Some(Cut { at, by }) = report.looked_at.cut else {
            assert_eq!(report, whole);
            break;
        };
        assert_eq!((by, report.until), (CutBy::Time, at));
        // All three that were asked for at one instant, or none of them.
        assert_eq!(report.jobs.len() % 3, 0, "{report:?}");
        assert!(report.jobs.iter().all(|job| job.requested_at < at));
        seen.push(report.jobs.len());
    }
    assert!(seen.is_sorted() && seen.contains(&3) && seen.contains(&6), "{seen:?}");
}

/// Told without the facts of before nine, told by one that remembers, and told with all facts.
fn told_three_ways(story: &Story, gate: &str) -> [Vec<String>; 3] {
    let old = story.forgetting_until("09:00:00");
    let remembering = old.report_remembering("09:00:00", &story.decisions(), &[gate]);
    let oldest = remembering.looked_at.oldest_fact.unwrap();
    assert!(oldest >= at("09:00:00") && remembering.looked_at.remembered > 0, "{remembering:?}");
    [old.report("09:00:00", &[gate]), remembering, story.report("09:00:00", &[gate])]
        .map(|report| told(&report))
}

#[test]
fn a_window_holds_what_is_not_the_first_on_its_target_for_as_long_as_decisions_remember() {
    let mut story = Story::of_a_shop();
    story.version("10:00:00", "v2");
    story.deploy("10:00:02", "10:05:00", "v2", "production-0");
    let [forgot, remembered, whole] = told_three_ways(&story, &policy(WINDOW));
    assert_eq!(forgot, ["v2 production-0 allowed"], "it is taken for the first deployment");
    assert_eq!(remembered, ["v2 production-0 delayed by 14398s: deploymentWindow"]);
    assert_eq!(remembered, whole);
    // What really is the first stays the first.
    story.jobs.retain(|fact| fact.at > at("09:00:00"));
    story.deploy("03:00:00", "03:10:00", "v1", "staging-0");
    let [_, remembered, whole] = told_three_ways(&story, &policy(WINDOW));
    assert_eq!(remembered, ["v2 production-0 allowed"]);
    assert_eq!(remembered, whole);
}

#[test]
fn a_dependency_is_met_by_what_decisions_remember() {
    let mut story = Story::of_a_shop();
    story.put("01:10:00", "kind: Deployment\nmetadata: { name: db }\nspec: { systems: [shop] }");
    story.put("01:40:00", "kind: Version\nmetadata: { name: d1 }\nspec: { deployment: db, tag: d1 }");
    let db = job_of("db", "d1", "production-0");
    story.tell("02:00:00", &db, JobFact::Requested { catalog_revision: 1, grounds: None });
    story.tell("02:10:00", &db, JobFact::ended(TerminalStatus::Successful, None, "done"));
    story.version("10:00:00", "v2");
    for resource in ["production-0", "production-1"] {
        story.deploy("10:00:02", "10:05:00", "v2", resource);
    }
    let needs = policy("deploymentDependency: { dependsOn: deployment.name == 'db' && version.tag == 'd1' }");
    let [forgot, remembered, whole] = told_three_ways(&story, &needs);
    let stopped = |resource: &str| format!("v2 {resource} stopped: deploymentDependency");
    assert_eq!(forgot, [stopped("production-0"), stopped("production-1")]);
    assert_eq!(remembered, ["v2 production-0 allowed".to_owned(), stopped("production-1")]);
    assert_eq!(remembered, whole);
}

#[test]
fn a_version_that_passed_staging_before_the_oldest_fact_goes_on() {
    let mut story = Story::of_a_shop();
    story.version("03:00:00", "v2");
    story.deploy("03:00:01", "03:10:00", "v2", "staging-0");
    // Another one runs on staging when it goes on.
    story.version("10:00:00", "v3");
    story.deploy("10:00:00", "10:01:00", "v3", "staging-0");
    story.deploy("10:10:00", "10:15:00", "v2", "production-0");
    let soak = policy(
        "environmentProgression: { dependsOnEnvironmentSelector: environment.name == 'staging', \
         minimumSoakTimeMinutes: 30 }",
    );
    let [forgot, remembered, whole] = told_three_ways(&story, &soak);
    assert_eq!(forgot, ["v3 staging-0 allowed", "v2 production-0 stopped: environmentProgression"]);
    assert_eq!(remembered, ["v3 staging-0 allowed", "v2 production-0 allowed"]);
    assert_eq!(remembered, whole);
}

#[test]
fn of_decisions_only_what_was_true_at_the_oldest_fact_is_remembered() {
    let mut story = Story::of_a_shop();
    for (tag, begin, end) in [("v2", "03:00:00", "03:10:00"), ("v3", "10:00:00", "10:10:00")] {
        story.version(begin, tag);
        story.deploy(begin, end, tag, "production-0");
    }
    let decisions = story.decisions();
    let target = job("v3", "production-0").target;
    let of = |time: &str| super::remembered::before(at(time), &decisions).remove(&target);
    let ran = |time: &str| {
        let Some(decision) = of(time) else { return Vec::new() };
        assert!(decision.active.is_none() && decision.last.is_none() && decision.attempts.is_empty());
        assert!(decision.considered.is_empty() && decision.verifications.is_empty());
        decision.current.iter().chain(&decision.earlier).map(|version| version.tag.clone()).collect()
    };
    assert_eq!(ran("23:00:00"), ["v3", "v2", "v1"]);
    assert_eq!(ran("10:10:00"), ["v2", "v1"], "a success of that instant is a fact");
    assert_eq!(ran("03:10:00"), ["v1"]);
    assert_eq!(ran("02:10:00"), Vec::<String>::new());
    // Without facts nothing is judged.
    let nothing = Story { jobs: Vec::new(), ..story.clone() };
    let report = nothing.report_remembering("09:00:00", &decisions, &[&policy(WINDOW)]);
    assert_eq!((report.jobs.len(), report.looked_at.remembered), (0, 0));
}
