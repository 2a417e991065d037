//! The console in a real browser: the story of the demo by clicks, then every view in both themes on a desk and in a hand:
//! pictures below target/tmp/console, nothing complained of, fit for everybody.
#![allow(clippy::disallowed_methods, reason = "tests are a shell: they have a clock and an environment")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accessible;
mod browser;
mod many;
mod stage;
mod story;
mod views;

use browser::Browser;
use stage::Stage;

/// The program that runs one service.
pub(crate) const NODE: &str = env!("CARGO_BIN_EXE_node");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_follows_a_version_by_clicking() {
    let browser = Browser::start().await;
    let stage = Stage::set(&browser).await;
    story::signs_in_at_an_issuer(&stage).await;
    story::signs_in(&stage).await;
    story::goes_all_the_way(&stage).await;
    story::fails_on_staging(&stage).await;
    story::is_cancelled(&stage).await;
    story::is_put_right(&stage).await;
    story::is_frozen(&stage).await;
    story::comes_back_from_the_dead(&stage).await;
    story::runs_a_workflow(&stage).await;
    story::is_followed_by_keyboard(&stage).await;
    let complaints = stage.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    views::are_fit_for_everybody(&stage).await;
    many::are_told_in_words(&stage).await;
    many::are_counted(&stage).await;
    browser.close().await;
}
