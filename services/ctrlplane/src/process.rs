//! The life of a command that runs for a while: telemetry, runtime, signals, the order in which things end, exit code.
//! It does not know what the command does.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use service::{Ended, Signals, Supervisor, run_until_signal};

use crate::args::LogArgs;
use crate::stage::Stage;

/// How long work in hand may take to finish after the wish to stop.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// How long blocking work may hold up the end of the process.
const BLOCKING_MAX: Duration = Duration::from_secs(1);

/// What the end by a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It runs until somebody ends it: that is success.
    Serve,
    /// It has something to finish: to be ended before that is failure.
    Finish,
}

/// Runs a command to its end. The command is given a supervisor for its tasks and a stage for what must be put away
/// after them. It ends when the command returns, when a task fails, or by a signal; in each case the tasks drain first,
/// then the stage is cleared. A second signal ends the process at once.
pub(crate) fn run<F>(
    name: &'static str,
    log: &LogArgs,
    purpose: Purpose,
    command: impl FnOnce(Supervisor, Stage) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    service::install_crypto();
    service::raise_file_limit();
    let guard = match telemetry::init("ctrlplane", log.format.into(), &log.filter) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("ctrlplane {name}: {error}");
            return ExitCode::from(2);
        }
    };
    let code = match in_runtime(name, purpose, command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ctrlplane {name}: {}", telemetry::redact(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    };
    guard.shutdown();
    code
}

fn in_runtime<F>(
    name: &str,
    purpose: Purpose,
    command: impl FnOnce(Supervisor, Stage) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let (supervisor, stage) = (Supervisor::new(name), Stage::default());
    let ended = runtime.block_on(async {
        let signals = Signals::install().context("signals cannot be received")?;
        let (ended, result) = live(&supervisor, signals, command(supervisor.clone(), stage.clone())).await;
        if let Ended::Drained(_) = ended {
            stage.clear().await;
        }
        anyhow::Ok((ended, result))
    });
    match ended {
        Ok((Ended::Forced(signal), _)) => {
            runtime.shutdown_background();
            Ok(ExitCode::from(signal.exit_code()))
        }
        Ok((Ended::Drained(outcome), result)) => {
            runtime.shutdown_timeout(BLOCKING_MAX);
            outcome?;
            match (result, purpose) {
                (Some(result), Purpose::Serve | Purpose::Finish) => result.map(|()| ExitCode::SUCCESS),
                (None, Purpose::Serve) => Ok(ExitCode::SUCCESS),
                (None, Purpose::Finish) => anyhow::bail!("interrupted before it was done"),
            }
        }
        Err(error) => {
            runtime.shutdown_timeout(BLOCKING_MAX);
            Err(error)
        }
    }
}

/// Lets the command work until it or the process ends; `None` if it was not done.
async fn live(
    supervisor: &Supervisor,
    signals: Signals,
    command: impl Future<Output = anyhow::Result<()>>,
) -> (Ended, Option<anyhow::Result<()>>) {
    let mut result = None;
    let mut command = std::pin::pin!(command);
    let mut ended = std::pin::pin!(run_until_signal(supervisor, DRAIN_MAX, signals));
    loop {
        tokio::select! {
            done = &mut command, if result.is_none() => {
                supervisor.drain();
                result = Some(done);
            }
            ended = &mut ended => return (ended, result),
        }
    }
}
