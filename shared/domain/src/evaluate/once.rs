//! What is the same for many: found once, and known from then on.

use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::hash::Hash;

/// Answers by what was asked.
pub(super) struct Once<K, V>(RefCell<FxHashMap<K, V>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Eq + Hash, V: Clone> Once<K, V> {
    /// The answer, found now where it is not known. Finding it may ask for others here.
    pub(super) fn get(&self, asked: K, find: impl FnOnce() -> V) -> V {
        if let Some(known) = self.0.borrow().get(&asked) {
            return known.clone();
        }
        let found = find();
        self.0.borrow_mut().insert(asked, found.clone());
        found
    }
}
