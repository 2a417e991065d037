//! The bus against real servers: what is promised must hold through crashes, restarts and several writers at once.
#![allow(clippy::unwrap_used, reason = "a test: the panic is the report")]

mod access;
mod back;
mod consume;
mod ensure;
mod follow;
mod jobs;
mod kv;
mod publish;
mod recover;
mod replay;
mod rig;
mod subscribe;
