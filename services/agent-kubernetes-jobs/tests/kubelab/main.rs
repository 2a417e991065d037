//! The agent against a real Kubernetes API server and Job controller, which `.ci/kubelab` builds:
//! `CTRLPLANE_KUBELAB=$(.ci/kubelab) cargo test -p agent-kubernetes-jobs --features kubelab --test kubelab`.
//! One lab serves all scenarios, each in a namespace of its own and as the service account of our RBAC manifest.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test has no supervisor, and a panic is its answer"
)]

mod conditions;
mod outage;
mod places;
mod rig;
#[path = "../support/mod.rs"]
mod support;

use kubelab::KubeLab;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Several at once: most of their time is waiting for controllers.
macro_rules! scenarios {
    ($lab:expr, $($file:ident :: $case:ident),+ $(,)?) => {{
        let mut running = JoinSet::new();
        let mut names = std::collections::HashMap::new();
        $({
            let lab = Arc::clone(&$lab);
            let namespace = stringify!($case).replace('_', "-").chars().take(50).collect::<String>();
            let namespace = namespace.trim_end_matches('-').to_owned();
            let task = running.spawn(async move { $file::$case(rig::Rig::new(lab, &namespace).await).await });
            names.insert(task.id(), stringify!($case));
        })+
        let mut failed = Vec::new();
        while let Some(ended) = running.join_next_with_id().await {
            match ended {
                Ok((id, ())) => println!("kubelab: {} holds", names[&id].replace('_', " ")),
                Err(error) => failed.push(format!("{}: {error}", names[&error.id()].replace('_', " "))),
            }
        }
        failed
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_on_a_real_api_server() {
    let lab = Arc::new(KubeLab::start().await);
    let failed = scenarios! {
        lab,
        conditions::a_job_is_followed_from_its_start_to_complete,
        conditions::what_pods_wait_for_is_told,
        conditions::a_failure_tells_its_exit_code,
        conditions::a_pod_that_failed_is_replaced_and_the_job_goes_on,
        conditions::a_pod_failure_policy_fails_the_job,
        conditions::failed_indexes_fail_the_job,
        conditions::a_success_policy_completes_the_job,
        conditions::a_deadline_is_a_time_out,
        conditions::a_suspended_job_waits_for_a_person,
        conditions::a_cancelled_job_is_suspended_and_its_record_stays,
        conditions::a_forced_cancellation_deletes,
        conditions::a_job_runs_again_as_another_object,
        places::a_start_that_is_repeated_meets_the_first,
        places::a_job_of_somebody_else_is_left_alone,
        places::a_typo_is_refused_and_nothing_is_made,
        places::a_finished_job_is_deleted_by_its_ttl,
        places::without_its_role_an_agent_is_told_what_is_missing,
        places::there_are_three_ways_in,
        places::a_watch_tells_of_jobs_and_pods,
    };
    assert!(failed.is_empty(), "{failed:#?}");
    Arc::into_inner(lab).expect("every scenario is over").stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_killed_while_jobs_are_started() {
    outage::each_job_is_started_once_and_followed(KubeLab::start().await).await;
}
