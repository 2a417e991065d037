//! The back-test: what happened, replayed through policies that somebody proposes. It tells which jobs they would have
//! stopped or delayed, and for how long; nothing is written anywhere.

mod past;
mod reading;
mod remembered;
mod replay;
mod report;
#[cfg(test)]
mod tests;

pub use past::{CatalogMoment, JobMoment, Past};
pub use reading::{Limits, Reading};
pub use replay::{Question, backtest};
pub use report::{
    Cut, CutBy, HeldBy, JudgedJob, LookedAt, Outcome, Report, Totals, Unreadable, UnreadableMessage,
};
