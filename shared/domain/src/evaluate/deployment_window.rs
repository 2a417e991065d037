//! `deploymentWindow`: versions may go (or may not go) while a recurring window is open.

use super::ruling::{Ruling, rfc};
use crate::Timestamp;
use crate::decision::RuleInputs;
use crate::entity::DeploymentWindow;
use crate::window::{Calendar, State};

/// `has_run` says whether any version ever succeeded on the target: the first deployment ignores windows.
pub(super) fn judge(rule: &DeploymentWindow, state: &State, has_run: bool) -> Ruling {
    let inputs =
        RuleInputs::Window { open: state.open, changes_at: state.changes_at, first_deployment: !has_run };
    let ruling = match (has_run, rule.allow_window == state.open, state.changes_at) {
        (false, ..) => Ruling::allow("nothing ran here yet: the first deployment ignores windows", None),
        (true, true, until) => {
            let says = if state.open { "the window is open" } else { "the window is closed" };
            let until = until.map(|at| format!(" until {}", rfc(at))).unwrap_or_default();
            Ruling::allow(format!("{says}{until}"), None).ending(state.changes_at)
        }
        (true, false, Some(at)) => {
            let what = if rule.allow_window { "the window opens" } else { "a window of quiet ends" };
            Ruling::wait(format!("{what} at {}", rfc(at)), Some(at))
        }
        (true, false, None) => Ruling::deny("the window never opens again"),
    };
    ruling.on(inputs)
}

/// The first instant from `since` on at which all the windows let versions go. `None`: there is none, or not within
/// a bounded search.
pub(super) fn first_let(windows: &[(&DeploymentWindow, &Calendar)], since: Timestamp) -> Option<Timestamp> {
    /// Each round moves to a later opening of some window; windows that never meet are given up.
    const ROUNDS_MAX: usize = 4_096;
    let mut instant = since;
    for _ in 0..ROUNDS_MAX {
        let mut later = instant;
        for (rule, calendar) in windows {
            later = lets_from(rule, calendar, later)?;
        }
        if later == instant {
            return Some(instant);
        }
        instant = later;
    }
    None
}

/// Until when a window lets versions go on, from an instant at which it does. `None`: without end.
pub(super) fn lets_until(
    rule: &DeploymentWindow,
    calendar: &Calendar,
    instant: Timestamp,
) -> Option<Timestamp> {
    let state = calendar.at(instant);
    if rule.allow_window == state.open { state.changes_at } else { Some(instant) }
}

fn lets_from(rule: &DeploymentWindow, calendar: &Calendar, instant: Timestamp) -> Option<Timestamp> {
    let state = calendar.at(instant);
    if rule.allow_window == state.open { Some(instant) } else { state.changes_at }
}
