//! Which watches this process keeps: one for each place of a workspace that a command spoke of lately. It knows names and
//! times; nothing of what is watched, or how.

use crate::platform::WatchKey;
use domain::token::Slug;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many places are watched at most; what is beyond is looked at by the sweep only.
const WATCHES_MAX: usize = 1_000;

/// A place that is watched for a workspace. Two workspaces never share a watch: each hears of its own jobs only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) workspace: Slug,
    pub(super) key: WatchKey,
}

/// The places that are wanted.
#[derive(Default)]
pub(super) struct Watches {
    wanted: Mutex<HashMap<Place, Wanted>>,
    more: Notify,
}

#[derive(Clone)]
struct Wanted {
    /// The config of the last command: where, and as whom.
    config: Map<String, Value>,
    last: Instant,
    is_kept: bool,
}

impl Watches {
    /// A command spoke of this place.
    pub(super) fn want(&self, place: Place, config: &Map<String, Value>) {
        let mut wanted = self.wanted();
        let is_new = !wanted.contains_key(&place);
        if is_new && wanted.len() >= WATCHES_MAX {
            tracing::warn!(
                watch = place.key.0,
                "too many places to watch, this one is looked at from time to time"
            );
            return;
        }
        let is_kept = wanted.get(&place).is_some_and(|known| known.is_kept);
        wanted.insert(place, Wanted { config: config.clone(), last: Instant::now(), is_kept });
        if !is_kept {
            self.more.notify_one();
        }
    }

    /// Waits until a place is wanted that nobody keeps a watch on, and gives it to the caller to keep.
    pub(super) async fn next(&self) -> Place {
        loop {
            if let Some(place) = self.take() {
                return place;
            }
            self.more.notified().await;
        }
    }

    fn take(&self) -> Option<Place> {
        let mut wanted = self.wanted();
        let (place, taken) = wanted.iter_mut().find(|(_, wanted)| !wanted.is_kept)?;
        taken.is_kept = true;
        Some(place.clone())
    }

    /// The config to watch with; `None` ends the watch: no command spoke of the place for so long.
    pub(super) fn config(&self, place: &Place, idle: Duration) -> Option<Map<String, Value>> {
        let mut wanted = self.wanted();
        let known = wanted.get(place)?;
        if known.last.elapsed() < idle {
            return Some(known.config.clone());
        }
        wanted.remove(place);
        None
    }

    /// When a watch ends unless a command speaks of its place until then.
    pub(super) fn until(&self, place: &Place, idle: Duration) -> Instant {
        self.wanted().get(place).map_or_else(Instant::now, |wanted| wanted.last + idle)
    }

    /// Nobody keeps this watch any more: the next command opens it again.
    pub(super) fn forget(&self, place: &Place) {
        self.wanted().remove(place);
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<Place, Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watches({})", self.wanted().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    const IDLE: Duration = Duration::from_secs(60);

    fn place(key: &str) -> Place {
        Place { workspace: "acme".parse().unwrap(), key: WatchKey(key.to_owned()) }
    }

    fn config(n: u32) -> Map<String, Value> {
        Map::from_iter([("n".to_owned(), n.into())])
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_kept_once_until_nobody_speaks_of_it() {
        let watches = Watches::default();
        assert_eq!(watches.next().now_or_never(), None);
        watches.want(place("a"), &config(1));
        watches.want(place("a"), &config(2));
        watches.want(place("b"), &config(3));
        let mut kept = [watches.next().await.key.0, watches.next().await.key.0];
        kept.sort();
        assert_eq!(kept, ["a", "b"]);
        watches.want(place("a"), &config(4));
        assert_eq!(watches.next().now_or_never(), None, "both are kept");
        assert_eq!(watches.config(&place("a"), IDLE), Some(config(4)), "the last command's config counts");
        tokio::time::advance(IDLE / 2).await;
        watches.want(place("a"), &config(5));
        tokio::time::advance(IDLE / 2).await;
        assert_eq!(watches.config(&place("a"), IDLE), Some(config(5)));
        assert_eq!(watches.config(&place("b"), IDLE), None, "no command spoke of it for long");
        watches.want(place("b"), &config(6));
        assert_eq!(watches.next().await, place("b"), "and then it is wanted anew");
        watches.forget(&place("a"));
        assert_eq!(watches.config(&place("a"), IDLE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_how_many() {
        let watches = Watches::default();
        for n in 0..=WATCHES_MAX {
            watches.want(place(&n.to_string()), &config(0));
        }
        assert_eq!(format!("{watches:?}"), format!("Watches({WATCHES_MAX})"));
    }
}
