//! Random worlds: what may be declared in them, what may happen, and who keeps account of it.

pub(crate) mod account;
pub(crate) mod plan;
pub(crate) mod step;
pub(crate) mod strategies;

pub(crate) use plan::Plan;
pub(crate) use step::Step;
