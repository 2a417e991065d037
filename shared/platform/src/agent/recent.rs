//! What was used of late, by key. It may forget: nothing may depend on it but speed.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two generations: what is asked for moves to the young one; when that is full, the old one is forgotten.
pub(super) struct Recent<K, V> {
    generation_max: usize,
    both: Mutex<(HashMap<K, V>, HashMap<K, V>)>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// At most twice `generation_max` values.
    pub(super) fn new(generation_max: usize) -> Self {
        Self { generation_max, both: Mutex::default() }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let both = self.both();
        both.0.get(key).or_else(|| both.1.get(key)).cloned()
    }

    pub(super) fn put(&self, key: K, value: V) {
        let mut both = self.both();
        both.1.remove(&key);
        if both.0.len() >= self.generation_max && !both.0.contains_key(&key) {
            both.1 = std::mem::take(&mut both.0);
        }
        both.0.insert(key, value);
    }

    pub(super) fn forget(&self, key: &K) {
        let mut both = self.both();
        both.0.remove(key);
        both.1.remove(key);
    }

    fn both(&self) -> MutexGuard<'_, (HashMap<K, V>, HashMap<K, V>)> {
        self.both.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recent(at most {})", 2 * self.generation_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_old_and_never_grows() {
        let recent = Recent::new(2);
        for n in 0..5 {
            recent.put(n, n);
        }
        assert_eq!((0..5).filter_map(|n| recent.get(&n)).collect::<Vec<_>>(), [2, 3, 4]);
        recent.put(4, 40);
        assert_eq!(recent.get(&4), Some(40));
        recent.forget(&4);
        assert_eq!(recent.get(&4), None);
    }
}
