//! The API as its clients see it, against real servers.
#![allow(clippy::unwrap_used, reason = "a panic is a test's answer")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock and an environment")]

mod applying;
mod approvals;
mod audit;
mod auth;
mod backtest;
mod console;
mod dead_letters;
mod doctor;
mod events;
mod freezes;
mod harness;
mod jobs;
mod keys;
mod limits;
mod login;
mod pins;
mod promises;
mod redeploys;
mod renaming;
mod rest;
mod rollouts;
mod routes;
mod sessions;
mod skips;
mod targets;
mod versions;
mod workflows;
