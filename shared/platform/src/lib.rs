//! What every job agent shares: the `Platform` trait, the command handler, the HTTP client,
//! the API budget all replicas share, and the conformance suite.
#![warn(missing_docs)]

pub mod agent;
pub mod budget;
pub mod config;
pub mod conformance;
pub mod http;
mod platform;
mod recover;
pub mod recovery;
mod secrets;
mod words;

pub use bus::clock::{Clock, ClockHand};
pub use platform::{
    CallError, CancelAck, CancelMode, CorrelationKey, Found, News, NotReadable, Platform, PlatformEvent,
    RunKey, Seen, Signal, TriggerRequest, Triggered, WatchKey,
};
pub use recover::{AttemptsPage, HookAt, Recover, Redelivered, leads_to_us};
pub use secrets::{NoSecrets, SecretSource};
