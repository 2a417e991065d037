//! The evaluator against a reference model of docs/policies.md that was written without it, in random worlds; and laws
//! that hold in every world.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails by panicking")]

mod compare;
mod laws;
mod model;
mod subject;
mod worlds;
