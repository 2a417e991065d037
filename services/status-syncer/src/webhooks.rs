//! Follows the accounts of webhooks, so that the sweep knows how far they can be relied on.

use crate::watch::Watch;
use bus::topology::WEBHOOKS;
use bus::{BusError, Change, FollowSource, From, follow};
use domain::webhook::Account;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Follows until the drain.
pub(crate) async fn run(watch: Arc<Watch>, drain: CancellationToken) -> Result<(), BusError> {
    let on = |change: Change| match change {
        Change::Put { key, payload, .. } => {
            let account = serde_json::from_slice::<Account>(&payload)
                .inspect_err(|error| {
                    tracing::warn!(webhook = key, %error, "an account that cannot be read says nothing");
                })
                .ok();
            watch.actives().account(key, account);
        }
        Change::Delete { key, .. } => watch.actives().account(key, None),
        Change::CaughtUp { .. } => {}
    };
    follow(&watch.bus, FollowSource::Bucket(&WEBHOOKS, None), From::LastPerSubject, on, drain).await
}
