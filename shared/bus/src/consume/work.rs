//! stub
use super::handler::Handler;
use super::settle::Limits;
use crate::connect::Bus;
use crate::error::BusError;
use crate::topology::ConsumerSpec;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Works
pub async fn consume<H: Handler>(
    bus: &Bus,
    consumer: ConsumerSpec,
    handler: Arc<H>,
    limits: Limits,
    drain: CancellationToken,
) -> Result<(), BusError> {
    let _ = (bus, consumer, handler, limits, drain);
    unimplemented!()
}
