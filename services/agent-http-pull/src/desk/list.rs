//! Which jobs there are.

use super::Desk;
use crate::auth::Puller;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::store::Place;
use crate::wire::{Item, ListQuery};
use domain::id::JobId;
use futures::StreamExt as _;
use serde_json::{Value, json};

/// How many jobs are looked up at once.
const AT_ONCE: usize = 16;

impl Desk {
    /// The jobs of the puller's agent, longest waiting first. With a wait, as soon as there is one.
    pub(crate) async fn list(&self, puller: &Puller, query: &ListQuery) -> Result<Value, Refusal> {
        let wants = query.wants()?;
        let until = tokio::time::Instant::now() + self.settings.wait(query.wait_seconds);
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let (items, total) = self.page(puller, wants, query.limit()).await?;
            if items.is_empty() && self.another(&mut changes, until).await {
                continue;
            }
            return Ok(json!({ "items": items, "total": total, "limit": query.limit(), "offset": 0 }));
        }
    }

    async fn page(
        &self,
        puller: &Puller,
        wants: fn(&Record) -> bool,
        limit: usize,
    ) -> Result<(Vec<Item>, usize), Refusal> {
        let all: Vec<(Place, Record)> = self
            .agenda()
            .of_agent(&puller.workspace, puller.agent)
            .into_iter()
            .filter(|(_, record)| wants(record))
            .collect();
        let total = all.len();
        let checked: Vec<Result<Option<Item>, Refusal>> = futures::stream::iter(all.into_iter().take(limit))
            .map(|(place, record)| async move {
                let is_there = !record.is_fresh() || self.check(&place).await?;
                Ok(is_there.then(|| Item::of(&record)))
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let items: Vec<Option<Item>> = checked.into_iter().collect::<Result<_, _>>()?;
        let gone = items.iter().filter(|item| item.is_none()).count();
        Ok((items.into_iter().flatten().collect(), total - gone))
    }

    /// One job of the puller's agent, over or not.
    pub(crate) async fn get(&self, puller: &Puller, job: JobId) -> Result<Item, Refusal> {
        let stored = self.store.load(&puller.place(job)).await?.ok_or_else(|| Refusal::no_job(job))?;
        Ok(Item::of(&stored.record))
    }
}
