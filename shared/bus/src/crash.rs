//! Named points at which a test lets the process die. Outside such tests they do nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the point, as `name` or `name#n` for the n-th time it is reached.
const VARIABLE: &str = "CTRLPLANE_CRASH_AT";

/// Dies here, at once and without a word, as after `kill -9`, when `CTRLPLANE_CRASH_AT` says so.
pub fn crash_point(name: &'static str) {
    static AIM: OnceLock<Option<Aim>> = OnceLock::new();
    let Some(aim) = AIM.get_or_init(from_environment) else { return };
    if aim.hits(name) {
        std::process::abort();
    }
}

struct Aim {
    name: String,
    at: u64,
    reached: AtomicU64,
}

impl Aim {
    fn parse(text: &str) -> Self {
        let (name, at) = match text.rsplit_once('#') {
            Some((name, count)) => (name, count.parse().expect("a crash point is aimed at as `name#number`")),
            None => (text, 1),
        };
        Self { name: name.to_owned(), at, reached: AtomicU64::new(0) }
    }

    fn hits(&self, name: &str) -> bool {
        name == self.name && self.reached.fetch_add(1, Ordering::Relaxed) + 1 == self.at
    }
}

#[allow(clippy::disallowed_methods, reason = "a test aims through the environment; no setting may do this")]
fn from_environment() -> Option<Aim> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| Aim::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::Aim;

    #[test]
    fn the_named_point_is_hit_at_its_time_and_once() {
        let hits = |aim: &str| {
            let aim = Aim::parse(aim);
            ["a.b.before", "a.b.after", "a.b.before", "a.b.before"].map(|name| aim.hits(name))
        };
        assert_eq!(hits("a.b.before"), [true, false, false, false]);
        assert_eq!(hits("a.b.before#2"), [false, false, true, false]);
        assert_eq!(hits("elsewhere"), [false; 4]);
    }
}
