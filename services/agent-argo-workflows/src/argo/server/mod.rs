//! Argo Server: workflows over its REST API, news over its event stream.

mod api;
mod auth;
mod budgets;
mod events;
mod watch;

pub(super) use api::{Api, Submitted};
