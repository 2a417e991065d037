//! What is seen, and what is said about it.

use super::agents::{budget, webhook};
use super::clocks;
use super::known::KnownAccount;
use super::system::{Queue, judge};
use super::{Check, Outcome};
use bus::ConsumerState;
use domain::Timestamp;
use domain::budget::{BudgetRecord, SharedBudget};
use domain::webhook::{Account, Answer, Attempt, Hook, Trouble, TroubleKind, Unread};

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
