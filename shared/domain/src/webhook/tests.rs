//! The account by its rules: what counts, what is asked for and when, and what it says of the webhook.

use super::*;
use chrono::TimeDelta;

const DAY: TimeDelta = TimeDelta::days(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn account() -> Account {
    let hook = Hook {
        platform: "github-app".parse().unwrap(),
        host: "api.github.com".to_owned(),
        scope: "app 1".to_owned(),
    };
    Account::begin(hook, Vec::new(), at(0), at(0))
}

fn attempt(id: u32, delivery: &str, seconds: i64, status: u16) -> Attempt {
    Attempt {
        id: id.to_string(),
        delivery: delivery.to_owned(),
        event: "workflow_run".to_owned(),
        at: at(seconds),
        answer: Answer::of_status(status),
        is_repeat: false,
    }
}

fn repeat(id: u32, delivery: &str, seconds: i64, status: u16) -> Attempt {
    Attempt { is_repeat: true, ..attempt(id, delivery, seconds, status) }
}

fn take_in(account: &mut Account, attempts: Vec<Attempt>) {
    account.take_in(attempts, |event| event == "workflow_run");
    let Counts { sent, accepted, lost, .. } = account.counts;
    assert_eq!(sent, accepted + lost + account.open() as u64, "{account:?}");
}

fn asked(account: &mut Account, seconds: i64) -> Vec<String> {
    let asked: Vec<String> =
        account.to_ask_for(at(seconds), 100).into_iter().map(|(delivery, _)| delivery).collect();
    for delivery in &asked {
        account.asked_for(delivery, at(seconds));
    }
    asked
}

#[test]
fn every_delivery_counts_once_however_often_the_log_is_read() {
    let mut account = account();
    let log = || vec![attempt(3, "c", 30, 0), attempt(2, "b", 20, 202), attempt(1, "a", 10, 202)];
    for _ in 0..3 {
        take_in(&mut account, log());
    }
    assert_eq!((account.counts.sent, account.counts.accepted, account.open()), (3, 2, 1));
    assert_eq!(account.read_from(at(40), DAY), at(0), "never before counting began");
    take_in(&mut account, vec![attempt(4, "d", 500, 202), attempt(5, "late", 470, 202)]);
    assert_eq!((account.counts.sent, account.read_from(at(510), DAY)), (5, at(440)));
    assert_eq!(account.read_from(at(500) + DAY, DAY), at(500), "the platform keeps no more");
}

#[test]
fn while_nobody_answers_one_is_asked_for_and_then_all() {
    let mut account = account();
    take_in(&mut account, vec![attempt(1, "a", 1, 0), attempt(2, "b", 2, 503), attempt(3, "c", 3, 0)]);
    assert_eq!(asked(&mut account, 10), ["a"]);
    take_in(&mut account, vec![repeat(4, "a", 11, 0)]);
    assert_eq!(
        asked(&mut account, 12),
        ["a"],
        "again at the next look: it finds out whether somebody is back"
    );
    take_in(&mut account, vec![repeat(5, "a", 13, 202)]);
    assert_eq!(asked(&mut account, 14), ["b", "c"]);
    assert_eq!(asked(&mut account, 15), [""; 0], "they are on their way");
    take_in(&mut account, vec![repeat(6, "b", 16, 202), repeat(7, "c", 16, 202)]);
    let Counts { sent, accepted, recovered, redelivered, lost } = account.counts;
    assert_eq!((sent, accepted, recovered, redelivered, lost), (3, 3, 3, 4, 0));
    assert_eq!(account.missing.len(), 0);
}

#[test]
fn what_is_refused_again_and_again_is_not_asked_for_for_ever() {
    let mut account = account();
    take_in(&mut account, vec![attempt(1, "bad", 1, 401), attempt(2, "good", 2, 202)]);
    assert_eq!(asked(&mut account, 10), ["bad"]);
    take_in(&mut account, vec![repeat(3, "bad", 11, 401)]);
    assert_eq!(asked(&mut account, 12), [""; 0], "not at once");
    assert_eq!(asked(&mut account, 41), ["bad"]);
    take_in(&mut account, vec![repeat(4, "bad", 42, 401)]);
    assert_eq!(asked(&mut account, 100_000), [""; 0], "never again");
    assert_eq!((account.open(), account.counts.lost, account.refused()), (0, 1, Some((401, 1))));
    // Somebody mends the secret and sends it again by hand.
    take_in(&mut account, vec![repeat(5, "bad", 100, 202)]);
    assert_eq!((account.counts.lost, account.counts.accepted, account.refused()), (0, 2, None));
}

#[test]
fn what_the_platform_does_not_keep_is_lost() {
    let mut account = account();
    take_in(&mut account, vec![attempt(1, "a", 1, 0), attempt(2, "b", 2, 0), attempt(3, "c", 90, 202)]);
    account.not_kept("a");
    account.not_kept("a");
    assert_eq!((account.open(), account.counts.lost), (1, 1));
    account.forget_before(at(50));
    assert_eq!((account.missing.len(), account.counts.lost), (0, 2));
}

#[test]
fn a_repeat_of_what_we_have_is_no_new_event() {
    let mut account = account();
    take_in(&mut account, vec![attempt(1, "a", 1, 202), repeat(2, "a", 2, 202), repeat(3, "older", 3, 500)]);
    assert_eq!((account.counts.sent, account.counts.accepted, account.open()), (1, 1, 0));
}

#[test]
fn a_webhook_is_relied_on_while_nothing_is_missing_and_what_we_read_comes() {
    let mut account = account();
    assert_eq!(account.health(at(10)), Health::Unknown, "nobody has looked");
    account.looked_at = Some(at(10));
    assert_eq!(account.health(at(10)), Health::Unknown, "nothing was ever sent");
    let push = Attempt { event: "push".to_owned(), ..attempt(1, "push", 5, 202) };
    take_in(&mut account, vec![push]);
    assert_eq!(account.health(at(10)), Health::Unknown, "not subscribed to what we read, it seems");
    take_in(&mut account, vec![attempt(2, "a", 6, 202)]);
    assert_eq!(account.health(at(10)), Health::Arriving);
    assert_eq!(account.health(at(10) + TimeDelta::minutes(15)), Health::Unknown, "nobody looks any more");
    take_in(&mut account, vec![attempt(3, "b", 7, 0)]);
    assert_eq!(account.health(at(10)), Health::Failing);
    take_in(&mut account, vec![repeat(4, "b", 8, 202)]);
    assert_eq!(account.health(at(10)), Health::Arriving);
    account.unread = Some(Unread { since: at(0), page: "2".to_owned() });
    assert_eq!(account.health(at(10)), Health::Unknown, "nobody knows what stands in the rest of the log");
    account.unread = None;
    account.trouble = Some(Trouble { kind: TroubleKind::Refused, message: "403".to_owned(), since: at(9) });
    assert_eq!(account.health(at(10)), Health::Unknown);
}

#[test]
fn answers_are_sorted_by_what_is_done_next() {
    for (status, answer) in [
        (200, Answer::Accepted),
        (202, Answer::Accepted),
        (301, Answer::Unanswered { status: Some(301) }),
        (401, Answer::Refused { status: 401 }),
        (413, Answer::Refused { status: 413 }),
        (408, Answer::Unanswered { status: Some(408) }),
        (429, Answer::Unanswered { status: Some(429) }),
        (503, Answer::Unanswered { status: Some(503) }),
        (0, Answer::Unanswered { status: None }),
    ] {
        assert_eq!(Answer::of_status(status), answer);
    }
}

#[test]
fn an_account_reads_back_and_its_key_is_made_of_tokens() {
    let mut account = account();
    take_in(&mut account, vec![attempt(1, "a", 1, 401), attempt(2, "b", 2, 202)]);
    let text = serde_json::to_string(&account).unwrap();
    assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
    let key = account.hook.key();
    assert!(key.starts_with("github-app.api-github-com."), "{key}");
    assert!(key.split('.').all(|token| token.parse::<Slug>().is_ok()), "{key}");
}
