//! How random worlds are made. Times are few and small, so that they meet.

use super::plan::{Plan, PolicyPlan};
use super::step::Step;
use chrono::{DateTime, Utc};
use domain::Timestamp;
use domain::entity::*;
use domain::job::{Reason, TerminalStatus};
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn plan(steps: usize) -> impl Strategy<Value = Plan> {
    let resource = select(vec![
        [true, false, false],
        [false, true, false],
        [false, false, true],
        [false, true, true],
        [false, false, true],
        [true, true, true],
    ]);
    (
        select(begins()),
        any::<[bool; 2]>(),
        prop::bool::weighted(0.2),
        prop::collection::vec(resource, 1..6),
        prop::collection::vec(policy(), 0..6),
        prop::collection::vec(prop_oneof![19 => step().prop_map(|step| vec![step]), 1 => round()], 4..steps),
    )
        .prop_map(|(begins_at, supersede, api_apart, resources, policies, steps)| Plan {
            begins_at,
            supersede,
            api_apart,
            resources,
            policies,
            steps: steps.concat(),
        })
}

/// An ordinary day, and the evenings before Europe's clocks change.
fn begins() -> Vec<Timestamp> {
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc);
    vec![at("2024-06-03T08:00:00Z"), at("2024-03-30T20:00:00Z"), at("2024-10-26T18:00:00Z")]
}

fn place() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("true"),
        4 => Just("environment.name == 'production'"),
        2 => Just("environment.name != 'dev'"),
        2 => Just("resource.identifier != 'r0'"),
        2 => Just("deployment.name == 'web'"),
        1 => Just("deployment.name == 'web' && environment.name == 'staging'"),
    ]
    .prop_map(str::to_owned)
}

pub(crate) fn policy() -> impl Strategy<Value = PolicyPlan> {
    let selector = prop_oneof![30 => place(), 1 => Just("environment.nothing.here == 1".to_owned())];
    (prop::bool::weighted(0.8), prop::bool::weighted(0.9), selector, prop::collection::vec(rule(), 1..4))
        .prop_map(|(early, enabled, selector, rules)| PolicyPlan { early, enabled, selector, rules })
}

pub(crate) fn rule() -> BoxedStrategy<PolicyRule> {
    prop_oneof![4 => gate(), 6 => afterwards()].boxed()
}

pub(crate) fn afterwards() -> BoxedStrategy<PolicyRule> {
    prop_oneof![retry(), rollback(), Just(verification())].boxed()
}

pub(crate) fn gate() -> BoxedStrategy<PolicyRule> {
    prop_oneof![approvals(), progression(), rollout(), window(), cooldown(), selector(), dependency()].boxed()
}

fn approvals() -> impl Strategy<Value = PolicyRule> {
    let approvers =
        select(vec!["user.name != 'bob'", "user.name == 'maker'", "user.role == 'admin'", "true"]);
    (1u32..3, weighted(0.3, approvers), any::<bool>(), weighted(0.4, select(vec![60u32, 3600]))).prop_map(
        |(min_approvals, approvers, allow_self_approval, expires_after_seconds)| {
            PolicyRule::AnyApproval(AnyApproval {
                min_approvals,
                approvers: approvers.map(str::to_owned),
                allow_self_approval,
                expires_after_seconds,
            })
        },
    )
}

fn progression() -> impl Strategy<Value = PolicyRule> {
    let on = select(vec![
        "environment.name == 'staging'",
        "environment.name == 'staging'",
        "environment.name != 'production'",
        "environment.name == 'nowhere'",
        "true",
    ]);
    let statuses = select(vec![
        vec![TerminalStatus::Successful],
        vec![TerminalStatus::Successful],
        vec![TerminalStatus::Successful, TerminalStatus::Skipped],
        vec![TerminalStatus::Failure],
    ]);
    (
        on,
        select(vec![1.0, 50.0, 67.0, 100.0]),
        select(vec![0u32, 0, 1, 30]),
        weighted(0.3, select(vec![1u32, 24])),
        statuses,
        prop::bool::weighted(0.25),
    )
        .prop_map(|(on, share, soak, age, success_statuses, require_verification_passed)| {
            PolicyRule::EnvironmentProgression(EnvironmentProgression {
                depends_on_environment_selector: on.to_owned(),
                minimum_success_percentage: share,
                minimum_soak_time_minutes: soak,
                maximum_age_hours: age,
                success_statuses,
                require_verification_passed,
            })
        })
}

fn rollout() -> impl Strategy<Value = PolicyRule> {
    (any::<bool>(), select(vec![0u32, 60, 1000]), 0u32..2, prop::bool::weighted(0.8)).prop_map(
        |(normalized, time_scale_interval, max_failures, pause_on_failure)| {
            PolicyRule::GradualRollout(GradualRollout {
                rollout_type: if normalized { RolloutType::LinearNormalized } else { RolloutType::Linear },
                time_scale_interval,
                max_failures,
                pause_on_failure,
            })
        },
    )
}

fn window() -> impl Strategy<Value = PolicyRule> {
    let rrule = select(vec![
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
        "FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0",
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=2;BYHOUR=12;BYMINUTE=0;BYSECOND=0",
        "FREQ=DAILY;COUNT=2;BYHOUR=10;BYMINUTE=0;BYSECOND=0",
        "FREQ=WEEKLY;BYDAY=SU,MO,WE;BYHOUR=1;BYMINUTE=15;BYSECOND=0",
        "FREQ=WEEKLY;BYDAY=TU",
    ]);
    let timezone = select(vec!["UTC", "Europe/Berlin", "Europe/Berlin"]);
    (rrule, select(vec![30u32, 120, 600]), timezone, prop::bool::weighted(0.7)).prop_map(
        |(rrule, duration_minutes, timezone, allow_window)| {
            PolicyRule::DeploymentWindow(DeploymentWindow {
                rrule: rrule.to_owned(),
                duration_minutes,
                timezone: timezone.to_owned(),
                allow_window,
            })
        },
    )
}

fn cooldown() -> impl Strategy<Value = PolicyRule> {
    select(vec![30u32, 1800])
        .prop_map(|interval_seconds| PolicyRule::VersionCooldown(VersionCooldown { interval_seconds }))
}

fn selector() -> impl Strategy<Value = PolicyRule> {
    select(vec![
        "version.tag != 'v2'",
        "version.tag != 'v3'",
        "environment.name == 'production' && version.tag == 'v1'",
        "version.nothing.here == 1",
    ])
    .prop_map(|selector| {
        PolicyRule::VersionSelector(VersionSelector { selector: selector.to_owned(), description: None })
    })
}

fn dependency() -> impl Strategy<Value = PolicyRule> {
    select(vec![
        "deployment.name == 'api'",
        "version.tag != 'v1'",
        "deployment.name == 'web' && version.tag == 'v1'",
    ])
    .prop_map(|depends_on| {
        PolicyRule::DeploymentDependency(DeploymentDependency { depends_on: depends_on.to_owned() })
    })
}

fn retry() -> impl Strategy<Value = PolicyRule> {
    let statuses = select(vec![
        vec![TerminalStatus::Failure, TerminalStatus::InvalidIntegration],
        vec![TerminalStatus::Failure, TerminalStatus::Cancelled],
    ]);
    (0u32..3, select(vec![0u32, 20, 100]), any::<bool>(), of(select(vec![30u32, 150])), statuses).prop_map(
        |(max_retries, backoff_seconds, doubles, max_backoff_seconds, retry_on_statuses)| {
            PolicyRule::Retry(Retry {
                max_retries,
                backoff_seconds,
                backoff_strategy: if doubles {
                    BackoffStrategy::Exponential
                } else {
                    BackoffStrategy::Linear
                },
                max_backoff_seconds,
                retry_on_statuses,
            })
        },
    )
}

fn rollback() -> impl Strategy<Value = PolicyRule> {
    let statuses = select(vec![
        vec![TerminalStatus::Failure],
        vec![TerminalStatus::Failure, TerminalStatus::InvalidIntegration],
        vec![],
    ]);
    (statuses, prop::bool::weighted(0.7)).prop_map(|(on_job_statuses, on_verification_failure)| {
        PolicyRule::Rollback(Rollback { on_job_statuses, on_verification_failure })
    })
}

fn verification() -> PolicyRule {
    let provider = MetricProvider::Sleep(SleepMetric { duration_seconds: 10 });
    let metric = Metric {
        name: "sleeps".to_owned(),
        interval_seconds: 60,
        count: 1,
        success_condition: "true".to_owned(),
        failure_condition: None,
        success_threshold: None,
        failure_threshold: None,
        provider,
    };
    PolicyRule::Verification(Verification {
        trigger_on: VerificationTrigger::JobSuccess,
        metrics: vec![metric],
    })
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let n = 0usize..24;
    prop_oneof![
        6 => (0usize..3, prop::bool::weighted(0.15), prop::bool::weighted(0.8), weighted(0.15, seconds()))
            .prop_map(|(d, depends, maker, backdated)| Step::Version {
                deployment: usize::from(d == 2), depends, maker, backdated
            }),
        1 => (n.clone(), n.clone(), n.clone())
            .prop_map(|(user, deployment, version)| Step::Edit { user, deployment, version }),
        2 => status(),
        3 => (n.clone(), n.clone(), n.clone(), n.clone(), prop::bool::weighted(0.85)).prop_map(
            |(user, deployment, version, environment, yes)| Step::Word {
                user, deployment, version, environment, yes
            }
        ),
        2 => skip(),
        1 => (n.clone(), place(), weighted(0.3, seconds()), weighted(0.7, seconds()))
            .prop_map(|(slot, selector, from, lasts)| Step::Freeze { slot, selector, from, lasts }),
        1 => n.clone().prop_map(|slot| Step::Thaw { slot }),
        1 => (n.clone(), n.clone(), of(n.clone()), of(n.clone())).prop_map(
            |(deployment, version, environment, resource)| Step::Pin {
                deployment, version, environment, resource
            }
        ),
        1 => n.clone().prop_map(|nth| Step::Unpin { nth }),
        2 => (n.clone(), of(n.clone())).prop_map(|(target, version)| Step::Redeploy { target, version }),
        1 => (n.clone(), n.clone(), n.clone(), any::<bool>()).prop_map(
            |(deployment, version, environment, pause)| Step::Control {
                deployment,
                version,
                environment,
                action: if pause { RolloutAction::Pause } else { RolloutAction::Resume },
            }
        ),
        1 => (n.clone(), prop::bool::weighted(0.8)).prop_map(|(nth, enabled)| Step::Policy { nth, enabled }),
        1 => (n.clone(), 0u8..3).prop_map(|(resource, value)| Step::Vars { resource, value }),
        1 => (n.clone(), any::<[bool; 3]>()).prop_map(|(nth, within)| Step::Resource { nth, within }),
        4 => seconds().prop_map(|seconds| Step::Pass { seconds }),
        4 => Just(Step::Wake),
        4 => n.clone().prop_map(|target| Step::Look { target }),
        10 => Just(Step::LookAll),
        10 => end(),
        5 => Just(Step::EndAll),
        1 => n.prop_map(|job| Step::Again { job }),
    ]
}

/// A version goes as far as it may, and then the next one, well or badly: where this happens to a target, there is
/// something to roll back to and to rest from.
fn round() -> impl Strategy<Value = Vec<Step>> {
    let badly = || end().prop_map(|end| vec![end, Step::LookAll]);
    (0usize..2, prop::bool::weighted(0.5), prop::collection::vec(badly(), 0..3)).prop_map(
        |(deployment, well, badly)| {
            let version = || Step::Version { deployment, depends: false, maker: true, backdated: None };
            let mut steps = vec![version(), Step::LookAll];
            if well {
                steps.extend([Step::EndAll, Step::LookAll, version(), Step::LookAll]);
            }
            steps.extend(badly.concat());
            steps
        },
    )
}

fn status() -> impl Strategy<Value = Step> {
    let status = select(vec![
        VersionStatus::Rejected,
        VersionStatus::Rejected,
        VersionStatus::Paused,
        VersionStatus::Ready,
    ]);
    (0usize..24, 0usize..24, status).prop_map(|(deployment, version, status)| Step::Status {
        deployment,
        version,
        status,
    })
}

fn skip() -> impl Strategy<Value = Step> {
    (
        (0usize..24, 0usize..24, any::<bool>(), 0usize..24),
        (weighted(0.3, 0usize..24), weighted(0.3, 0usize..24), of(seconds())),
    )
        .prop_map(|((policy, rule, indexed, version), (environment, resource, expires))| Step::Skip {
            policy,
            rule,
            indexed,
            version,
            environment,
            resource,
            expires,
        })
}

fn seconds() -> impl Strategy<Value = u32> {
    select(vec![1u32, 10, 29, 60, 100, 600, 1800, 3600, 20_000, 86_400, 200_000])
}

fn end() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        8 => Just((TerminalStatus::Successful, None)),
        8 => Just((TerminalStatus::Failure, None)),
        1 => Just((TerminalStatus::Cancelled, Some(Reason::CancelledByUser))),
        1 => Just((TerminalStatus::Skipped, None)),
        2 => Just((TerminalStatus::InvalidIntegration, None)),
    ];
    (0usize..24, how).prop_map(|(job, (status, reason))| Step::End { job, status, reason })
}
