//! Generations: whole sets of views, of which one is live and at most one more is being filled.

use crate::error::ProjectionError;
use redis::{FromRedisValue, Value};
use std::fmt;

/// The name of one whole set of views.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(String);

impl Generation {
    /// What is written and read while no generation has been declared live: on an empty Redis, until a rebuild.
    pub(crate) fn undeclared() -> Self {
        Self("0".to_owned())
    }

    /// A name no other generation has or had.
    pub(crate) fn fresh() -> Self {
        let mut name = uuid::Uuid::new_v4().simple().to_string();
        name.truncate(12);
        Self(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Generation {
    fn from(name: String) -> Self {
        Self(name)
    }
}

/// Which generations there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pointers {
    /// The one readers read; `None` until one is declared complete.
    pub(crate) live: Option<Generation>,
    /// The one a rebuild fills.
    pub(crate) next: Option<Generation>,
}

impl Pointers {
    /// Reads the answer to `HMGET <pointers> live next`.
    pub(crate) fn read(answer: Value) -> Result<Self, ProjectionError> {
        let (live, next): (Option<String>, Option<String>) =
            FromRedisValue::from_redis_value(answer).map_err(|e| ProjectionError::corrupt("pointers", e))?;
        Ok(Self { live: live.map(Generation), next: next.map(Generation) })
    }

    /// Where readers look.
    pub(crate) fn readable(&self) -> Generation {
        self.live.clone().unwrap_or_else(Generation::undeclared)
    }

    /// Where writers write: what is read now, and what will be.
    pub(crate) fn writable(&self) -> Vec<Generation> {
        let mut all = vec![self.readable()];
        all.extend(self.next.clone().filter(|next| *next != all[0]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_serve_what_is_read_and_what_will_be() {
        let generation = |name: &str| Some(Generation(name.to_owned()));
        let names =
            |pointers: Pointers| pointers.writable().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(Pointers::default()), ["0"]);
        assert_eq!(names(Pointers { live: None, next: generation("b") }), ["0", "b"]);
        assert_eq!(names(Pointers { live: generation("a"), next: None }), ["a"]);
        assert_eq!(names(Pointers { live: generation("a"), next: generation("b") }), ["a", "b"]);
    }
}
