//! Showing a job as its facts made it. The sequence in `JOBS` guards: duplicates and reordered news change nothing.

use crate::error::ProjectionError;
use crate::generation::Generation;
use crate::history::{HISTORY_MAX, HistoryEntry};
use crate::store::Projections;
use crate::{keys, script};
use domain::job::JobView;
use domain::token::Slug;
use redis::{Cmd, FromRedisValue, Pipeline};
use std::collections::BTreeSet;

/// The field of the `applied` key that counts the facts of jobs.
const JOBS: &str = "JOBS";

/// What a job has become, and what led there.
#[derive(Debug, Clone, PartialEq)]
pub struct JobChange {
    /// The job after its last fact.
    pub view: JobView,
    /// The facts to note in its timeline; those that are there already do no harm.
    pub history: Vec<HistoryEntry>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Applied {
    /// It is shown.
    Stored,
    /// Something as new was shown already. Its timeline entries are noted all the same.
    Older,
}

impl Projections {
    /// Shows a change, unless something as new is shown.
    ///
    /// # Errors
    /// When Redis does not answer. Applying it again does no harm.
    pub async fn apply(&self, change: &JobChange) -> Result<Applied, ProjectionError> {
        let applied = self.apply_batch(std::slice::from_ref(change)).await?;
        applied.first().copied().ok_or_else(|| ProjectionError::corrupt("apply", "no answer"))
    }

    /// Shows many changes in one round trip, in order; answers in the same order.
    ///
    /// # Errors
    /// When Redis does not answer. Some may have been applied; applying all again does no harm.
    pub async fn apply_batch(&self, changes: &[JobChange]) -> Result<Vec<Applied>, ProjectionError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let documents = documents(changes)?;
        let answers = self
            .write(|generation, pipe| {
                add(pipe, generation, changes, &documents);
                pipe.add_command(advance(greatest(changes)));
            })
            .await?;
        changes.iter().zip(answers).map(|(_, answer)| read_applied(answer)).collect()
    }

    /// The greatest sequence of `JOBS` that reached the views; 0 before the first.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn applied_sequence(&self) -> Result<u64, ProjectionError> {
        let mut pipe = redis::pipe();
        pipe.cmd("HGET").arg(keys::APPLIED).arg(JOBS);
        let answer = self.run(&pipe).await?.pop().unwrap_or(redis::Value::Nil);
        let known: Option<u64> = FromRedisValue::from_redis_value(answer)
            .map_err(|error| ProjectionError::corrupt(keys::APPLIED, error))?;
        Ok(known.unwrap_or(0))
    }
}

/// Everything that shows the changes in one generation: first one command per change, in order.
pub(crate) fn add(
    pipe: &mut Pipeline,
    generation: &Generation,
    changes: &[JobChange],
    documents: &[Document],
) {
    for (change, document) in changes.iter().zip(documents) {
        pipe.add_command(command(generation, &change.view, document));
    }
    let workspaces: BTreeSet<&Slug> = changes.iter().map(|change| &change.view.workspace).collect();
    let names: Vec<&str> = workspaces.into_iter().map(Slug::as_str).collect();
    pipe.cmd("SADD").arg(keys::workspaces(generation)).arg(names);
}

/// Notes how far the views are.
pub(crate) fn advance(sequence: u64) -> Cmd {
    let mut call = script::ADVANCE.call(&[keys::APPLIED.to_owned()]);
    call.arg(JOBS).arg(sequence);
    call
}

pub(crate) fn greatest(changes: &[JobChange]) -> u64 {
    changes.iter().map(|change| change.view.sequence).max().unwrap_or(0)
}

/// A change as bytes.
pub(crate) struct Document {
    view: String,
    history: Vec<(u64, String)>,
}

pub(crate) fn documents(changes: &[JobChange]) -> Result<Vec<Document>, ProjectionError> {
    changes.iter().map(document).collect()
}

fn document(change: &JobChange) -> Result<Document, ProjectionError> {
    let unwritable = |error| ProjectionError::corrupt(format!("job {}", change.view.id), error);
    let newest = change.history.len().saturating_sub(HISTORY_MAX);
    let history = change.history[newest..].iter();
    Ok(Document {
        view: serde_json::to_string(&change.view).map_err(unwritable)?,
        history: history
            .map(|entry| Ok((entry.sequence, serde_json::to_string(entry)?)))
            .collect::<Result<_, _>>()
            .map_err(unwritable)?,
    })
}

fn command(generation: &Generation, view: &JobView, document: &Document) -> Cmd {
    let prefix = keys::prefix(generation, &view.workspace);
    let indexes = keys::indexes_of(view);
    let mut names = vec![keys::job(&prefix, view.id), keys::history(&prefix, view.id)];
    names.extend(indexes.iter().map(|name| keys::index(&prefix, name)));
    let mut call = script::APPLY.call(&names);
    call.arg(view.sequence)
        .arg(&document.view)
        .arg(view.created_at.timestamp_millis())
        .arg(view.id.to_string())
        .arg(keys::index(&prefix, ""))
        .arg(indexes.join("\n"))
        .arg(HISTORY_MAX);
    for (sequence, entry) in &document.history {
        call.arg(*sequence).arg(entry);
    }
    call
}

fn read_applied(answer: redis::Value) -> Result<Applied, ProjectionError> {
    match FromRedisValue::from_redis_value(answer) {
        Ok(1u8) => Ok(Applied::Stored),
        Ok(_) => Ok(Applied::Older),
        Err(error) => Err(ProjectionError::corrupt("the answer to apply", error)),
    }
}
