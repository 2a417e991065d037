//! Takes webhooks and CloudEvents in: verifies, stores, then answers.
//!
//! Knows signatures and envelopes, not what an event means. The three modules here are pure: no clock, no network, no store.

pub mod envelope;
pub mod sources;
pub mod verify;
