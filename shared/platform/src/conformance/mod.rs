//! What every platform must do right, as one suite that the tests of each agent call with a stand-in of their platform and a
//! real bus. It knows the trait and the facts in the job log; nothing of how a platform is spoken to.
//!
//! Commands and webhooks are handed to the agent as the bus would, again and again until settled, and what it wants to wait
//! for passes on a clock that the suite moves: the suite itself never waits.

mod ending;
mod looking;
mod rig;
mod stage;
mod starting;
mod telling;

pub use rig::{Fault, Rig, RunIs, Webhook};
pub use stage::Stage;

use bus::Bus;
use bus::clock::Clock;

/// Runs every case, each with a stand-in of its own made by `make` for that clock. The bus must have the streams and buckets
/// of an agent.
///
/// # Panics
/// At the first case that does not hold; the line printed last names it.
pub async fn all<R: Rig>(bus: &Bus, make: impl AsyncFn(Clock) -> R) {
    macro_rules! cases {
        ($($file:ident :: $case:ident),+ $(,)?) => {$({
            println!("conformance: {}", stringify!($case).replace('_', " "));
            let (clock, hand) = Clock::movable();
            let stage = Stage::new(bus, make(clock.clone()).await, clock, hand);
            $file::$case(&stage).await;
            stage.no_secret_was_recorded().await;
        })+};
    }
    cases! {
        starting::a_job_is_started_once_however_often_it_is_asked_for,
        starting::a_crash_before_the_call_leads_to_one_run,
        starting::a_crash_after_the_call_leads_to_one_run,
        starting::an_answer_that_was_lost_is_looked_up_and_not_asked_for_again,
        starting::an_effect_that_comes_after_the_call_was_given_up_leads_to_one_run,
        starting::a_rate_limit_is_waited_out_and_costs_no_attempt,
        starting::a_refused_credential_ends_the_job_and_says_so,
        starting::a_refused_request_ends_the_job_and_says_so,
        starting::a_retry_after_a_refusal_whose_answer_was_lost_leads_to_one_run,
        starting::a_finished_job_runs_again_as_the_next_attempt_of_its_run,
        starting::a_repeat_whose_answer_was_lost_is_not_asked_for_again,
        starting::a_crash_before_a_repeat_does_not_take_the_old_attempt_for_the_new,
        looking::a_run_is_followed_to_its_end,
        looking::unknown_words_are_kept_and_change_nothing,
        looking::a_missing_run_is_believed_only_after_a_while,
        looking::a_lost_credential_does_not_end_a_running_job,
        ending::a_job_that_was_not_started_ends_without_a_call,
        ending::a_running_job_is_cancelled_and_ends_when_the_platform_says_so,
        ending::the_cancellation_of_a_finished_run_tells_how_it_ended,
        ending::a_run_that_nobody_recorded_is_found_and_cancelled,
        telling::a_webhook_is_news,
        telling::a_late_webhook_does_not_change_a_finished_job,
        telling::a_webhook_of_another_workspace_changes_nothing,
        telling::a_webhook_that_a_source_of_another_kind_let_in_changes_nothing,
        telling::a_webhook_faster_than_our_own_record_leads_to_one_run,
    }
}
