//! The evaluator as a whole, against a real nats-server.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests have a clock, and may panic")]

mod crash;
mod decides;
mod replicas;
mod rig;
mod runs;
mod triggers;
