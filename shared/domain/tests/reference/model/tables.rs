//! Examples from docs/policies.md, in tables, held against the model itself. The evaluator has no part in them.

use super::Says;
use super::choice::choose;
use super::gates::{Gate, ask};
use super::scene::{End, Job, Scene};
use crate::worlds::account::{World, deployment, environment, policy, resource, workspace};
use crate::worlds::plan::PolicyPlan;
use crate::worlds::{Plan, Step};
use chrono::TimeDelta;
use domain::Timestamp;
use domain::entity::{PolicyRule, RolloutAction, VersionStatus};
use domain::id::{JobId, PolicyId, VersionId};
use domain::job::{JobRef, Purpose, Reason, TerminalStatus};
use domain::target::TargetKey;
use serde_json::{Value, json};

const MONDAY: &str = "2024-06-03T08:00:00Z";
const STAGING: usize = 1;
const PRODUCTION: usize = 2;
const ANN: usize = 0;

/// A world of one policy on everything, and its instants in seconds from when it began.
struct Table {
    world: World,
    begin: Timestamp,
}

impl Table {
    /// With so many resources in staging, and so many in production: r0 and so on, those of staging first.
    fn of((staging, production): (usize, usize), rules: Value) -> Self {
        Self::from(MONDAY, (staging, production), rules)
    }

    fn from(begin: &str, (staging, production): (usize, usize), rules: Value) -> Self {
        let rules: Vec<PolicyRule> = serde_json::from_value(rules).unwrap();
        let within = |n| if n < staging { [false, true, false] } else { [false, false, true] };
        let begin = begin.parse().unwrap();
        let world = World::of(&Plan {
            begins_at: begin,
            supersede: [false; 2],
            api_apart: false,
            resources: (0..staging + production).map(within).collect(),
            policies: vec![PolicyPlan { early: true, enabled: true, selector: "true".to_owned(), rules }],
            steps: Vec::new(),
        });
        Self { world, begin }
    }

    fn at(&mut self, second: i64) -> &mut Self {
        self.world.now = self.begin + TimeDelta::seconds(second);
        self
    }

    /// Something happens at that second.
    fn step(&mut self, second: i64, step: Step) -> &mut Self {
        self.at(second - 1).world.step(&step);
        self
    }

    /// `v1`, and so on.
    fn version(&mut self, second: i64) -> &mut Self {
        self.step(second, Step::Version { deployment: 0, depends: false, maker: true, backdated: None })
    }

    fn status(&mut self, second: i64, version: usize, status: VersionStatus) -> &mut Self {
        self.step(second, Step::Status { deployment: 0, version: version - 1, status })
    }

    /// `ann+20 bob-30`: Ann says yes to v1 in production at second 20, Bob says no at 30.
    fn words(&mut self, said: &str) -> &mut Self {
        for word in said.split_whitespace() {
            let split = word.find(['+', '-']).unwrap();
            let user = ["ann", "bob", "maker"].iter().position(|user| *user == &word[..split]).unwrap();
            let (yes, second) = (&word[split..=split] == "+", word[split + 1..].parse().unwrap());
            let word = Step::Word { user, deployment: 0, version: 0, environment: PRODUCTION, yes };
            self.step(second, word);
        }
        self
    }

    /// A job of a version on a target: asked for at the first second, over at the second.
    fn ran(&mut self, on: TargetKey, tag: &str, from: i64, to: i64, status: TerminalStatus) -> &mut Self {
        self.ran_because(on, tag, (from, Some(to)), status, None)
    }

    fn ran_because(
        &mut self,
        on: TargetKey,
        tag: &str,
        (from, to): (i64, Option<i64>),
        status: TerminalStatus,
        reason: Option<Reason>,
    ) -> &mut Self {
        let version = VersionId::of(on.deployment, tag);
        let (release, before) = self.scene(|scene| {
            let release = scene.release(&on, version);
            (release, scene.deploys(&on).into_iter().filter(|job| job.job.release == release).count())
        });
        let attempt = u32::try_from(before).unwrap() + 1;
        let job = JobRef {
            workspace: workspace(),
            id: JobId::of(release, attempt),
            target: on,
            version,
            tag: tag.to_owned(),
            release,
            attempt,
            deployment: "web".parse().unwrap(),
            environment: "any".parse().unwrap(),
            purpose: Purpose::Deploy,
            content: None,
        };
        let second = |second: i64| self.begin + TimeDelta::seconds(second);
        let end = to.map(|to| End { at: second(to), status, reason });
        let requested_at = second(from);
        self.world.jobs.push(Job { job, requested_at, end, cancelling: false });
        self
    }

    /// The places of a rollout are those of the resources.
    fn scene<T>(&self, ask: impl FnOnce(&Scene<'_>) -> T) -> T {
        let place = |target: &TargetKey, _: VersionId, _: PolicyId, _: u32| {
            (0..9_u32).find(|n| resource(*n as usize) == target.resource)
        };
        self.world.with_scene(&place, ask)
    }

    /// What the n-th rule says to a version on a target, at a second.
    fn says_by(&mut self, nth: u32, on: TargetKey, tag: &str, second: i64) -> String {
        self.at(second);
        let says = self.scene(|scene| {
            let version = scene.version(VersionId::of(on.deployment, tag)).unwrap();
            let asked = ask(scene, &on, version).into_iter();
            let mut of_rule =
                asked.filter(|asked| matches!(asked.gate, Gate::Rule(_, _, index) if index == nth));
            of_rule.next().unwrap().says
        });
        let second = |at: Timestamp| (at - self.begin).num_seconds();
        match says {
            Says::Allow { since, until } => {
                let since = since.map(|at| format!(" since {}", second(at))).unwrap_or_default();
                let until = until.map(|at| format!(" until {}", second(at))).unwrap_or_default();
                format!("allow{since}{until}")
            }
            Says::Deny => "deny".to_owned(),
            Says::Wait(None) => "wait".to_owned(),
            Says::Wait(Some(at)) => format!("wait {}", second(at)),
        }
    }

    fn says(&mut self, on: TargetKey, tag: &str, second: i64) -> String {
        self.says_by(0, on, tag, second)
    }

    /// `want v1 request v1#2 then 120`: what is desired on a target at a second, which job is asked for, and when time alone
    /// may bring another.
    fn choice(&mut self, on: TargetKey, second: i64) -> String {
        self.at(second);
        self.scene(|scene| {
            let answer = choose(scene, &on);
            let tag = |id| scene.version(id).map_or("?", |version| version.spec.tag.as_str());
            let mut said = format!("want {}", answer.desired.map_or("-", tag));
            if let Some((version, _, attempt)) = answer.request {
                said.push_str(&format!(" request {}#{attempt}", tag(version)));
            }
            for held in &answer.held {
                said.push_str(&format!(" held {}", tag(held.version)));
            }
            if let Some(then) = answer.then {
                said.push_str(&format!(" then {}", (then - self.begin).num_seconds()));
            }
            said
        })
    }
}

fn web(at: usize, on: usize) -> TargetKey {
    TargetKey { deployment: deployment(0), environment: environment(at), resource: resource(on) }
}

#[test]
fn people_say_yes_and_no() {
    let rule = |more: &str| format!(r#"[{{ "anyApproval": {{ "minApprovals": 2{more} }} }}]"#);
    let (any, not_own, expires, bobs) = (
        rule(""),
        rule(r#", "allowSelfApproval": false"#),
        rule(r#", "expiresAfterSeconds": 60"#),
        rule(r#", "approvers": "user.name != 'bob'""#),
    );
    for (rule, said, now, expected) in [
        (&any, "ann+20", 50, "wait"),
        (&any, "ann+20 bob+30", 50, "allow since 30"),
        (&any, "ann+20 bob+30 maker+40", 50, "allow since 30"),
        // A later word replaces the earlier, and one no is a veto.
        (&any, "ann+20 bob+30 ann-40", 50, "deny"),
        (&any, "ann-20 bob+30 ann+40", 50, "allow since 40"),
        (&not_own, "ann+20 maker+30", 50, "wait"),
        (&not_own, "ann+20 bob+21 maker-30", 50, "deny"),
        (&expires, "ann+20 bob+30", 79, "allow since 30 until 80"),
        (&expires, "ann+20 bob+30", 80, "wait"),
        (&expires, "ann+20 bob+30 maker+40", 85, "allow since 40 until 90"),
        (&expires, "ann+20 bob-30", 9000, "deny"),
        (&bobs, "ann+20 bob+30", 50, "wait"),
        (&bobs, "ann+20 maker+30 bob-40", 50, "allow since 30"),
    ] {
        let mut table = Table::of((0, 1), serde_json::from_str(rule).unwrap());
        let told = table.version(10).words(said).says(web(PRODUCTION, 0), "v1", now);
        assert_eq!(told, expected, "{rule} {said} at {now}");
    }
}

#[test]
fn a_yes_is_said_of_the_version_as_it_is_and_by_another_than_its_makers() {
    let rules = |own: bool| json!([{ "anyApproval": { "minApprovals": 1, "allowSelfApproval": own } }]);
    let edit = || Step::Edit { user: ANN, deployment: 0, version: 0 };
    for (own, before, after, expected) in [
        (true, "bob+20", "", "wait"),
        (true, "bob+20", "bob+40", "allow since 40"),
        (true, "", "ann+40", "allow since 40"),
        (false, "", "ann+40", "wait"),
        (false, "", "bob+40", "allow since 40"),
        (true, "bob-20", "ann+40", "deny"),
    ] {
        let mut table = Table::of((0, 1), rules(own));
        let told =
            table.version(10).words(before).step(30, edit()).words(after).says(web(PRODUCTION, 0), "v1", 50);
        assert_eq!(told, expected, "{own} {before} | {after}");
    }
    let nobodys = || Step::Version { deployment: 0, depends: false, maker: false, backdated: None };
    for (own, expected) in [(true, "allow since 20"), (false, "deny")] {
        let told = Table::of((0, 1), rules(own)).step(10, nobodys()).words("bob+20").says(
            web(PRODUCTION, 0),
            "v1",
            50,
        );
        assert_eq!(told, expected);
    }
}

#[test]
fn what_is_older_than_the_policy_is_grandfathered_but_not_by_its_own_word() {
    let rules = || json!([{ "anyApproval": { "minApprovals": 1 } }]);
    let write = || Step::Policy { nth: 0, enabled: true };
    let backdated = || Step::Version { deployment: 0, depends: false, maker: true, backdated: Some(3600) };
    let delete = |table: &mut Table| assert!(table.world.delete(policy(0).0));
    let mut older = Table::of((0, 1), rules());
    delete(&mut older);
    assert_eq!(older.version(10).step(20, write()).says(web(PRODUCTION, 0), "v1", 50), "allow since 10");
    let edit = Step::Edit { user: ANN, deployment: 0, version: 0 };
    assert_eq!(older.step(30, edit).says(web(PRODUCTION, 0), "v1", 50), "wait");
    assert_eq!(Table::of((0, 1), rules()).step(10, backdated()).says(web(PRODUCTION, 0), "v1", 50), "wait");
}

#[test]
fn another_environment_comes_first() {
    let rule = |more: &str| {
        let on = "environment.name == 'staging'";
        format!(r#"[{{ "environmentProgression": {{ "dependsOnEnvironmentSelector": "{on}"{more} }} }}]"#)
    };
    let share = |share: u32| rule(&format!(r#", "minimumSuccessPercentage": {share}"#));
    let (soak, age) = (rule(r#", "minimumSoakTimeMinutes": 1"#), rule(r#", "maximumAgeHours": 1"#));
    let ends: [&[i64]; 4] = [&[], &[100], &[100, 200], &[100, 200, 300]];
    for (staging, rule, ended, now, expected) in [
        (3, rule(""), 2, 400, "wait"),
        (3, rule(""), 3, 400, "allow since 300"),
        // 34 % of three are two.
        (3, share(34), 1, 400, "wait"),
        (3, share(34), 2, 400, "allow since 200"),
        (3, share(33), 1, 400, "allow since 100"),
        (1, soak.clone(), 1, 159, "wait 160"),
        (1, soak, 1, 160, "allow since 160"),
        (1, age.clone(), 1, 3699, "allow since 100 until 3700"),
        (1, age.clone(), 1, 3700, "deny"),
        (2, age, 1, 3700, "wait"),
        (0, rule(""), 0, 400, "allow since 10"),
    ] {
        let mut table = Table::of((staging, 1), serde_json::from_str(&rule).unwrap());
        table.version(10);
        for (on, end) in ends[ended].iter().enumerate() {
            table.ran(web(STAGING, on), "v1", end - 50, *end, TerminalStatus::Successful);
        }
        let told = table.says(web(PRODUCTION, staging), "v1", now);
        assert_eq!(told, expected, "{rule} {ended} of {staging} at {now}");
    }
    let mut nowhere = Table::of((1, 1), serde_json::from_str(&rule("")).unwrap());
    assert_eq!(
        nowhere.version(10).says(web(STAGING, 0), "v1", 50),
        "deny",
        "its own environment does not count"
    );
}

#[test]
fn windows_open_and_close() {
    let rule = |hour: u32, minute: u32, zone: &str, allow: bool| {
        let rrule = format!("FREQ=DAILY;BYHOUR={hour};BYMINUTE={minute};BYSECOND=0");
        json!([{ "deploymentWindow": { "rrule": rrule, "durationMinutes": 30, "timezone": zone, "allowWindow": allow } }])
    };
    let nine = |allow| rule(9, 0, "UTC", allow);
    let (spring, autumn) = ("2024-03-30T20:00:00Z", "2024-10-26T18:00:00Z");
    for (begin, rule, has_run, now, expected) in [
        (MONDAY, nine(true), true, 30, "wait 3600"),
        (MONDAY, nine(true), true, 3600, "allow until 5400"),
        (MONDAY, nine(true), true, 5400, "wait 90000"),
        (MONDAY, nine(true), false, 30, "allow"),
        (MONDAY, nine(false), true, 30, "allow until 3600"),
        (MONDAY, nine(false), true, 3600, "wait 5400"),
        // 02:30 does not exist: it is 03:30, half past one in UTC. Where it exists twice the first counts.
        (spring, rule(2, 30, "Europe/Berlin", true), true, 30, "wait 19800"),
        (autumn, rule(2, 30, "Europe/Berlin", true), true, 30, "wait 23400"),
    ] {
        let mut table = Table::from(begin, (0, 1), rule.clone());
        table.version(10);
        if has_run {
            table.ran(web(PRODUCTION, 0), "v1", 10, 20, TerminalStatus::Successful);
        }
        let told = table.version(25).says(web(PRODUCTION, 0), "v2", now);
        assert_eq!(told, expected, "{rule} at {now} from {begin}");
    }
}

#[test]
fn a_target_rests_from_what_touched_it() {
    use TerminalStatus::{Cancelled, Failure, Successful};
    let here = web(PRODUCTION, 0);
    for (end, tag, now, expected) in [
        (Some(Successful), "v2", 150, "wait 700"),
        (Some(Successful), "v2", 700, "allow since 700"),
        (Some(Failure), "v2", 150, "wait 700"),
        (Some(Cancelled), "v2", 150, "allow"),
        (Some(Successful), "v1", 150, "allow"),
        (None, "v2", 150, "wait"),
        (None, "v1", 150, "allow"),
    ] {
        let mut table = Table::of((0, 1), json!([{ "versionCooldown": { "intervalSeconds": 600 } }]));
        table.version(10).version(20);
        table.ran_because(here, "v1", (50, end.map(|_| 100)), end.unwrap_or(Successful), None);
        assert_eq!(table.says(here, tag, now), expected, "{end:?} {tag} at {now}");
    }
}

#[test]
fn a_rollout_gives_turns_and_failures_pause_it() {
    let rule = |kind: &str| json!([{ "gradualRollout": { "rolloutType": kind, "timeScaleInterval": 60 } }]);
    for (kind, turns) in [("linear", [10, 70, 130]), ("linear-normalized", [10, 30, 50])] {
        let mut table = Table::of((0, 3), rule(kind));
        table.version(10);
        for (n, turn) in turns.into_iter().enumerate() {
            let here = web(PRODUCTION, n);
            assert_eq!(table.says(here, "v1", turn), "allow", "{kind} {n}");
            if turn > 10 {
                assert_eq!(table.says(here, "v1", turn - 1), format!("wait {turn}"), "{kind} {n}");
            }
        }
    }
    let control = |action| Step::Control { deployment: 0, version: 0, environment: PRODUCTION, action };
    let mut table = Table::of((0, 3), rule("linear"));
    table.version(10).ran(web(PRODUCTION, 0), "v1", 10, 60, TerminalStatus::Failure);
    assert_eq!(table.says(web(PRODUCTION, 1), "v1", 100), "wait");
    assert_eq!(table.says(web(PRODUCTION, 0), "v1", 100), "allow", "what comes before the failure goes on");
    assert_eq!(table.step(110, control(RolloutAction::Resume)).says(web(PRODUCTION, 1), "v1", 120), "allow");
    assert_eq!(table.step(130, control(RolloutAction::Pause)).says(web(PRODUCTION, 1), "v1", 140), "wait");
}

#[test]
fn a_skip_is_of_one_rule_of_the_policy_as_it_is() {
    let approvals = |n: usize| json!(vec![json!({ "anyApproval": { "minApprovals": 1 } }); n]);
    let skip = |indexed, rule, expires| Step::Skip {
        policy: 0,
        rule,
        indexed,
        version: 0,
        environment: None,
        resource: None,
        expires,
    };
    let write = || Step::Policy { nth: 0, enabled: true };
    let here = web(PRODUCTION, 0);
    let mut one = Table::of((0, 1), approvals(1));
    assert_eq!(
        one.version(10).step(20, skip(false, 0, Some(60))).says(here, "v1", 50),
        "allow since 20 until 80"
    );
    assert_eq!(one.says(here, "v1", 80), "wait");
    let mut two = Table::of((0, 1), approvals(2));
    assert_eq!(
        two.version(10).step(20, skip(false, 0, None)).says(here, "v1", 50),
        "wait",
        "which is meant?"
    );
    assert_eq!(two.step(30, skip(true, 1, None)).says(here, "v1", 50), "wait");
    assert_eq!(two.says_by(1, here, "v1", 50), "allow since 30");
    assert_eq!(two.step(60, write()).says_by(1, here, "v1", 70), "wait", "the policy is another one");
    assert_eq!(two.step(80, skip(true, 1, None)).says_by(1, here, "v1", 90), "allow since 80");
}

#[test]
fn which_version_is_chosen() {
    let not = |tag: &str| json!([{ "versionSelector": { "selector": format!("version.tag != '{tag}'") } }]);
    let here = web(PRODUCTION, 0);
    let runs = |table: &mut Table, tag: &str| _ = table.ran(here, tag, 30, 40, TerminalStatus::Successful);
    let mut table = Table::of((0, 1), not("v2"));
    table.version(10).version(20);
    assert_eq!(table.choice(here, 50), "want v1 request v1#1", "a blocked newer one holds nothing back");
    runs(&mut table, "v2");
    assert_eq!(table.choice(here, 50), "want v2", "what runs is not replaced by an older one");
    table.status(60, 2, VersionStatus::Rejected);
    assert_eq!(table.choice(here, 70), "want v1 request v1#1", "unless it is rejected");

    let mut table = Table::of((0, 1), not("v3"));
    table.version(10).version(20);
    runs(&mut table, "v2");
    let pin = Step::Pin { deployment: 0, version: 0, environment: None, resource: None };
    assert_eq!(table.step(50, pin).choice(here, 60), "want v1 request v1#1", "unless another one is pinned");
    table.version(70);
    assert_eq!(table.step(80, Step::Unpin { nth: 0 }).choice(here, 90), "want v2", "nothing newer passes");
    table.step(100, Step::Redeploy { target: 0, version: None });
    assert_eq!(table.choice(here, 110), "want v2 request v2#2", "once more");
}

#[test]
fn what_failed_is_tried_again() {
    use TerminalStatus::{Cancelled, Failure, Successful};
    let rule = |strategy: &str| {
        let more = json!({ "maxRetries": 2, "backoffSeconds": 20, "backoffStrategy": strategy, "maxBackoffSeconds": 30 });
        json!([{ "retry": more }])
    };
    let here = web(PRODUCTION, 0);
    type Ends<'a> = &'a [(i64, TerminalStatus)];
    let rows: [(&str, Ends<'_>, i64, &str); 7] = [
        ("linear", &[(100, Failure)], 119, "want v1 then 120"),
        ("linear", &[(100, Failure)], 120, "want v1 request v1#2"),
        ("linear", &[(100, Failure), (200, Failure)], 219, "want v1 then 220"),
        ("exponential", &[(100, Failure), (200, Failure)], 210, "want v1 then 230"),
        ("linear", &[(100, Failure), (200, Failure), (300, Failure)], 999, "want v1"),
        ("linear", &[(100, Failure), (200, Successful)], 999, "want v1"),
        ("linear", &[(100, Cancelled)], 999, "want v1"),
    ];
    for (strategy, ends, now, expected) in rows {
        let mut table = Table::of((0, 1), rule(strategy));
        table.version(10);
        for (end, status) in ends {
            let reason = (*status == Cancelled).then_some(Reason::CancelledByUser);
            table.ran_because(here, "v1", (end - 10, Some(*end)), *status, reason);
        }
        assert_eq!(table.choice(here, now), expected, "{strategy} {ends:?} at {now}");
    }
}

#[test]
fn what_failed_makes_way_for_what_ran() {
    use TerminalStatus::{Failure, Successful};
    let here = web(PRODUCTION, 0);
    let failed = || {
        let mut table = Table::of((0, 1), json!([{ "rollback": {} }]));
        table.version(10).version(20);
        table.ran(here, "v1", 30, 40, Successful).ran(here, "v2", 50, 60, Failure);
        table
    };
    assert_eq!(failed().choice(here, 70), "want v1 request v1#2 held v2");
    let redeploy = Step::Redeploy { target: 0, version: Some(1) };
    assert_eq!(failed().step(70, redeploy).choice(here, 80), "want v2 request v2#2");
    let edit = Step::Edit { user: ANN, deployment: 0, version: 0 };
    assert_eq!(
        failed().step(70, edit).choice(here, 80),
        "want v1 held v2",
        "what was changed since ran nowhere"
    );
    assert_eq!(failed().version(70).choice(here, 80), "want v3 request v3#1 held v2", "a newer one passes");
}

#[test]
fn a_freeze_lasts_until_the_latest_of_those_that_are_on_ends() {
    let freeze = |slot, from, lasts| {
        let selector = "environment.name == 'production'".to_owned();
        Step::Freeze { slot, selector, from, lasts }
    };
    let here = web(PRODUCTION, 0);
    let mut table = Table::of((0, 1), json!([]));
    table.version(10).step(20, freeze(0, None, Some(100))).step(30, freeze(1, Some(20), Some(200)));
    // r0 is in production alone: nothing but the freezes holds it.
    for (now, expected) in [(40, "120"), (50, "250"), (249, "250")] {
        let told = table.at(now).scene(|scene| super::freeze::judge(scene, &here));
        let Says::Wait(Some(until)) = told else { panic!("{told:?}") };
        assert_eq!((until - table.begin).num_seconds().to_string(), expected, "at {now}");
    }
    assert_eq!(table.choice(here, 250), "want v1 request v1#1");
}
