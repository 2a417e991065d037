//! A cluster's part of the shared API budget. Kubernetes tells nobody what is left: it asks for a pause when there is too much
//! (API priority and fairness), and each job agent may set a pace of its own.

use crate::access::SignIn;
use crate::refusal::Refused;
use domain::token::Slug;
use platform::CallError;
use platform::budget::{Budget, BudgetKey, Budgets, Kind, Learned, RateLimit, Slot};
use std::fmt;
use std::sync::Arc;

/// How many objects may be made at once after a pause.
const BURST: u32 = 10;

/// Whose calls are counted, and where all replicas see it.
#[derive(Debug, Clone)]
pub struct Counted {
    /// The budgets of this process.
    pub budgets: Arc<Budgets>,
    /// Whose: the agent's platform.
    pub platform: Slug,
}

impl Counted {
    /// The budget of a way in, from now on at that pace of writes a minute; 0 is none.
    pub(crate) fn of(&self, host: &str, sign_in: &SignIn, writes_per_minute: u32) -> Arc<Budget> {
        let key = BudgetKey {
            platform: self.platform.clone(),
            host: host.to_owned(),
            credential: sign_in.counted_as(),
        };
        let limit = match writes_per_minute {
            0 => RateLimit::OFF,
            writes_per_minute => RateLimit { writes_per_minute, burst: BURST },
        };
        self.budgets.of(&key, limit)
    }
}

/// The budget that a cluster's calls are made from; without one, nobody counts.
#[derive(Clone, Default)]
pub(crate) struct Share(pub(crate) Option<Arc<Budget>>);

impl Share {
    /// Takes a place for an object to be made.
    pub(crate) async fn reserve(&self) -> Result<(), CallError> {
        if let Some(budget) = &self.0 {
            budget.admit(Kind::Write).await?;
        }
        Ok(())
    }

    /// Asks whether the cluster wants to be left alone, and waits for a place among the calls of this process.
    pub(crate) async fn enter(&self, turn: Turn) -> Result<Option<Slot>, CallError> {
        let Some(budget) = &self.0 else { return Ok(None) };
        if turn == Turn::Ask {
            budget.admit(Kind::Read).await?;
        }
        Ok(Some(budget.slot().await))
    }

    /// What a refusal tells: every call of every replica waits where this one was told to.
    pub(crate) async fn learn(&self, refused: &Refused) {
        if let (Some(budget), Refused::Call(CallError::RateLimited { after, .. })) = (&self.0, refused) {
            budget.learned(Learned { blocked_for: Some(*after), ..Learned::default() }).await;
        }
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Share(counted)" } else { "Share(uncounted)" })
    }
}

/// Whether a call still has to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has to.
    Ask,
    /// It makes what a place was reserved for.
    Reserved,
}
