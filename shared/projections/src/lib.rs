//! The Redis views of jobs: keys, guarded writes, reads and rebuild.
//!
//! A view is a disposable fold of the facts in `JOBS`: nothing decides from it, and dropping it loses nothing.
//! This crate does not know NATS, and does not know how facts fold; it is given what to show.
#![warn(missing_docs)]

mod apply;
mod confirm;
mod digest;
mod error;
mod filter;
mod forget;
mod generation;
mod history;
mod keys;
mod list;
mod read;
mod rebuild;
mod script;
mod store;

pub use apply::{Applied, JobChange};
pub use confirm::Confirmed;
pub use error::ProjectionError;
pub use filter::{Cursor, CursorError, JobFilter, JobPage, LIMIT_MAX, OFFSET_MAX, Page, TOTAL_MAX};
pub use generation::Generation;
pub use history::{HISTORY_MAX, HistoryEntry};
pub use rebuild::{Rebuild, Rebuilt};
pub use store::Projections;
