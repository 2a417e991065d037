//! JetStream as this system uses it: topology, publish, the one consumer loop, settling, key-value folds, job log,
//! dead letters. It knows the shape of jobs and subjects, and nothing of what services do with them.
#![warn(missing_docs)]

mod back;
mod backoff;
mod bucket;
pub mod catalog;
pub mod clock;
mod connect;
mod consume;
mod crash;
pub mod dead;
mod direct;
mod ensure;
mod error;
mod follow;
mod freezes;
mod inspect;
mod job_log;
mod messages;
mod objects;
mod publish;
mod pull;
mod recent;
mod replay;
mod serve;
pub mod topology;
mod trigger;

pub use async_nats::HeaderMap;
pub use back::{ReadBack, read_back};
pub use bucket::{Bucket, Entry};
pub use connect::{Bus, ConnectOptions, Provision};
pub use consume::{
    Decode, DecodeError, Delivery, Failure, Handler, Json, Limits, RawMessage, Settlement, consume, settle,
};
pub use crash::crash_point;
pub use error::{BusError, CasError, PublishError};
pub use follow::{Change, FollowSource, From, follow};
pub use freezes::Freezes;
pub use inspect::{ConsumerState, StreamEnds};
pub use job_log::{Base, JobLog, Known, Recorded};
pub use messages::StoredMessage;
pub use objects::Objects;
pub use publish::Published;
pub use recent::{Headed, Recent};
pub use replay::{latest, replay};
pub use serve::{Answer, Request, Responder, serve};
pub use trigger::{PAYLOAD_BYTES_MAX, TriggerEvent};
