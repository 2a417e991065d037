//! What every route is given.

use std::sync::Arc;

use bus::Bus;
use bus::catalog::CatalogFold;
use domain::token::Slug;
use projections::Projections;
use service::Supervisor;
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::caller::Caller;
use crate::decisions::Decisions;
use crate::doctor::Known;
use crate::folded::Folded;
use crate::listeners::Listeners;
use crate::lookup::Lookup;
use crate::problem::Problem;
use crate::routes::Told;
use crate::settings::EventSettings;
use crate::sse::{Events, Recent};
use crate::store::Store;

/// The API's state; clones are the same.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) bus: Bus,
    pub(crate) catalog: Lookup,
    pub(crate) store: Store,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) views: Projections,
    /// What lists tell of jobs beyond the views.
    pub(crate) folded: Folded<Told>,
    /// What agents keep about their platforms.
    pub(crate) known: Arc<Known>,
    pub(crate) access: Access,
    /// Owns the tasks that feed live events.
    pub(crate) supervisor: Supervisor,
    pub(crate) events: EventSettings,
    /// What clients of live events share.
    pub(crate) live: Events,
    /// One place per client of live events.
    pub(crate) listeners: Listeners,
    /// One permit: a back-test holds the whole history in memory.
    pub(crate) backtests: Arc<Semaphore>,
    /// One permit: so does an explanation that needs all facts.
    pub(crate) lookbacks: Semaphore,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    #[allow(clippy::too_many_arguments, reason = "the parts of the whole, each given once")]
    pub(crate) fn new(
        bus: Bus,
        catalog: Arc<CatalogFold>,
        decisions: Arc<Decisions>,
        views: Projections,
        known: Arc<Known>,
        access: Access,
        supervisor: Supervisor,
        events: EventSettings,
        recent: Arc<Recent>,
    ) -> Self {
        let store = Store::new(bus.clone(), Arc::clone(&catalog));
        let catalog = Lookup::new(catalog);
        let listeners = Listeners::new(events.clients_max, events.clients_each_max);
        let backtests = Arc::new(Semaphore::new(1));
        Self(Arc::new(Parts {
            bus,
            catalog,
            store,
            decisions,
            views,
            folded: Folded::default(),
            known,
            access,
            supervisor,
            events,
            live: Events::new(recent),
            listeners,
            backtests,
            lookbacks: Semaphore::new(1),
        }))
    }

    /// The workspace of a path, by id or slug. One that the caller does not see does not exist.
    pub(crate) fn workspace(&self, caller: &Caller, text: &str) -> Result<Slug, Problem> {
        self.catalog
            .workspace(text)
            .filter(|slug| caller.sees(slug))
            .ok_or_else(|| Problem::not_found(format_args!("workspace {text}")))
    }
}
