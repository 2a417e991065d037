//! Rebuilding: a new generation is filled beside the live one, then takes its place at once.
//! Who fills it reads the facts; this module does not know where they are.

use crate::apply::{self, JobChange};
use crate::error::ProjectionError;
use crate::generation::Generation;
use crate::read::value;
use crate::store::Projections;
use crate::{digest, keys, script};
use domain::token::Slug;
use redis::Value;
use std::time::Duration;

/// A rebuild that does nothing for so long has lost its place.
const HOLD: Duration = Duration::from_secs(60);
/// How many keys one step of the removal looks at.
const SCAN_STEP: usize = 1_000;

/// A generation being filled. Live changes go to it as well, from the moment it begins.
#[derive(Debug)]
pub struct Rebuild {
    projections: Projections,
    generation: Generation,
}

/// What a rebuild did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The generation that is live now.
    pub generation: Generation,
    /// How many keys of earlier generations were removed.
    pub removed_keys: u64,
}

impl Projections {
    /// Begins to fill a new generation. Whatever is in `JOBS` *after* this returned must be given to
    /// [`Rebuild::apply_batch`]; whatever comes later, live writers give it.
    ///
    /// # Errors
    /// [`ProjectionError::Busy`] while somebody else does so.
    pub async fn begin_rebuild(&self) -> Result<Rebuild, ProjectionError> {
        let rebuild = Rebuild { projections: self.clone(), generation: Generation::fresh() };
        if rebuild.step("begin").await? { Ok(rebuild) } else { Err(ProjectionError::Busy) }
    }
}

impl Rebuild {
    /// The generation being filled.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Fills in changes, guarded as live ones are. Also keeps the place, so it must be called at least once a minute.
    ///
    /// # Errors
    /// [`ProjectionError::Interrupted`] when the place is lost; [`ProjectionError::Unavailable`] may be tried again.
    pub async fn apply_batch(&self, changes: &[JobChange]) -> Result<(), ProjectionError> {
        if !self.step("hold").await? {
            return Err(ProjectionError::Interrupted);
        }
        if changes.is_empty() {
            return Ok(());
        }
        let documents = apply::documents(changes)?;
        let mut pipe = redis::pipe();
        apply::add(&mut pipe, &self.generation, changes, &documents);
        self.projections.run(&pipe).await?;
        Ok(())
    }

    /// Declares the generation complete and live, up to that sequence of `JOBS`, and removes all others.
    ///
    /// # Errors
    /// [`ProjectionError::Interrupted`] when the place is lost: nothing has changed then.
    pub async fn switch(self, applied: u64) -> Result<Rebuilt, ProjectionError> {
        if !self.step("switch").await? {
            return Err(ProjectionError::Interrupted);
        }
        let mut pipe = redis::pipe();
        pipe.add_command(apply::advance(applied));
        self.projections.run(&pipe).await?;
        let removed_keys = self.projections.remove_stale().await?;
        Ok(Rebuilt { generation: self.generation, removed_keys })
    }

    /// Gives the place up and removes what was filled in.
    ///
    /// # Errors
    /// When Redis does not answer; the place then becomes free after a minute.
    pub async fn abandon(self) -> Result<(), ProjectionError> {
        self.step("abandon").await?;
        self.projections.remove_stale().await.map(|_| ())
    }

    /// The digest of a workspace in the generation being filled; see [`Projections::digest`].
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn digest(&self, workspace: &Slug) -> Result<String, ProjectionError> {
        digest::of(&self.projections, &self.generation, workspace).await
    }

    async fn step(&self, step: &str) -> Result<bool, ProjectionError> {
        let mut call = script::REBUILD.call(&[keys::REBUILD.to_owned(), keys::POINTERS.to_owned()]);
        call.arg(step).arg(self.generation.as_str()).arg(HOLD.as_millis() as u64);
        let mut pipe = redis::pipe();
        pipe.add_command(call);
        let answer: u8 = value(self.projections.run(&pipe).await?.pop().unwrap_or(Value::Nil))?;
        Ok(answer == 1)
    }
}

impl Projections {
    /// Removes every key of generations that are neither live nor being filled, in bounded steps.
    async fn remove_stale(&self) -> Result<u64, ProjectionError> {
        let mut removed = 0;
        let mut cursor = "0".to_owned();
        loop {
            let keep = self.pointers().await?.writable();
            let (next, found) = self.scan(&cursor, keys::EVERY_KEY).await?;
            let is_stale = |key: &String| {
                keys::generation_of(key).is_some_and(|name| keep.iter().all(|kept| kept.as_str() != name))
            };
            let stale: Vec<String> = found.into_iter().filter(is_stale).collect();
            if !stale.is_empty() {
                let mut pipe = redis::pipe();
                for key in &stale {
                    pipe.cmd("UNLINK").arg(key);
                }
                self.run(&pipe).await?;
                removed += stale.len() as u64;
            }
            if next == "0" {
                return Ok(removed);
            }
            cursor = next;
        }
    }

    /// One step over the keys that match.
    pub(crate) async fn scan(
        &self,
        cursor: &str,
        pattern: &str,
    ) -> Result<(String, Vec<String>), ProjectionError> {
        let mut pipe = redis::pipe();
        pipe.cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_STEP);
        value(self.run(&pipe).await?.pop().unwrap_or(Value::Nil))
    }
}
