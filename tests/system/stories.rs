//! Scenarios, as text stories in `tests/stories`.

use crate::NODE;
use std::collections::BTreeSet;
use std::path::Path;
use system_tests::{
    LIMITED, Options, System, impatient, recovering, superseding, tell, undeclared_input, unrenderable,
    without_key, without_workflow,
};

macro_rules! stories {
    ($($name:ident: $options:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mut system = System::start($options).await;
                tell(&mut system, include_str!(concat!("../stories/", stringify!($name), ".story"))).await;
                assert!(system.crashes.is_empty(), "{:?}\n{}", system.crashes, system.logs());
            }
        )+

        #[test]
        fn every_story_is_told() {
            let told: BTreeSet<String> = [$(concat!(stringify!($name), ".story").to_owned()),+].into();
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stories");
            let written: BTreeSet<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".story"))
                .collect();
            assert_eq!(told, written);
        }
    };
}

stories! {
    push_to_production: Options::new(NODE);
    a_failure_stops_at_staging: Options::new(NODE);
    cancel_a_run: Options::new(NODE);
    retry_a_failed_run: Options::new(NODE);
    a_failure_is_retried_and_rolled_back: Options { catalog: recovering(), ..Options::new(NODE) };
    a_freeze_holds_a_retry: Options::new(NODE);
    a_freeze_stops_production: Options::new(NODE);
    a_newer_version_overtakes_a_waiting_one: Options::new(NODE);
    cancel_a_job_that_waits: Options { catalog: LIMITED.to_owned(), ..Options::new(NODE) };
    one_slot_three_jobs: Options { catalog: LIMITED.to_owned(), ..Options::new(NODE) };
    a_newer_version_supersedes_a_running_one: Options { catalog: superseding(), ..Options::new(NODE) };
    a_run_takes_too_long: Options { catalog: impatient(), ..Options::new(NODE) };
    an_answer_is_lost: Options::new(NODE);
    github_names_no_run: Options { names_runs: false, ..Options::new(NODE) };
    webhooks_stop: Options::new(NODE);
    the_workflow_is_missing: Options { catalog: without_workflow(), ..Options::new(NODE) };
    the_key_is_missing: Options { catalog: without_key(), ..Options::new(NODE) };
    an_input_is_refused: Options { catalog: undeclared_input(), ..Options::new(NODE) };
    the_config_cannot_be_rendered: Options { catalog: unrenderable(), ..Options::new(NODE) };
}
