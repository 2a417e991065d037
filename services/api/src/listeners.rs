//! How many listen to live events: all together, and each. A place is given back when it is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Counted;

/// The places there are, and who has them.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Arc<Semaphore>,
    each_max: usize,
    each: Arc<Mutex<HashMap<Counted, usize>>>,
}

/// A place.
#[derive(Debug)]
pub(crate) struct Listening {
    _one_of_all: OwnedSemaphorePermit,
    each: Arc<Mutex<HashMap<Counted, usize>>>,
    who: Counted,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All are taken.
    Everybody,
    /// This caller has as many as one may.
    Caller,
}

impl Listeners {
    /// So many, and so many for each; zero is no limit for each.
    pub(crate) fn new(all_max: usize, each_max: usize) -> Self {
        let each_max = if each_max == 0 { usize::MAX } else { each_max };
        Self { all: Arc::new(Semaphore::new(all_max)), each_max, each: Arc::default() }
    }

    /// A place for one more.
    pub(crate) fn admit(&self, who: &Counted) -> Result<Listening, Full> {
        let mut each = lock(&self.each);
        let has = each.get(who).copied().unwrap_or(0);
        if has >= self.each_max {
            return Err(Full::Caller);
        }
        let one = Arc::clone(&self.all).try_acquire_owned().map_err(|_none_left| Full::Everybody)?;
        each.insert(who.clone(), has + 1);
        Ok(Listening { _one_of_all: one, each: Arc::clone(&self.each), who: who.clone() })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut each = lock(&self.each);
        match each.get_mut(&self.who) {
            Some(has) if *has > 1 => *has -= 1,
            Some(_) | None => {
                each.remove(&self.who);
            }
        }
    }
}

fn lock(each: &Mutex<HashMap<Counted, usize>>) -> MutexGuard<'_, HashMap<Counted, usize>> {
    // Every statement leaves the map whole.
    each.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all_and_what_is_left_is_free_again() {
        let listeners = Listeners::new(3, 2);
        let [ann, bob] = ["ann", "bob"].map(|name| Counted::User(name.to_owned()));
        let (first, _second) = (listeners.admit(&ann).unwrap(), listeners.admit(&ann).unwrap());
        assert_eq!(listeners.admit(&ann).unwrap_err(), Full::Caller);
        let _bobs = listeners.admit(&bob).unwrap();
        assert_eq!(listeners.admit(&bob).unwrap_err(), Full::Everybody);
        drop(first);
        assert!(listeners.admit(&bob).is_ok());
        assert!(listeners.admit(&ann).is_ok(), "what was dropped is free again");
        assert_eq!(lock(&listeners.each).len(), 2);
    }
}
