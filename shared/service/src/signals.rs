//! The two signals that end a process: the first drains, the second ends at once. Only a process has signals;
//! services inside it have a [`Supervisor`].

use std::io;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};

use crate::supervisor::{Failure, Supervisor};

/// A wish to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from whoever runs the process.
    Terminate,
    /// SIGINT, from a terminal.
    Interrupt,
}

impl Signal {
    /// What a shell reports for a process that died of it: 128 and the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

/// How a process came to its end.
#[derive(Debug)]
pub enum Ended {
    /// All tasks are done, after a signal or a failure.
    Drained(Result<(), Failure>),
    /// A second signal came: end at once.
    Forced(Signal),
}

/// The signals of the process, caught from the moment this exists.
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches both. To be called before anything is started: until then a signal ends the process without a drain.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    fn stream(self) -> impl Stream<Item = Signal> + Unpin {
        Box::pin(futures::stream::unfold(self, async |mut signals| {
            let signal = tokio::select! {
                _ = signals.terminate.recv() => Signal::Terminate,
                _ = signals.interrupt.recv() => Signal::Interrupt,
            };
            Some((signal, signals))
        }))
    }
}

/// Waits for a signal or a failure, then drains for `limit` at most.
pub async fn run_until_signal(supervisor: &Supervisor, limit: Duration, signals: Signals) -> Ended {
    run_until(supervisor, limit, signals.stream()).await
}

async fn run_until(
    supervisor: &Supervisor,
    limit: Duration,
    mut signals: impl Stream<Item = Signal> + Unpin,
) -> Ended {
    tokio::select! {
        Some(signal) = signals.next() => tracing::info!(?signal, "draining"),
        () = supervisor.draining() => {}
    }
    tokio::select! {
        outcome = supervisor.finish(limit) => Ended::Drained(outcome),
        Some(signal) = signals.next() => Ended::Forced(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn waiting() -> Supervisor {
        let supervisor = Supervisor::new("test");
        let task = supervisor.clone();
        supervisor.spawn("wait", async move {
            task.draining().await;
            Ok(())
        });
        supervisor
    }

    #[tokio::test]
    async fn the_first_signal_drains() {
        let one = futures::stream::iter([Signal::Terminate]).chain(futures::stream::pending());
        let ended = run_until(&waiting(), SOON, one).await;
        assert!(matches!(ended, Ended::Drained(Ok(()))), "{ended:?}");
    }

    #[tokio::test]
    async fn the_second_signal_ends_at_once() {
        let supervisor = Supervisor::new("test");
        supervisor.spawn("stuck", std::future::pending());
        let two =
            futures::stream::iter([Signal::Terminate, Signal::Interrupt]).chain(futures::stream::pending());
        let ended = run_until(&supervisor, SOON, two).await;
        assert!(matches!(ended, Ended::Forced(Signal::Interrupt)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_failure_needs_no_signal() {
        let supervisor = waiting();
        supervisor.spawn("work", async { anyhow::bail!("broken") });
        let ended = run_until(&supervisor, SOON, futures::stream::pending()).await;
        assert!(matches!(ended, Ended::Drained(Err(Failure::Failed { .. }))), "{ended:?}");
    }
}
