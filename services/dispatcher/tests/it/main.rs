//! The dispatcher as a whole, against a real nats-server.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests have a clock, and may panic")]

mod freezes;
mod rig;
