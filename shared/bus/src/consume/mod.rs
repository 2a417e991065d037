//! The one consumer loop: asks for as many messages as it has free slots, runs a handler for each, and settles.
//! It does not know what a message means.

mod attempts;
mod handler;
mod one;
mod settle;
mod work;

pub use handler::{Decode, DecodeError, Delivery, Failure, Handler, Json, RawMessage};
pub use settle::{Limits, Settlement, settle};
pub use work::consume;
