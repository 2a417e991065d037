//! Waiting for services to be ready, with an answer when they are not.

use std::fmt;
use std::time::Duration;

use service::{Started, Supervisor};

/// How often the gates are looked at while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Services that were not ready in time.
#[derive(Debug, thiserror::Error)]
pub struct NotReady {
    within: Duration,
    closed: Vec<String>,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not ready within {} s: {}", self.within.as_secs(), self.closed.join("; "))
    }
}

/// Waits until every service is ready.
///
/// # Errors
/// [`NotReady`] when the time is over; the end of the process when a service failed meanwhile.
pub async fn wait_until_ready(
    supervisor: &Supervisor,
    services: &[(&'static str, Started)],
    within: Duration,
) -> anyhow::Result<()> {
    let all_ready = async {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        while !services.iter().all(|(_, service)| service.readiness.is_ready()) {
            look.tick().await;
        }
    };
    tokio::select! {
        // A failed service drains all: its reason is told by the supervisor.
        () = supervisor.draining() => anyhow::bail!("ended while starting"),
        ready = tokio::time::timeout(within, all_ready) => {
            ready.map_err(|_elapsed| NotReady { within, closed: closed(services) })?;
            Ok(())
        }
    }
}

fn closed(services: &[(&'static str, Started)]) -> Vec<String> {
    let mut closed = Vec::new();
    for (name, service) in services {
        let gates = service.readiness.gates();
        if gates.is_empty() {
            closed.push(format!("{name} has not said anything"));
        }
        let waiting = gates.iter().filter(|(_, gate)| !gate.ready);
        closed.extend(waiting.map(|(gate, state)| format!("{name} waits for {gate} ({})", state.reason)));
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::Readiness;

    fn service(supervisor: &Supervisor, readiness: &Readiness) -> Started {
        Started { address: None, readiness: readiness.clone(), supervisor: supervisor.clone() }
    }

    #[tokio::test]
    async fn who_is_not_ready_is_named_with_its_gate() {
        let supervisor = Supervisor::new("test");
        let (one, other) = (Readiness::default(), Readiness::default());
        one.gate("bus").set(true, "connected");
        other.gate("catalog").set(false, "12 keys behind");
        let services = [("api", service(&supervisor, &one)), ("dispatcher", service(&supervisor, &other))];
        let error = wait_until_ready(&supervisor, &services, Duration::ZERO).await.expect_err("not ready");
        assert_eq!(error.to_string(), "not ready within 0 s: dispatcher waits for catalog (12 keys behind)");
        other.gate("catalog").set(true, "caught up");
        wait_until_ready(&supervisor, &services, Duration::from_secs(10)).await.expect("ready");
    }

    #[tokio::test]
    async fn a_service_that_fails_ends_the_wait() {
        let supervisor = Supervisor::new("test");
        let services = [("api", service(&supervisor, &Readiness::default()))];
        supervisor.spawn("run", async { anyhow::bail!("broken") });
        let error = wait_until_ready(&supervisor, &services, Duration::from_secs(10)).await;
        assert!(error.is_err());
    }
}
