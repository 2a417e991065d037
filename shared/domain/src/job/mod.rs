//! Jobs: their public vocabulary, the facts that happen to them, and the state that is the fold of the facts.

mod admit;
mod confirmation;
mod deadline;
mod event;
mod evolve;
mod state;
mod status;
mod view;

pub use admit::{Admission, Refusal, admit};
pub use confirmation::Confirmation;
pub use deadline::{Due, Overdue, due};
pub use event::{
    CancelReason, Dispatch, ExternalRef, HeldWhy, JobEvent, JobFact, JobRef, Links, OrderKey, Purpose,
    RawStatus, Snapshot, SnapshotStatus, Source,
};
pub use evolve::{evolve, fold, settled};
pub use state::{Assigned, Cancelling, JobState, Phase};
pub use status::{ActiveStatus, JobStatus, Reason, TerminalStatus};
pub use view::JobView;
