//! Verifications on a real bus: the suite every platform passes, and the whole service, one and several at once, dying and not.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test is its own shell, and stops at the first surprise"
)]

mod conformance;
mod crash;
mod measuring;
mod rig;
