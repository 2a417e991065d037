//! Argo's part of the shared API budget: Argo counts nothing itself, but the Kubernetes API behind it may ask for a pause.

use crate::argo::config::{ArgoConfig, ServerPlace};
use domain::token::Slug;
use platform::budget::{Budget, BudgetKey, RateLimit};
use std::sync::Arc;

/// The budgets of all credentials.
pub(super) struct Budgets {
    shared: Arc<platform::budget::Budgets>,
    platform: Slug,
}

impl Budgets {
    pub(super) fn new(shared: Arc<platform::budget::Budgets>, platform: Slug) -> Self {
        Self { shared, platform }
    }

    /// The budget a config's calls are made from.
    pub(super) fn of(&self, config: &ArgoConfig, server: &ServerPlace) -> Arc<Budget> {
        let key = BudgetKey {
            platform: self.platform.clone(),
            host: server.base.host().to_owned(),
            credential: format!("token {}", server.token_secret),
        };
        let limit = match config.writes_per_minute {
            0 => RateLimit::OFF,
            writes_per_minute => RateLimit { writes_per_minute, burst: 10 },
        };
        self.shared.of(&key, limit)
    }
}
