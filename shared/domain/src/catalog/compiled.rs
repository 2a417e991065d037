//! What was compiled from expressions and recurrences, kept while the catalog lives: the same text is the same program.

use crate::Timestamp;
use crate::entity::DeploymentWindow;
use crate::selector::{Selector, SelectorError};
use crate::window::{Calendar, WindowError};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// More texts than this are not kept; then all are forgotten, and compiled again when they are asked for.
const TEXTS_MAX: usize = 8_192;

/// Programs by their texts.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    selectors: Memo<(&'static [&'static str], String), Result<Selector, SelectorError>>,
    calendars: Memo<(DeploymentWindow, Timestamp), Result<Arc<Calendar>, WindowError>>,
}

#[derive(Debug)]
struct Memo<K, V>(Mutex<HashMap<K, V>>);

impl Compiled {
    /// The selector of a text, over these variables.
    pub(crate) fn selector(
        &self,
        text: &str,
        variables: &'static [&'static str],
    ) -> Result<Selector, SelectorError> {
        self.selectors.get((variables, text.to_owned()), |_| Selector::compile(text, variables))
    }

    /// The calendar of a window.
    pub(crate) fn calendar(
        &self,
        window: &DeploymentWindow,
        anchored_at: Timestamp,
    ) -> Result<Arc<Calendar>, WindowError> {
        self.calendars
            .get((window.clone(), anchored_at), |_| Calendar::new(window, anchored_at).map(Arc::new))
    }
}

impl<K: Hash + Eq, V: Clone> Memo<K, V> {
    fn get(&self, key: K, make: impl FnOnce(&K) -> V) -> V {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(&key) {
            return value.clone();
        }
        if known.len() >= TEXTS_MAX {
            known.clear();
        }
        let value = make(&key);
        known.insert(key, value.clone());
        value
    }
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
