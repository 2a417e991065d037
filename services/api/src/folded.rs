//! What was folded of the facts of jobs, kept for lists: a job that moved no more is not read from the bus again, and one that did
//! is read on from where it was. Bounded: the older half is forgotten when the newer is full.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::JobId;
use domain::token::Slug;

/// So many are kept at most, in two halves.
const KEPT_MAX: usize = 4_000;

type Key = (Slug, JobId);

/// Folds by job.
#[derive(Debug)]
pub(crate) struct Folded<T>(Mutex<Halves<T>>);

#[derive(Debug)]
struct Halves<T> {
    newer: HashMap<Key, Arc<T>>,
    older: HashMap<Key, Arc<T>>,
}

impl<T> Default for Folded<T> {
    fn default() -> Self {
        Self(Mutex::new(Halves { newer: HashMap::new(), older: HashMap::new() }))
    }
}

impl<T> Folded<T> {
    /// What is known of the job.
    pub(crate) fn get(&self, workspace: &Slug, job: JobId) -> Option<Arc<T>> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (workspace.clone(), job);
        if let Some(known) = halves.newer.get(&key) {
            return Some(Arc::clone(known));
        }
        let known = halves.older.remove(&key)?;
        halves.put(key, Arc::clone(&known));
        Some(known)
    }

    /// Keeps what is known now.
    pub(crate) fn put(&self, workspace: &Slug, job: JobId, known: Arc<T>) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.put((workspace.clone(), job), known);
    }
}

impl<T> Halves<T> {
    fn put(&mut self, key: Key, known: Arc<T>) {
        if self.newer.len() >= KEPT_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::derive;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let folded = Folded::default();
        let acme: Slug = "acme".parse().unwrap();
        let job = |n: usize| JobId(derive(&[&n.to_string()]));
        for n in 0..(3 * KEPT_MAX) {
            folded.put(&acme, job(n), Arc::new(n));
            assert_eq!(folded.get(&acme, job(0)).as_deref(), Some(&0), "after {n}");
        }
        assert_eq!(folded.get(&acme, job(3 * KEPT_MAX - 1)).as_deref(), Some(&(3 * KEPT_MAX - 1)));
        assert!(folded.get(&acme, job(1)).is_none());
        assert!(folded.get(&"other".parse().unwrap(), job(0)).is_none());
        let halves = folded.0.lock().unwrap();
        assert!(halves.newer.len() + halves.older.len() <= KEPT_MAX);
    }
}
