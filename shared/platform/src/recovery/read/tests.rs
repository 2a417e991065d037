//! A log of numbered pages, which breaks or is slow where it is told to.

use super::*;
use crate::recover::{AttemptsPage, Redelivered};
use chrono::TimeDelta;
use domain::token::Slug;
use domain::webhook::{Answer, Hook};
use serde_json::{Map, Value};
use std::sync::Mutex;

const PAGES: usize = 5;

/// One attempt a page, newest first, a minute apart; all of them missed.
struct Numbered {
    /// A page that is not answered.
    breaks_at: Mutex<Option<(usize, CallError)>>,
    /// Whether no page is ever answered.
    hangs: bool,
}

fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(10) + TimeDelta::minutes(minutes)
}

#[async_trait::async_trait]
impl Recover for Numbered {
    fn hook(&self, _: &Map<String, Value>) -> Result<Option<Hook>, CallError> {
        Ok(Some(hook()))
    }

    fn kept_for(&self) -> Duration {
        Duration::from_secs(86_400)
    }

    async fn attempts(
        &self,
        _: &HookAt<'_>,
        since: Timestamp,
        page: Option<&str>,
    ) -> Result<AttemptsPage, CallError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let number = page.map_or(Ok(0), str::parse::<usize>).expect("a number");
        let broken = self.breaks_at.lock().expect("no panic").clone();
        if let Some((_, error)) = broken.filter(|(at, _)| *at == number) {
            return Err(error);
        }
        let made = at(i64::try_from(PAGES - number).expect("small"));
        let attempt = Attempt {
            id: number.to_string(),
            delivery: format!("delivery {number}"),
            event: "push".to_owned(),
            at: made,
            answer: Answer::of_status(503),
            is_repeat: false,
        };
        let goes_on = number + 1 < PAGES && made - TimeDelta::minutes(1) >= since;
        let next = goes_on.then(|| (number + 1).to_string());
        Ok(if made >= since {
            AttemptsPage { attempts: vec![attempt], next }
        } else {
            AttemptsPage::default()
        })
    }

    async fn redeliver(&self, _: &HookAt<'_>, _: &str) -> Result<Redelivered, CallError> {
        Ok(Redelivered::Asked)
    }
}

fn hook() -> Hook {
    Hook {
        platform: Slug::of_name("github-app"),
        host: "api.github.com".to_owned(),
        scope: "app 1".to_owned(),
    }
}

fn account() -> Account {
    Account::begin(hook(), Vec::new(), at(0), at(0))
}

async fn look(recover: &Numbered, account: &mut Account) -> Result<(), CallError> {
    look_for(READ_FOR, recover, account).await
}

async fn look_for(read_for: Duration, recover: &Numbered, account: &mut Account) -> Result<(), CallError> {
    let (hook, workspace, config) = (hook(), Slug::of_name("acme"), Map::new());
    let call_deadline = if recover.hangs { Duration::from_millis(5) } else { Duration::from_secs(45) };
    let at_hook = HookAt { hook: &hook, workspace: &workspace, config: &config };
    let log = Log { recover, at: &at_hook, call_deadline, read_for };
    log.take_in(account, at(10), at(-1_000), |_| true).await
}

fn known(account: &Account) -> (u64, usize, Option<&str>) {
    (account.counts.sent, account.open(), account.unread.as_ref().map(|rest| rest.page.as_str()))
}

#[tokio::test]
async fn what_came_before_an_error_counts_and_the_next_look_goes_on_there() {
    let away = CallError::Transient("502".to_owned());
    let recover = Numbered { breaks_at: Mutex::new(Some((3, away.clone()))), hangs: false };
    let mut account = account();
    for _ in 0..2 {
        assert_eq!(look(&recover, &mut account).await, Err(away.clone()), "it is told");
        assert_eq!(known(&account), (3, 3, Some("3")));
    }
    *recover.breaks_at.lock().expect("no panic") = None;
    for _ in 0..2 {
        assert_eq!(look(&recover, &mut account).await, Ok(()));
        assert_eq!(known(&account), (5, 5, None), "each once");
    }
}

#[tokio::test]
async fn a_log_too_slow_for_one_look_is_read_in_several() {
    let recover = Numbered { breaks_at: Mutex::new(None), hangs: false };
    let mut account = account();
    // No time at all is one page of the rest and one of what is new.
    for (sent, rest) in [(1, Some("1")), (2, Some("2")), (3, Some("3")), (4, Some("4"))] {
        assert_eq!(look_for(Duration::ZERO, &recover, &mut account).await, Ok(()));
        assert_eq!(known(&account), (sent, usize::try_from(sent).expect("small"), rest));
    }
    assert_eq!(look(&recover, &mut account).await, Ok(()));
    assert_eq!(known(&account), (5, 5, None));
}

#[tokio::test]
async fn a_page_without_an_answer_breaks_only_itself() {
    let recover = Numbered { breaks_at: Mutex::new(None), hangs: true };
    let mut account = account();
    assert!(matches!(look(&recover, &mut account).await, Err(CallError::Transient(_))));
    assert_eq!((known(&account), account.looked_at), ((0, 0, None), None));
}

#[tokio::test]
async fn a_rest_whose_page_is_unknown_by_now_is_let_go_and_told() {
    let unknown = CallError::Invalid("no such cursor".to_owned());
    let recover =
        Numbered { breaks_at: Mutex::new(Some((3, CallError::Transient("502".to_owned())))), hangs: false };
    let mut account = account();
    assert!(look(&recover, &mut account).await.is_err());
    *recover.breaks_at.lock().expect("no panic") = Some((3, unknown.clone()));
    assert_eq!(look(&recover, &mut account).await, Err(unknown));
    assert_eq!(known(&account), (3, 3, None));
    assert_eq!(look(&recover, &mut account).await, Ok(()));
    assert_eq!(known(&account), (3, 3, None));
}
