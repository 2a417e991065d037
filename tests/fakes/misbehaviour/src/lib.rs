//! How the stand-ins for platforms go wrong, as told or by seed: calls, webhooks, connections. It knows no platform.

mod calls;
mod dice;
mod hooks;
mod late;
mod listener;

pub use calls::{Fault, FaultKind, Faults};
pub use dice::Dice;
pub use hooks::{HookChaos, HookFault, HookFaultKind, HookFaults};
pub use late::{Late, whole};
pub use listener::{Cord, CuttableListener, CuttableStream};
