//! Answers by entity tag, so that a read that finds nothing new is free of the rate limit. Bounded in entries and bytes;
//! what was used longest ago goes first. An answer is never shown to another credential.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use std::collections::{BTreeMap, HashMap};

/// Answers by credential and URL.
#[derive(Debug)]
pub(super) struct TagCache {
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
    clock: u64,
    entries: HashMap<Key, Entry>,
    /// By last use: the first is the next to go.
    order: BTreeMap<u64, Key>,
}

type Key = (String, String);

#[derive(Debug)]
struct Entry {
    used: u64,
    tagged: Tagged,
}

/// An answer and its tag.
#[derive(Debug, Clone)]
pub(super) struct Tagged {
    pub(super) tag: HeaderValue,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl TagCache {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { entries_max, bytes_max, bytes: 0, clock: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, credential: &str, url: &str) -> Option<Tagged> {
        let key = (credential.to_owned(), url.to_owned());
        let entry = self.entries.get_mut(&key)?;
        self.order.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        let tagged = entry.tagged.clone();
        self.order.insert(self.clock, key);
        Some(tagged)
    }

    pub(super) fn put(&mut self, credential: &str, url: &str, tagged: Tagged) {
        let key = (credential.to_owned(), url.to_owned());
        self.remove(&key);
        if tagged.body.len() > self.bytes_max {
            return;
        }
        self.clock += 1;
        self.bytes += tagged.body.len();
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { used: self.clock, tagged });
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.tagged.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(body: &'static str) -> Tagged {
        Tagged {
            tag: HeaderValue::from_static("\"1\""),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_longest_unused_goes_first_and_nothing_grows() {
        let mut cache = TagCache::new(2, 10);
        cache.put("one", "/a", tagged("aaa"));
        cache.put("one", "/b", tagged("bbb"));
        assert!(cache.get("one", "/a").is_some());
        cache.put("one", "/c", tagged("ccc"));
        assert!(cache.get("one", "/b").is_none(), "it was used longest ago");
        assert!(cache.get("one", "/a").is_some() && cache.get("one", "/c").is_some());

        cache.put("one", "/d", tagged("dddddddd"));
        assert_eq!((cache.entries.len(), cache.order.len(), cache.bytes), (1, 1, 8));
        cache.put("one", "/e", tagged("more than ten bytes"));
        assert!(cache.get("one", "/e").is_none());
        cache.put("one", "/d", tagged("d"));
        assert_eq!((cache.entries.len(), cache.bytes), (1, 1));
    }

    #[test]
    fn one_credential_never_sees_what_another_read() {
        let mut cache = TagCache::new(2, 10);
        cache.put("one", "/a", tagged("aaa"));
        assert!(cache.get("two", "/a").is_none());
    }
}
