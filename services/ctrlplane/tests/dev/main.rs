//! A system started with `ctrlplane dev`, and what people and CI do with it: the ready steps for CI, and every command the
//! documentation shows.
#![allow(clippy::disallowed_methods, reason = "tests are a shell: they have a clock and an environment")]

mod ci;
mod commands;
mod docs;
mod rig;
