//! Works hints: when this replica has seen what the hint's sender saw, it looks at the deployment.

use crate::evaluator::Evaluator;
use crate::memory::Memory;
use async_trait::async_trait;
use bus::{Delivery, Failure, Handler, Json, clock};
use domain::hint::Hint;
use std::sync::Arc;
use std::time::Duration;

/// How long a hint waits for this replica's folds before it goes to another try.
const FOLDS_WITHIN: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_millis(250);

/// Works hints.
pub(crate) struct HintWorker {
    pub(crate) evaluator: Arc<Evaluator>,
    pub(crate) memory: Arc<Memory>,
}

#[async_trait]
impl Handler for HintWorker {
    type Event = Json<Hint>;

    async fn handle(&self, Json(hint): Json<Hint>, delivery: &Delivery) -> Result<(), Failure> {
        let reached = &self.memory.reached;
        let seen = async {
            reached.catalog.until(hint.catalog_revision).await;
            reached.facts.until(hint.jobs_sequence).await;
        };
        if tokio::time::timeout(FOLDS_WITHIN, seen).await.is_err() {
            let why = format!(
                "this replica has seen the catalog up to {} of {} and the facts up to {} of {}",
                reached.catalog.sequence(),
                hint.catalog_revision,
                reached.facts.sequence(),
                hint.jobs_sequence
            );
            return Err(Failure::Later { after: LATER, why });
        }
        let lag = clock::now() - delivery.published_at;
        metrics::histogram!("evaluator_hint_lag_seconds").record(lag.as_seconds_f64().max(0.0));
        self.evaluator.look(&hint.workspace, hint.deployment, Some(&hint.cause)).await?;
        Ok(())
    }
}
