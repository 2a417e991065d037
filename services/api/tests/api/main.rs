//! The API as its clients see it, against real servers.
#![allow(clippy::disallowed_methods, reason = "a test has a clock and an environment")]

mod applying;
mod approvals;
mod auth;
mod backtest;
mod dead_letters;
mod doctor;
mod events;
mod freezes;
mod harness;
mod jobs;
mod pins;
mod redeploys;
mod rest;
mod rollouts;
mod skips;
mod targets;
mod versions;
