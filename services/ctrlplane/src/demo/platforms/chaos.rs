//! What goes wrong on the platforms when a seed asks for it: webhooks and news that are lost, repeated, late or out of order,
//! and calls that fail, some of them after their effect.

use std::time::Duration;

use fake_argo::{FakeArgo, NewsChaos};
use fake_github::FakeGithub;
use fake_gitlab::FakeGitlab;
use fake_kubernetes::Chaos;

/// News of workflows: lost, repeated, or the stream ends.
pub(super) const NEWS: NewsChaos = NewsChaos { drop: 0.1, repeat: 0.2, cut: 0.1 };
/// The most a webhook is late.
const LATE_MAX: Duration = Duration::from_secs(2);

/// GitHub's side of the seed.
pub(crate) fn github_options(chaos: Option<u64>, options: fake_github::Options) -> fake_github::Options {
    fake_github::Options { seed: chaos.unwrap_or(options.seed), ..options }
}

/// Settings by which what was lost is missed within seconds, so that the story goes on.
pub(crate) fn hurried(chaos: Option<u64>) -> Vec<(String, String)> {
    let settings = [
        ("CTRLPLANE_SWEEP__FAST_SECONDS", "2"),
        ("CTRLPLANE_SWEEP__SLOW_SECONDS", "2"),
        ("CTRLPLANE_SWEEP__UNKNOWN_SECONDS", "2"),
        ("CTRLPLANE_SEARCH_LAG_SECONDS", "1"),
        ("CTRLPLANE_RECOVER_SECONDS", "2"),
    ];
    let wanted = chaos.into_iter().flat_map(|_| settings);
    wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A cluster's misbehaviour.
pub(super) fn of_kubernetes(seed: u64) -> Chaos {
    Chaos { seed, limited: 0.05, broken: 0.05, lost: 0.05, cut: 0.1, expired: 0.1 }
}

/// From now on webhooks go wrong, and the first start of a run on each platform does, in a way that the seed chooses.
pub(super) fn let_loose(seed: u64, github: &FakeGithub, gitlab: &FakeGitlab, argo: &FakeArgo) {
    github.set_hook_chaos(fake_github::HookChaos {
        drop: 0.15,
        repeat: 0.15,
        reorder: 0.15,
        delay: 0.15,
        delay_max: LATE_MAX,
    });
    gitlab.set_hook_chaos(fake_gitlab::HookChaos {
        drop: 0.15,
        repeat: 0.15,
        reorder: 0.15,
        delay: 0.15,
        delay_max: LATE_MAX,
    });
    let [first, second, third] = [seed % 4, seed / 4 % 4, seed / 16 % 4];
    github.inject({
        use fake_github::{Fault, FaultKind};
        let (method, path) = ("POST", "*/dispatches");
        match first {
            0 => Fault::once(method, path, FaultKind::DropAfterEffect),
            1 => Fault::once(method, path, FaultKind::DropBeforeEffect),
            2 => Fault::answer(method, path, 503, "No server is currently available"),
            _ => fake_github::secondary_limit(method, path, 1),
        }
    });
    gitlab.inject({
        use fake_gitlab::{Fault, FaultKind};
        let (method, path) = ("POST", "*/pipeline");
        match second {
            0 => Fault::once(method, path, FaultKind::DropAfterEffect),
            1 => Fault::once(method, path, FaultKind::DropBeforeEffect),
            2 => Fault::answer(method, path, 503, "Service Unavailable"),
            _ => fake_gitlab::limited(method, path, 1),
        }
    });
    argo.inject({
        use fake_argo::{Fault, FaultKind};
        let (method, path) = ("POST", "/submit");
        match third {
            0 => Fault::once(method, path, FaultKind::DropAfterEffect),
            1 => Fault::once(method, path, FaultKind::DropBeforeEffect),
            2 => Fault::answer(method, path, 503, "the server is currently unable to handle the request"),
            _ => Fault::too_many(method, path, 1),
        }
    });
}
