//! The API budget: what a credential may still ask of its platform, shared by all replicas through the `budgets` bucket.
//! It knows limits and time; not what is asked, and no platform's headers.

mod decide;
mod registry;
mod shared;

pub use decide::{Kind, Learned, RateLimit, RateLimited};
pub use registry::{BudgetKey, Budgets};
pub use shared::{Budget, Slot};
