//! Claims, leases and fences as a table of what may follow what.

use super::*;
use chrono::TimeDelta;
use domain::command::Verb;
use domain::id::{DeploymentId, EnvironmentId, JobAgentId, JobId, ReleaseId, ResourceId, VersionId};
use domain::job::{JobRef, SnapshotStatus};
use domain::target::TargetKey;
use uuid::Uuid;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + seconds)
}

fn command(after: u64) -> AgentCommand {
    let id = Uuid::nil();
    AgentCommand {
        verb: Verb::Trigger,
        job: JobRef {
            workspace: "acme".parse().expect("a slug"),
            id: JobId(id),
            target: TargetKey {
                deployment: DeploymentId(id),
                environment: EnvironmentId(id),
                resource: ResourceId(id),
            },
            version: VersionId(id),
            tag: "v1".to_owned(),
            release: ReleaseId(id),
            attempt: 1,
            deployment: "web".parse().expect("a slug"),
            environment: "prod".parse().expect("a slug"),
            purpose: Default::default(),
            content: None,
        },
        agent: JobAgentId(id),
        platform: "http-pull".parse().expect("a slug"),
        config: Default::default(),
        secrets: Default::default(),
        freezes_seen: 0,
        freeze_begins_at: None,
        after,
        rerun_of: None,
        force: false,
    }
}

fn waiting() -> Record {
    Record::queue(None, command(2), "runner".to_owned(), 1, at(3_600), at(0))
}

fn claimant(by: &str, id: Option<&str>) -> Claimant {
    Claimant { by: by.to_owned(), claim_id: id.map(str::to_owned), lease_seconds: 60 }
}

fn claimed() -> Record {
    let mut record = waiting();
    record.claim(claimant("one", Some("c1")), at(1)).expect("it waits");
    record
}

fn report(status: Reported, message: &str) -> Report {
    Report {
        status,
        message: Some(message.to_owned()),
        progress: None,
        external_id: None,
        url: None,
        links: Links::new(),
    }
}

const WORKING: Reported = Reported::Active(ActiveStatus::InProgress);
const DONE: Reported = Reported::Terminal(TerminalStatus::Successful);

#[test]
fn one_gets_it_and_the_same_claim_is_known_again() {
    let mut record = claimed();
    assert_eq!(record.claim(claimant("two", None), at(2)), Err(No::Taken { by: "one".to_owned() }));
    assert!(record.is_claimed_by(&claimant("one", Some("c1"))));
    assert!(
        !record.is_claimed_by(&claimant("one", None)) && !record.is_claimed_by(&claimant("one", Some("c2")))
    );
    assert_eq!(record.fence, 1);
}

#[test]
fn an_ended_claim_s_fence_opens_nothing() {
    let stale = |record: &Record| {
        let now = record.fence;
        for fence in [1, now + 1] {
            if fence == now {
                continue;
            }
            let mut record = record.clone();
            let expected = No::Stale { asked: fence, now };
            assert_eq!(record.renew(fence, None, at(9)), Err(expected.clone()));
            assert_eq!(record.report(fence, report(DONE, ""), at(9)), Err(expected.clone()));
            assert_eq!(record.release(fence, None, at(9)), Err(expected));
        }
    };
    let mut lost = claimed();
    assert!(lost.lose(3, at(100)));
    stale(&lost);
    lost.claim(claimant("two", None), at(101)).expect("it waits again");
    assert_eq!(lost.fence, 2);
    stale(&lost);
    let mut forced = claimed();
    assert!(forced.wish_end(true));
    stale(&forced);
    let mut withdrawn = claimed();
    assert!(withdrawn.withdraw());
    stale(&withdrawn);
    let queued_anew = Record::queue(Some(&claimed()), command(9), "runner".to_owned(), 2, at(3_600), at(50));
    assert_eq!(queued_anew.fence, 2);
    stale(&queued_anew);
}

#[test]
fn an_end_is_reported_once_and_stays() {
    let mut record = claimed();
    record.report(1, report(DONE, "fine"), at(2)).expect("it holds the job");
    let over = record.clone();
    record.report(1, report(DONE, "fine"), at(3)).expect("the same again");
    assert_eq!(record, over);
    let no = record.report(1, report(Reported::Terminal(TerminalStatus::Failure), ""), at(4));
    assert_eq!(no, Err(No::Over { status: "successful".to_owned() }));
    assert_eq!(record.renew(1, None, at(4)), Err(No::Over { status: "successful".to_owned() }));
    assert!(!record.lose(3, at(9_999)) && !record.wish_end(true) && !record.withdraw());
    assert_eq!(record, over);
}

#[test]
fn what_people_can_see_is_newer_each_time_and_repeats_are_not() {
    let mut record = claimed();
    let version = |record: &Record| record.snapshot().and_then(|seen| seen.order).map(|order| order.version);
    assert_eq!(waiting().snapshot(), None, "nothing before the first claim");
    assert_eq!(version(&record), Some(1));
    record.report(1, report(WORKING, "half"), at(2)).expect("it holds the job");
    record.report(1, report(WORKING, "half"), at(3)).expect("it holds the job");
    assert_eq!(version(&record), Some(2));
    record.lose(3, at(100));
    assert_eq!(version(&record), Some(3));
    let seen = record.snapshot().expect("it has begun");
    assert_eq!(
        (seen.status, seen.reason),
        (SnapshotStatus::Active(ActiveStatus::Queued), Some(Reason::Lost))
    );
}

#[test]
fn a_talkative_puller_makes_a_bounded_number_of_facts() {
    let mut record = claimed();
    for n in 0..10_000 {
        record.report(1, report(WORKING, &n.to_string()), at(2)).expect("it holds the job");
    }
    assert_eq!(record.version, 1 + i64::from(TOLD_MAX));
    record.report(1, report(DONE, "at last"), at(3)).expect("it holds the job");
    let seen = record.snapshot().expect("it is over");
    assert_eq!(
        (seen.order.map(|order| order.version), seen.message.as_deref()),
        (Some(202), Some("at last"))
    );
}

#[test]
fn a_job_comes_back_a_bounded_number_of_times() {
    let mut record = waiting();
    let mut times = 0;
    while !record.is_over() {
        record.claim(claimant("one", None), at(times)).expect("it waits");
        record.release(record.fence, None, at(times)).expect("it is held");
        times += 1;
    }
    assert_eq!(times, i64::from(RETURNS_MAX));
    let mut record = waiting();
    for _ in 0..3 {
        record.claim(claimant("one", None), at(0)).expect("it waits");
        record.lose(3, at(100));
    }
    assert!(matches!(
        record.stage,
        Stage::Over {
            status: TerminalStatus::ExternalRunNotFound,
            reason: Some(Reason::Lost),
            by_fence: None,
            ..
        }
    ));
}

#[test]
fn a_late_sign_of_life_counts_until_somebody_noticed() {
    let mut record = claimed();
    assert_eq!(record.renew(1, None, at(500)), Ok(at(560)));
    assert_eq!(record.renew(1, Some(5), at(501)), Ok(at(560)), "a lease never becomes shorter than it was");
}

#[test]
fn giving_back_twice_is_once() {
    let mut record = claimed();
    assert_eq!(record.release(1, Some("no disk"), at(2)), Ok(true));
    let before = record.clone();
    assert_eq!(record.release(1, Some("no disk"), at(3)), Ok(false));
    assert_eq!(record, before);
}

#[test]
fn a_wish_ends_what_nobody_has_and_is_told_to_whoever_has_it() {
    let mut record = waiting();
    assert!(record.wish_end(false) && record.is_over());
    let mut record = claimed();
    assert!(record.wish_end(false) && record.cancelling && !record.is_over());
    assert!(!record.wish_end(false), "told before");
    assert!(record.lose(3, at(100)));
    assert!(matches!(record.stage, Stage::Over { status: TerminalStatus::Cancelled, .. }));
}

#[test]
fn a_record_reads_back_what_it_writes() {
    for record in [waiting(), claimed()] {
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("reads"), record);
    }
}
