//! Who is called what. A name is given, to something new or to something that had another, by one replica at a time: a lease
//! per name, in the bucket of idempotency keys, and under it a look at everything that was written before. So two things of a
//! kind never have one name, whoever asks where. What keeps its name needs no lease.

use std::sync::Arc;
use std::time::Duration;

use bus::catalog::CatalogFold;
use bus::topology::{CATALOG, IDEMPOTENCY};
use bus::{Bucket, Bus, CasError};
use domain::entity::{Entity, Kind, Meta};
use domain::id::derive;
use domain::manifest::has_own_name;
use serde_json::json;
use tokio::time::Instant;

use crate::problem::{Fault, Problem};

/// A lease that stays as it is for so long has no holder any more. Watched, not read off clocks, which differ.
const LEASE: Duration = Duration::from_secs(12);
/// Its holder begins to write within this; the bus gives the write up before the lease is over.
const BEGIN_WITHIN: Duration = Duration::from_secs(4);
/// Longer than a lease: who comes after one that died gets it.
const WAIT: Duration = Duration::from_secs(15);
/// Between two looks at a lease that another holds.
const LOOK: Duration = Duration::from_millis(25);
/// How long our own fold may take to see what is written already.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// The names of the catalog.
pub(crate) struct Names {
    catalog: Bucket,
    leases: Bucket,
    fold: Arc<CatalogFold>,
}

/// A name that may be given now.
pub(crate) struct Held {
    key: String,
    revision: u64,
    since: Instant,
}

impl Names {
    pub(crate) fn new(bus: &Bus, fold: Arc<CatalogFold>) -> Self {
        Self { catalog: bus.bucket(&CATALOG), leases: bus.bucket(&IDEMPOTENCY), fold }
    }

    /// The name of `after`, where it did not have it before, once it is certain that nothing else has it.
    pub(crate) async fn hold(
        &self,
        before: Option<&Entity>,
        after: &Entity,
    ) -> Result<Option<Held>, Problem> {
        let meta = after.meta();
        if !has_own_name(after.kind()) || before.is_some_and(|before| before.meta().name == meta.name) {
            return Ok(None);
        }
        let held = self.lease(after.kind(), meta).await?;
        match self.free(after).await {
            Ok(()) => Ok(Some(held)),
            Err(problem) => {
                self.release(Some(held)).await;
                Err(problem)
            }
        }
    }

    /// Lets others have the name again, or find out that it is taken.
    pub(crate) async fn release(&self, held: Option<Held>) {
        let Some(held) = held else { return };
        if let Err(error) = self.leases.delete_at(&held.key, held.revision).await {
            tracing::warn!(%error, "the lease of a name is left to run out");
        }
    }

    async fn lease(&self, kind: Kind, meta: &Meta) -> Result<Held, Problem> {
        let key = derive(&["name", kind.name(), meta.workspace.as_str(), &meta.name]).to_string();
        let lease = json!({ "id": meta.id });
        let began = Instant::now();
        let mut watched: Option<(u64, Instant)> = None;
        loop {
            match self.leases.create_json(&key, &lease).await {
                Ok(revision) => return Ok(Held { key, revision, since: Instant::now() }),
                Err(CasError::Conflict) => {}
                Err(CasError::Bus(error)) => return Err(error.into()),
            }
            let Some(theirs) = self.leases.get(&key).await? else { continue };
            let since = match watched {
                Some((revision, since)) if revision == theirs.revision => since,
                Some(_) | None => Instant::now(),
            };
            watched = Some((theirs.revision, since));
            if since.elapsed() >= LEASE {
                match self.leases.update_json(&key, &lease, theirs.revision).await {
                    Ok(revision) => return Ok(Held { key, revision, since: Instant::now() }),
                    Err(CasError::Conflict) => {}
                    Err(CasError::Bus(error)) => return Err(error.into()),
                }
            }
            if began.elapsed() >= WAIT {
                return Err(taken(kind, &meta.name, "is being given to something else; try again"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Refuses a name that something else has, as far as anything was written until now.
    async fn free(&self, after: &Entity) -> Result<(), Problem> {
        let last = self.catalog.last_revision().await?;
        if !self.fold.wait_for(last, SEEN_WITHIN).await {
            return Err(Problem::unavailable("the catalog is not up to date here; try again"));
        }
        self.check(after)
    }

    /// Refuses a name that something else has, as far as is known here.
    pub(crate) fn check(&self, after: &Entity) -> Result<(), Problem> {
        let (kind, meta) = (after.kind(), after.meta());
        let catalog = self.fold.read();
        let other = catalog.workspace(&meta.workspace).and_then(|workspace| {
            workspace
                .entities(kind)
                .find(|other| other.meta().name == meta.name && other.meta().id != meta.id)
        });
        match other {
            Some(other) if has_own_name(kind) => {
                let id = other.meta().id;
                Err(taken(kind, &meta.name, &format!("is the name of another already ({id})")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Held {
    /// Whether it is certain that nobody else has the lease, until a write that begins now is confirmed or given up.
    pub(crate) fn is_fresh(&self) -> bool {
        self.since.elapsed() < BEGIN_WITHIN
    }
}

/// What a document declares keeps its name: it was found by it, and has another one since.
pub(crate) fn keeps(before: &Entity, after: &Entity) -> Result<(), Problem> {
    if !has_own_name(after.kind()) || before.meta().name == after.meta().name {
        return Ok(());
    }
    Err(taken(after.kind(), &after.meta().name, "has just become free; try again"))
}

fn taken(kind: Kind, name: &str, why: &str) -> Problem {
    let detail = format!("name: {} {name:?} {why}", kind.name());
    Problem::conflict(detail).with(vec![Fault::of_field("name", format!("{name:?} {why}"))])
}
