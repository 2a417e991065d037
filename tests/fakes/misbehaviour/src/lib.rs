//! How the stand-ins for platforms go wrong, as told or by seed: calls, webhooks, connections; and how they keep their state and
//! do things later. It knows no platform.

mod calls;
mod dice;
mod hooks;
mod late;
mod listener;
mod stage;
mod timers;

pub use calls::{Fault, FaultKind, Faults};
pub use dice::Dice;
pub use hooks::{HookChaos, HookFault, HookFaultKind, HookFaults};
pub use late::{Late, whole};
pub use listener::{Cord, CuttableListener, CuttableStream};
pub use stage::{Stage, Timed};
pub use timers::Timers;
