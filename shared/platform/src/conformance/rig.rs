//! What the suite needs of a platform's stand-in.

use crate::platform::Platform;
use async_trait::async_trait;
use bytes::Bytes;
use domain::id::JobId;
use domain::token::Slug;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A platform's implementation, wired to a stand-in of the platform that can be told what to do.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The implementation.
    type Platform: Platform;

    /// The implementation under test, with short deadlines: a lost answer must show within a second or so.
    fn platform(&self) -> Arc<Self::Platform>;

    /// A config with which jobs run.
    fn config(&self) -> Map<String, Value>;

    /// Where in that config secrets belong, by JSON pointer, and their names.
    fn secret_places(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Texts that must never be recorded: tokens, keys, passwords.
    fn secrets(&self) -> Vec<String>;

    /// How many runs there are of the job, over or not. Runs show in a search at once.
    async fn runs(&self, job: JobId) -> usize;

    /// The next call that starts a run is cut off, and has its effect only at [`Rig::let_it_happen`]. `false`: that cannot make a
    /// second run, however late it comes, because a run's name is the job's own.
    async fn cut_off(&self) -> bool {
        false
    }

    /// The effect of a call that was cut off comes now, if it has not come yet; it is there when this returns.
    async fn let_it_happen(&self) {}

    /// What goes wrong from now on.
    async fn fault(&self, fault: Fault);

    /// What the platform says to that: people must hear its words.
    fn says(&self, fault: Fault) -> &'static str;

    /// Nothing goes wrong any more.
    async fn heal(&self);

    /// Changes the job's run behind our back, each time with a later stamp; tells nobody.
    async fn set(&self, job: JobId, run: RunIs);

    /// Whether a run that is over can run again. Where it cannot, a job that is to run again ends and says so.
    fn runs_again(&self) -> bool {
        true
    }

    /// The webhook the platform would send of the job's run as it is now; `None` where the platform has none.
    async fn webhook(&self, job: JobId) -> Option<Webhook>;
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next call that starts a run has its effect, and its answer never comes.
    AnswerLost,
    /// The next call that starts a run has no effect and is told to wait.
    RateLimited {
        /// For how long.
        after: Duration,
    },
    /// No credential is good, until healed.
    Unauthorized,
    /// What is to be run does not exist, until healed.
    Invalid,
}

/// How a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunIs {
    /// Running.
    InProgress,
    /// Over, well.
    Successful,
    /// Over, because it was asked to end.
    Cancelled,
    /// In words no version of us knows.
    Unheard,
    /// Deleted.
    Deleted,
}

/// A webhook as the ingester would hand it on.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The event type.
    pub event_type: String,
    /// The kind of its trigger source.
    pub source_kind: Slug,
    /// The payload.
    pub payload: Bytes,
}
