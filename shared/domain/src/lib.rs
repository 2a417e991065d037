//! The pure core: what Ctrlplane is about, as data and as functions of data.
//!
//! Nothing here knows NATS, Redis, HTTP, a runtime or a clock: time is an argument, randomness is none.

pub mod access;
pub mod audit;
pub mod backtest;
pub mod budget;
pub mod catalog;
pub mod command;
pub mod decision;
pub mod dispatch;
pub mod entity;
pub mod evaluate;
pub mod event_token;
pub mod freeze;
pub mod hint;
pub mod id;
pub mod job;
pub mod manifest;
pub mod merge;
mod near;
pub mod rollout;
pub mod schema;
pub mod selector;
pub mod slots;
pub mod subject;
pub mod target;
pub mod template;
pub mod token;
pub mod trigger;
pub mod trigger_rule;
pub mod variables;
pub mod verification;
pub mod webhook;
pub mod window;
pub mod workflow;

/// A moment in UTC; RFC 3339 on the wire.
pub type Timestamp = chrono::DateTime<chrono::Utc>;

/// What lies between two moments.
pub type TimeDelta = chrono::TimeDelta;
