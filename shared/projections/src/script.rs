//! The scripts that run inside Redis, and how they are called by their digest.

use redis::{Cmd, Script};
use std::sync::LazyLock;

pub(crate) static APPLY: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/apply.lua")));
pub(crate) static CONFIRM: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/confirm.lua")));
pub(crate) static LIST: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/list.lua")));
pub(crate) static FORGET: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/forget.lua")));
pub(crate) static ADVANCE: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/advance.lua")));
pub(crate) static REBUILD: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!("lua/rebuild.lua")));

/// Every script: what a Redis that has lost them is given again.
pub(crate) fn every() -> [&'static Source; 6] {
    [&APPLY, &CONFIRM, &LIST, &FORGET, &ADVANCE, &REBUILD]
}

/// A script.
pub(crate) struct Source {
    text: &'static str,
    digest: String,
}

impl Source {
    fn new(text: &'static str) -> Self {
        Self { text, digest: Script::new(text).get_hash().to_owned() }
    }

    /// Gives it to Redis.
    pub(crate) fn load(&self) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(self.text);
        load
    }

    /// Calls it; the arguments follow.
    pub(crate) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(keys.len()).arg(keys);
        call
    }
}
