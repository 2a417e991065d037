//! "No freeze whose selector matches the target is on; it waits until the latest end of those that are."

use super::Says;
use super::means::place;
use super::scene::Scene;
use domain::target::TargetKey;

pub(crate) fn judge(scene: &Scene<'_>, target: &TargetKey) -> Says {
    let mut on = Vec::new();
    let mut next = None;
    let mut ended = None;
    for freeze in scene.freezes() {
        match place(scene, &freeze.spec.selector, target) {
            Err(_) => return Says::Deny,
            Ok(false) => continue,
            Ok(true) => {}
        }
        let from = freeze.spec.from.unwrap_or(freeze.meta.created_at);
        if freeze.spec.until.is_some_and(|until| until <= scene.now || until <= from) {
            // "the end of the last freeze that was on, of the last thirty days"
            let end = freeze.spec.until.filter(|until| {
                from < *until && *until <= scene.now && *until > scene.now - chrono::TimeDelta::days(30)
            });
            ended = ended.max(end);
            continue;
        }
        if from <= scene.now {
            on.push(freeze.spec.until);
        } else {
            next = Some(next.map_or(from, |next: domain::Timestamp| next.min(from)));
        }
    }
    if on.is_empty() {
        return Says::Allow { since: ended, until: next };
    }
    Says::Wait(on.iter().copied().collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max()))
}
