//! Reading single jobs, their timelines, and counts.

use crate::confirm::view;
use crate::error::ProjectionError;
use crate::history::HistoryEntry;
use crate::keys;
use crate::store::Projections;
use domain::id::JobId;
use domain::job::{JobStatus, JobView};
use domain::token::Slug;
use redis::{FromRedisValue, Value};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

impl Projections {
    /// A job; `None` when the views do not have it.
    ///
    /// # Errors
    /// When Redis does not answer, or what it holds is no job.
    pub async fn job(&self, workspace: &Slug, id: JobId) -> Result<Option<JobView>, ProjectionError> {
        let answers = self
            .read(|generation, pipe| {
                let key = keys::job(&keys::prefix(generation, workspace), id);
                pipe.cmd("HMGET").arg(key).arg("document").arg("confirmed");
            })
            .await?;
        let (document, confirmed): (Option<String>, Option<i64>) =
            value(answers.into_iter().next().unwrap_or(Value::Nil))?;
        document.map(|document| view(&document, confirmed)).transpose()
    }

    /// The timeline of a job, oldest first: its last [`crate::HISTORY_MAX`] facts.
    ///
    /// # Errors
    /// When Redis does not answer, or what it holds is no timeline.
    pub async fn history(&self, workspace: &Slug, id: JobId) -> Result<Vec<HistoryEntry>, ProjectionError> {
        let answers = self
            .read(|generation, pipe| {
                let key = keys::history(&keys::prefix(generation, workspace), id);
                pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1);
            })
            .await?;
        let entries: Vec<String> = value(answers.into_iter().next().unwrap_or(Value::Nil))?;
        entries.iter().map(|entry| parse(entry)).collect()
    }

    /// How many jobs are in each status; every status is there.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn counts(&self, workspace: &Slug) -> Result<BTreeMap<JobStatus, u64>, ProjectionError> {
        let answers = self
            .read(|generation, pipe| {
                let prefix = keys::prefix(generation, workspace);
                for status in JobStatus::ALL {
                    pipe.cmd("ZCARD").arg(keys::index(&prefix, &keys::by_status(status)));
                }
            })
            .await?;
        JobStatus::ALL.into_iter().zip(answers).map(|(status, count)| Ok((status, value(count)?))).collect()
    }

    /// The workspaces that have jobs.
    ///
    /// # Errors
    /// When Redis does not answer, or what it holds are no workspaces.
    pub async fn workspaces(&self) -> Result<Vec<Slug>, ProjectionError> {
        let answers = self
            .read(|generation, pipe| {
                pipe.cmd("SMEMBERS").arg(keys::workspaces(generation));
            })
            .await?;
        let mut names: Vec<String> = value(answers.into_iter().next().unwrap_or(Value::Nil))?;
        names.sort();
        names
            .into_iter()
            .map(|name| name.parse().map_err(|error| ProjectionError::corrupt("a workspace", error)))
            .collect()
    }
}

/// The answer as what it should be.
pub(crate) fn value<T: FromRedisValue>(answer: Value) -> Result<T, ProjectionError> {
    T::from_redis_value(answer).map_err(|error| ProjectionError::corrupt("an answer", error))
}

/// The document as what it should be.
pub(crate) fn parse<T: DeserializeOwned>(document: &str) -> Result<T, ProjectionError> {
    serde_json::from_str(document)
        .map_err(|error| ProjectionError::corrupt(std::any::type_name::<T>(), error))
}
