//! Lists of jobs, newest first, by the index with the fewest jobs, in bounded steps.

use crate::confirm::view;
use crate::error::ProjectionError;
use crate::filter::{Cursor, JobFilter, JobPage, LIMIT_MAX, OFFSET_MAX, Page, TOTAL_MAX};
use crate::read::value;
use crate::store::Projections;
use crate::{keys, script};
use domain::token::Slug;
use redis::{Cmd, Pipeline, Value};

/// Redis does nothing else while it walks: a few ms for this many jobs.
const WALK_MAX: usize = 2_000;
/// How many walks one page may cost.
const WALKS_MAX: usize = 50;

impl Projections {
    /// The jobs that fit, newest first.
    ///
    /// # Errors
    /// When Redis does not answer, or what it holds are no jobs.
    pub async fn jobs(
        &self,
        workspace: &Slug,
        filter: &JobFilter,
        page: Page,
    ) -> Result<JobPage, ProjectionError> {
        let groups = keys::groups_of(filter);
        let limit = page.limit.min(LIMIT_MAX);
        let mut at = Place { skip: page.offset.min(OFFSET_MAX), after: page.after };
        let mut items = Vec::with_capacity(limit.min(100));
        let mut total = None;
        let mut next = None;
        for _ in 0..WALKS_MAX {
            let first = total.is_none();
            let answers = self
                .read(|generation, pipe| {
                    let prefix = keys::prefix(generation, workspace);
                    if first {
                        add_totals(pipe, &prefix, &groups);
                    }
                    pipe.add_command(walk(&prefix, &groups, limit - items.len(), at));
                })
                .await?;
            let (step, totals) =
                answers.split_last().ok_or_else(|| ProjectionError::corrupt("list", "no answer"))?;
            if first {
                total = Some(sum(totals)?);
            }
            let step = Step::read(step.clone())?;
            for (document, confirmed) in &step.documents {
                items.push(view(document, *confirmed)?);
            }
            next = if step.ended { None } else { step.at.after };
            at = step.at;
            if step.ended || items.len() >= limit {
                break;
            }
        }
        let total = total.unwrap_or(0);
        let narrowed = groups.len() > 1;
        Ok(JobPage {
            items,
            total: if narrowed { total.min(TOTAL_MAX) } else { total },
            total_is_floor: narrowed && total > TOTAL_MAX,
            next,
        })
    }
}

#[derive(Clone, Copy)]
struct Place {
    skip: u64,
    after: Option<Cursor>,
}

struct Step {
    ended: bool,
    at: Place,
    /// Each with when it was last confirmed, in ms, where that is known.
    documents: Vec<(String, Option<i64>)>,
}

impl Step {
    fn read(answer: Value) -> Result<Self, ProjectionError> {
        let parts: Vec<String> = value(answer)?;
        let [ended, skip, created_ms, job, documents @ ..] = parts.as_slice() else {
            return Err(ProjectionError::corrupt("a list", "too short an answer"));
        };
        let unreadable = |why: &dyn std::fmt::Display| ProjectionError::corrupt("a place in a list", why);
        let after = if job.is_empty() {
            None
        } else {
            Some(Cursor {
                created_ms: created_ms.parse().map_err(|error| unreadable(&error))?,
                job: job.parse().map_err(|error| unreadable(&error))?,
            })
        };
        let skip = skip.parse().map_err(|error| unreadable(&error))?;
        let documents = documents.chunks_exact(2).map(|pair| match pair {
            [document, confirmed] => Ok((document.clone(), confirmed.parse().ok())),
            _ => Err(ProjectionError::corrupt("a list", "half a job")),
        });
        Ok(Self {
            ended: ended == "1",
            at: Place { skip, after },
            documents: documents.collect::<Result<_, _>>()?,
        })
    }
}

fn walk(prefix: &str, groups: &[Vec<String>], wanted: usize, at: Place) -> Cmd {
    let names: Vec<String> = groups.iter().flatten().map(|name| keys::index(prefix, name)).collect();
    let mut call = script::LIST.call(&names);
    call.arg(format!("{prefix}job:")).arg(wanted).arg(at.skip).arg(WALK_MAX);
    match at.after {
        Some(cursor) => call.arg(cursor.created_ms).arg(cursor.job.to_string()),
        None => call.arg("").arg(""),
    };
    for group in groups {
        call.arg(group.len());
    }
    call
}

/// No job is in two statuses, and only statuses come in several: so the sum over the first group counts each job once.
fn add_totals(pipe: &mut Pipeline, prefix: &str, groups: &[Vec<String>]) {
    let Some((first, others)) = groups.split_first() else { return };
    let others: Vec<String> = others.iter().flatten().map(|name| keys::index(prefix, name)).collect();
    for name in first {
        let key = keys::index(prefix, name);
        if others.is_empty() {
            pipe.cmd("ZCARD").arg(key);
        } else {
            pipe.cmd("ZINTERCARD").arg(others.len() + 1).arg(key).arg(&others);
            pipe.arg("LIMIT").arg(TOTAL_MAX + 1);
        }
    }
}

fn sum(counts: &[Value]) -> Result<u64, ProjectionError> {
    counts.iter().map(|count| value::<u64>(count.clone())).sum()
}
