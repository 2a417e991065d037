//! What is seen, and what is said about it.

use super::agents::{budget, webhook};
use super::clocks;
use super::jobs::{self, Jobs, judge as judge_jobs};
use super::known::KnownAccount;
use super::system::{Queue, judge};
use super::{Check, Outcome};
use bus::ConsumerState;
use domain::Timestamp;
use domain::budget::{BudgetRecord, SharedBudget};
use domain::entity::{JobAgent, Record};
use domain::job::{JobStatus, JobView};
use domain::webhook::{Account, Answer, Attempt, Hook, Trouble, TroubleKind, Unread};
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn account(statuses: &[u16]) -> Account {
    let hook = Hook {
        platform: "github-app".parse().unwrap(),
        host: "api.github.com".to_owned(),
        scope: "app 1".to_owned(),
    };
    let mut account = Account::begin(hook, Vec::new(), at(-100), at(0));
    let attempts = statuses.iter().enumerate().map(|(n, status)| Attempt {
        id: n.to_string(),
        delivery: format!("d{n}"),
        event: "workflow_run".to_owned(),
        at: at(-50 + n as i64),
        answer: Answer::of_status(*status),
        is_repeat: false,
    });
    account.take_in(attempts.collect(), |_| true);
    account.looked_at = Some(at(0));
    account
}

#[track_caller]
fn says(check: &Check, status: Outcome, words: &[&str]) {
    let text = format!("{} {}", check.message, check.todo);
    assert_eq!(check.status, status, "{text}");
    assert!(words.iter().all(|words| text.contains(words)), "{text}");
    assert_eq!(
        check.status == Outcome::Ok,
        check.todo.is_empty(),
        "whatever is not fine says what to do: {check:?}"
    );
}

#[test]
fn a_webhook_is_told_by_its_account() {
    says(&webhook("a", &account(&[202, 202]), at(1)), Outcome::Ok, &["sent 2, accepted 2, missing 0"]);
    says(&webhook("a", &account(&[202, 0]), at(1)), Outcome::Warn, &["missing 1", "asked for again"]);
    says(&webhook("a", &account(&[]), at(1)), Outcome::Warn, &["nothing yet", "subscribed"]);
    let unattended = webhook("a", &account(&[202]), at(16 * 60));
    says(&unattended, Outcome::Warn, &["nobody has looked", "github-app"]);

    let mut refused = account(&[401]);
    let again = |n: i64| Attempt {
        id: format!("again {n}"),
        delivery: "d0".to_owned(),
        event: "workflow_run".to_owned(),
        at: at(-40 + n),
        answer: Answer::of_status(401),
        is_repeat: true,
    };
    refused.take_in(vec![again(1), again(2)], |_| true);
    says(&webhook("a", &refused, at(1)), Outcome::Fail, &["1 were refused by us with 401", "secretRefs"]);

    let mut behind = account(&[202]);
    behind.unread = Some(Unread { since: at(-60), page: "7".to_owned() });
    says(
        &webhook("a", &behind, at(1)),
        Outcome::Warn,
        &["older deliveries are not counted yet", "bit by bit"],
    );

    let mut troubled = account(&[202]);
    for (kind, outcome) in [(TroubleKind::Refused, Outcome::Fail), (TroubleKind::Passing, Outcome::Warn)] {
        troubled.trouble = Some(Trouble { kind, message: "GitHub answered 403".to_owned(), since: at(0) });
        says(&webhook("a", &troubled, at(1)), outcome, &["GitHub answered 403"]);
    }
}

#[test]
fn a_budget_is_told_by_what_is_left() {
    let of = |known: BudgetRecord| {
        let budget_of = SharedBudget {
            platform: "github-app".parse().unwrap(),
            host: "api.github.com".to_owned(),
            credential: "app 1 on acme".to_owned(),
            known,
        };
        budget(&budget_of, at(0))
    };
    let known = BudgetRecord {
        limit: Some(5_000),
        remaining: Some(4_000),
        reset_at: Some(at(60)),
        ..BudgetRecord::default()
    };
    says(&of(known), Outcome::Ok, &["4000 of 5000 calls left"]);
    says(&of(BudgetRecord { remaining: Some(499), ..known }), Outcome::Warn, &["499 of 5000"]);
    says(&of(BudgetRecord { remaining: Some(0), ..known }), Outcome::Fail, &["0 of 5000", "UTC"]);
    let past = BudgetRecord { remaining: Some(0), reset_at: Some(at(-1)), ..known };
    says(&of(past), Outcome::Ok, &["5000 calls left"]);
    says(&of(BudgetRecord { blocked_until: Some(at(9)), ..known }), Outcome::Warn, &["a pause until"]);
    says(&of(BudgetRecord::default()), Outcome::Ok, &["no limit"]);
}

#[test]
fn a_service_is_told_by_its_queues() {
    let queue = |state: Option<(u64, u64, u64)>| Queue {
        name: "q".to_owned(),
        needed: true,
        state: state.map(|(pending, in_hand, asking)| ConsumerState { pending, in_hand, asking }),
    };
    says(&judge("dispatcher", &[queue(Some((0, 0, 1)))]), Outcome::Ok, &["works"]);
    says(&judge("dispatcher", &[queue(Some((3, 64, 0)))]), Outcome::Ok, &["3 messages wait"]);
    says(&judge("dispatcher", &[queue(Some((2_000, 64, 0)))]), Outcome::Warn, &["2000", "more replicas"]);
    let stopped = judge("dispatcher", &[queue(Some((0, 0, 1))), queue(Some((7, 0, 0)))]);
    says(&stopped, Outcome::Fail, &["nobody works", "7 messages wait", "start dispatcher"]);
    says(&judge("dispatcher", &[queue(None)]), Outcome::Fail, &["never ran"]);
    let unneeded = Queue { needed: false, ..queue(None) };
    says(&judge("agent-x", &[unneeded]), Outcome::Ok, &["not in use"]);
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let known = |stored: i64| KnownAccount { account: account(&[202]), stored_at: at(stored) };
    assert_eq!(clocks::check(&[]), None);
    says(&clocks::check(&[known(1)]).unwrap(), Outcome::Ok, &[]);
    says(&clocks::check(&[known(1), known(-20)]).unwrap(), Outcome::Fail, &["20 s ahead", "NTP"]);
    says(&clocks::check(&[known(1), known(500)]).unwrap(), Outcome::Warn, &["500 s behind", "NTP"]);
}

fn agent(platform: &str) -> Record<JobAgent> {
    let meta = json!({ "id": domain::id::derive(&["agent"]), "workspace": "acme", "name": "a", "createdAt": at(0), "updatedAt": at(0) });
    let spec = json!({ "type": platform, "config": {}, "maxConcurrent": 2 });
    serde_json::from_value(json!({ "meta": meta, "spec": spec })).unwrap()
}

fn job(status: JobStatus, since: i64) -> JobView {
    let ended = status.is_terminal().then(|| at(since));
    serde_json::from_value(json!({
        "id": domain::id::derive(&["job"]), "workspace": "acme", "status": status, "attempt": 1,
        "message": "host `argo.example` is not allowed", "createdAt": at(-900), "updatedAt": at(since),
        "completedAt": ended, "sequence": 1,
    }))
    .unwrap()
}

#[test]
fn an_agent_whose_jobs_are_refused_is_not_fine() {
    let said = |jobs: &[JobView]| {
        let jobs = Jobs { ended: jobs.to_vec(), ..Jobs::default() };
        judge_jobs("agent/acme/a", &agent("argo-workflow"), &jobs, at(300))
    };
    let (bad, unpermitted) = (JobStatus::InvalidJobAgent, JobStatus::InvalidIntegration);
    let all = said(&[job(bad, 20), job(bad, 10)]).unwrap();
    says(
        &all,
        Outcome::Fail,
        &["last 2 jobs 2 ended invalid_job_agent", "argo.example", "4 min ago", "`hosts`"],
    );
    let last = said(&[job(JobStatus::Successful, 10), job(unpermitted, 20)]).unwrap();
    says(&last, Outcome::Warn, &["last 2 jobs 1 ended invalid_integration", "secret"]);
    assert_eq!(said(&[job(bad, 10), job(JobStatus::Failure, 20)]), None, "a later one ran");
    assert_eq!(said(&[job(bad, -10)]), None, "the agent was changed since");
    assert_eq!(said(&[]), None);
}

#[test]
fn a_queue_that_nobody_works_is_not_fine() {
    let said = |jobs: Jobs| judge_jobs("agent/acme/a", &agent("http-pull"), &jobs, at(300));
    let waits = |count| vec![job(JobStatus::Pending, 0); count];
    let never = said(Jobs { unclaimed: waits(1), ..Jobs::default() }).unwrap();
    says(
        &never,
        Outcome::Warn,
        &["1 job waits", "5 min", "no puller has ever claimed one", "start a puller"],
    );
    assert!(!never.message.contains("slots"), "{never:?}");
    let full = said(Jobs { unclaimed: waits(2), ..Jobs::default() }).unwrap();
    says(&full, Outcome::Warn, &["2 jobs wait", "all of its 2 slots"]);
    let mut over = job(JobStatus::Successful, -60);
    over.external = serde_json::from_value(
        json!({ "platform": "http-pull", "host": "http-pull", "scope": "a", "id": "1", "attempt": 1 }),
    )
    .unwrap();
    let away = said(Jobs { unclaimed: waits(1), ended: vec![over], ..Jobs::default() }).unwrap();
    says(&away, Outcome::Warn, &["no puller works on any"]);
    assert_eq!(said(Jobs { unclaimed: waits(3), in_hand: 1, ..Jobs::default() }), None, "they are busy");
    assert_eq!(said(Jobs { unclaimed: vec![job(JobStatus::Pending, 290)], ..Jobs::default() }), None);
}

#[test]
fn what_is_fine_is_said_by_platform() {
    let said = |platform: &str| jobs::ways(&platform.parse().unwrap());
    assert!(said("github-app").contains("webhooks"));
    for (platform, word) in [
        ("http-pull", "pullers"),
        ("kubernetes-job", "cluster"),
        ("argo-workflow", "Argo"),
        ("verification", "measures"),
    ] {
        assert!(said(platform).contains(word) && !said(platform).contains("webhook"), "{platform}");
    }
}
