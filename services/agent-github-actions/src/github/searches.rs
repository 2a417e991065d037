//! One search serves everyone who waits for it. At most one of a kind is under way; whoever comes meanwhile shares the
//! next. An answer is given to those only who had come before its search began. It does not know what is searched for.

use domain::Timestamp;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use platform::CallError;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Driven by whoever waits for it, and dropped with the last of them.
type Search<A> = BoxFuture<'static, Result<A, CallError>>;
type Places<K, A> = Arc<Mutex<HashMap<K, Weak<Place<K, A>>>>>;

/// The searches under way and to come, by kind. Nothing is kept of those for which nobody waits.
pub(super) struct Searches<K: Eq + Hash, A> {
    places: Places<K, A>,
}

/// Where searches of one kind take turns.
struct Place<K: Eq + Hash, A> {
    kind: K,
    places: Places<K, A>,
    /// Held by the search under way.
    turn: tokio::sync::Mutex<()>,
    next: Mutex<Option<Next<A>>>,
}

/// The search that has not begun.
struct Next<A> {
    /// As far back as anybody who waits for it needs.
    from: Timestamp,
    search: WeakShared<Search<A>>,
}

impl<K, A> Searches<K, A>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self { places: Places::default() }
    }

    /// The answer of a search of this kind that began after this call did and goes back to `from` at least. `search` is
    /// called with how far back to go, unless somebody else's serves.
    ///
    /// # Errors
    /// The search's own, for everyone who waits for it.
    pub(super) async fn answer<F>(
        &self,
        kind: K,
        from: Timestamp,
        search: impl FnOnce(Timestamp) -> F + Send + 'static,
    ) -> Result<A, CallError>
    where
        F: Future<Output = Result<A, CallError>> + Send + 'static,
    {
        self.place(kind).join(from, search).await
    }

    fn place(&self, kind: K) -> Arc<Place<K, A>> {
        let mut places = locked(&self.places);
        if let Some(place) = places.get(&kind).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::new(Place {
            kind: kind.clone(),
            places: Arc::clone(&self.places),
            turn: tokio::sync::Mutex::default(),
            next: Mutex::default(),
        });
        places.insert(kind, Arc::downgrade(&place));
        place
    }
}

impl<K, A> Place<K, A>
where
    K: Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    fn join<F>(
        self: Arc<Self>,
        from: Timestamp,
        search: impl FnOnce(Timestamp) -> F + Send + 'static,
    ) -> Shared<Search<A>>
    where
        F: Future<Output = Result<A, CallError>> + Send + 'static,
    {
        let mut next = locked(&self.next);
        if let Some(next) = &mut *next
            && let Some(search) = next.search.upgrade()
        {
            next.from = next.from.min(from);
            return search;
        }
        let place = Arc::clone(&self);
        let search = async move {
            let _turn = place.turn.lock().await;
            search(place.begin()).await
        };
        let search = search.boxed().shared();
        *next = search.downgrade().map(|search| Next { from, search });
        search
    }

    /// From here on nobody joins the search any more.
    fn begin(&self) -> Timestamp {
        locked(&self.next).take().expect("a search is the next one until it begins").from
    }
}

impl<K: Eq + Hash, A> Drop for Place<K, A> {
    fn drop(&mut self) {
        let mut places = locked(&self.places);
        // Somebody may have come since, and made another.
        if places.get(&self.kind).is_some_and(|place| place.strong_count() == 0) {
            places.remove(&self.kind);
        }
    }
}

/// No lock is held while anything is called that can panic halfway through a change.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
