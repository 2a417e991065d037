//! What is left of a platform's rate limits, as the bucket `budgets` keeps it for all replicas and for people.

use crate::Timestamp;
use crate::token::Slug;
use serde::{Deserialize, Serialize};

/// The value in the bucket: whose budget, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedBudget {
    /// The platform.
    pub platform: Slug,
    /// The host of its API.
    pub host: String,
    /// What the platform counts by, in words a person knows: `app 12345 on acme`. Never a secret.
    pub credential: String,
    /// What is known.
    #[serde(flatten)]
    pub known: BudgetRecord,
}

/// What all replicas know of a credential's budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetRecord {
    /// Nothing is asked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Timestamp>,
    /// How many calls the platform allows in one window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Calls left until `reset_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// When the platform counts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<Timestamp>,
    /// The theoretical arrival time of the next write, if writes came evenly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_write_at: Option<Timestamp>,
    /// When `remaining` was learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_reads_back_also_without_its_owner() {
        let known = BudgetRecord { remaining: Some(7), limit: Some(5_000), ..BudgetRecord::default() };
        let budget = SharedBudget {
            platform: "github-app".parse().unwrap(),
            host: "api.github.com".to_owned(),
            credential: "app 1 on acme".to_owned(),
            known,
        };
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<SharedBudget>(&text).unwrap(), budget);
        assert_eq!(serde_json::from_str::<BudgetRecord>(&text).unwrap(), known);
    }
}
