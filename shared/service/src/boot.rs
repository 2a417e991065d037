//! Starts one service: the same way as a process of its own, inside the all-in-one, and in a test.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::common::CommonSettings;
use crate::http::{self, Routes};
use crate::metrics;
use crate::readiness::Readiness;
use crate::secrets::Secrets;
use crate::setting::Documented;
use crate::supervisor::Supervisor;

/// A service, as its `main` and the all-in-one see it.
pub trait Service: 'static {
    /// Its name: of the binary, in traces and in logs.
    const NAME: &'static str;
    /// What it does, in one line, for `--help`.
    const ABOUT: &'static str;
    /// The settings it has beside the common ones.
    type Settings: Documented + Send + 'static;

    /// The common settings' defaults, usually with a port of its own: [`CommonSettings::listening_on`].
    fn defaults() -> CommonSettings {
        CommonSettings::default()
    }

    /// The whole service. It may work until the supervisor drains, or spawn its tasks there and return.
    ///
    /// # Errors
    /// What it cannot work without; this brings the process down.
    fn run(boot: Boot<Self::Settings>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// All a service is given.
pub struct Boot<T> {
    /// Of the service.
    pub name: &'static str,
    /// Its own settings.
    pub settings: T,
    /// The settings every service has.
    pub common: CommonSettings,
    /// Secrets by name.
    pub secrets: Arc<Secrets>,
    /// Owns its tasks.
    pub supervisor: Supervisor,
    /// Where it says whether it can work. Make all gates first.
    pub readiness: Readiness,
    /// Where it puts its own HTTP routes.
    pub routes: Routes,
}

/// What a service is started with.
pub struct Plan<T> {
    /// Its own settings.
    pub settings: T,
    /// The common ones; without `http.bind` the service has no listener.
    pub common: CommonSettings,
    /// Secrets by name.
    pub secrets: Arc<Secrets>,
}

/// A service that has been started.
pub struct Started {
    /// Where it listens, if it does.
    pub address: Option<SocketAddr>,
    /// Whether it can work.
    pub readiness: Readiness,
    /// To drain it alone.
    pub supervisor: Supervisor,
}

/// Starts a service under `parent`. It is live when this returns; [`Started::readiness`] says when it is ready.
///
/// # Errors
/// When its port cannot be had, or metrics cannot be recorded.
pub async fn start<S: Service>(parent: &Supervisor, plan: Plan<S::Settings>) -> anyhow::Result<Started> {
    let supervisor = parent.child(S::NAME);
    let (readiness, routes) = (Readiness::default(), Routes::default());
    metrics::start(&supervisor)?;
    let address = match plan.common.http.bind {
        Some(bind) => Some(http::listen(bind, readiness.clone(), routes.clone(), &supervisor).await?),
        None => None,
    };
    let boot = Boot {
        name: S::NAME,
        settings: plan.settings,
        common: plan.common,
        secrets: plan.secrets,
        supervisor: supervisor.clone(),
        readiness: readiness.clone(),
        routes,
    };
    ::metrics::gauge!("ctrlplane_build_info", "service" => S::NAME, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    supervisor.spawn("run", S::run(boot));
    Ok(Started { address, readiness, supervisor })
}
