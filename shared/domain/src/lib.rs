//! The pure core: what Ctrlplane is about, as data and as functions of data.
//!
//! Nothing here knows NATS, Redis, HTTP, a runtime or a clock: time is an argument, randomness is none.

pub mod command;
pub mod decision;
pub mod entity;
pub mod evaluate;
pub mod hint;
pub mod id;
pub mod job;
pub mod schema;
pub mod subject;
pub mod target;
pub mod token;
pub mod trigger;

/// A moment in UTC; RFC 3339 on the wire.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
pub mod catalog;
pub mod dispatch;
pub mod manifest;
pub mod merge;
pub mod selector;
pub mod template;
pub mod trigger_rule;
