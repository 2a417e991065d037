//! The whole `main` of a service: command line, settings, telemetry, runtime, signals, exit code.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, FromArgMatches as _};

use crate::boot::{Plan, Service, start};
use crate::common::CommonSettings;
use crate::files::raise_file_limit;
use crate::load::{Loaded, Sources, load};
use crate::secrets::Secrets;
use crate::setting::help;
use crate::signals::{Ended, Signals, run_until_signal};
use crate::supervisor::Supervisor;

/// The exit code for a command line or settings that do not fit, as clap's own.
const MISUSED: u8 = 2;

/// How long blocking work may hold up the end of the process.
const BLOCKING_MAX: Duration = Duration::from_secs(1);

/// What every service takes on its command line.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Settings file, TOML or YAML
    #[arg(long, value_name = "FILE", env = "CTRLPLANE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Check the settings and exit
    #[arg(long)]
    pub check: bool,
}

/// Runs a service as a process: `fn main() -> ExitCode { service::main::<Dispatcher>() }`.
///
/// The first SIGTERM or SIGINT drains, the second exits at once. Exit codes: 0 drained after a signal or settings that
/// fit, 1 failed, 2 wrong command line or settings, 130 or 143 a second signal.
pub fn main<S: Service>() -> ExitCode {
    main_with::<S>(std::env::args_os())
}

/// As [`main`], with a command line of the caller's: its first word is the name under which help and errors speak.
pub fn main_with<S: Service>(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    install_crypto();
    let args = arguments::<S>(line);
    let loaded = Sources::of_process(args.config)
        .and_then(|sources| load::<S::Settings>(&S::defaults(), &sources).map(|loaded| (loaded, sources)));
    let (loaded, sources) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return misused::<S>(&error),
    };
    if args.check {
        loaded.warnings.iter().for_each(|warning| eprintln!("{}: {warning}", S::NAME));
        println!("{}: the settings fit", S::NAME);
        return ExitCode::SUCCESS;
    }
    let log = &loaded.common.log;
    let guard = match telemetry::init(S::NAME, log.format.into(), &log.filter) {
        Ok(guard) => guard,
        Err(error) => return misused::<S>(&error),
    };
    raise_file_limit();
    let code = match supervise::<S>(loaded, sources.environment) {
        Ok(code) => code,
        Err(error) => {
            guard.report_failure(S::NAME, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    guard.shutdown();
    code
}

/// Makes aws-lc-rs the one TLS implementation of the process. Two of them would panic, but only at the first TLS
/// handshake. To be called first; further calls change nothing.
pub fn install_crypto() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS implementation is installed already");
    }
}

fn arguments<S: Service>(line: impl IntoIterator<Item = OsString>) -> CommonArgs {
    // The words about the service come last: the arguments bring some of their own.
    let command = CommonArgs::augment_args(clap::Command::new(S::NAME))
        .about(S::ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(help::<S::Settings>(&S::defaults()));
    let matches = command.get_matches_from(line);
    CommonArgs::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn supervise<S: Service>(
    loaded: Loaded<S::Settings>,
    environment: Vec<(String, String)>,
) -> anyhow::Result<ExitCode> {
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let Loaded { common, own, .. } = loaded;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let ended = runtime.block_on(live::<S>(common, own, environment));
    match ended {
        Ok(Ended::Forced(signal)) => {
            runtime.shutdown_background();
            tracing::warn!(?signal, "a second signal: ended at once");
            Ok(ExitCode::from(signal.exit_code()))
        }
        Ok(Ended::Drained(outcome)) => {
            runtime.shutdown_timeout(BLOCKING_MAX);
            outcome?;
            tracing::info!("drained");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            runtime.shutdown_timeout(BLOCKING_MAX);
            Err(error)
        }
    }
}

async fn live<S: Service>(
    common: CommonSettings,
    settings: S::Settings,
    environment: Vec<(String, String)>,
) -> anyhow::Result<Ended> {
    let signals = Signals::install().context("signals cannot be received")?;
    let supervisor = Supervisor::new(S::NAME);
    let drain = common.drain();
    let secrets = Arc::new(Secrets::of(&common.secrets, environment));
    if let Err(error) = start::<S>(&supervisor, Plan { settings, common, secrets }).await {
        // What was started before the failure must not be left behind; the failure itself is the reason to report.
        if let Err(also) = supervisor.finish(drain).await {
            tracing::warn!(error = format!("{:#}", anyhow::Error::from(also)), "failed as well");
        }
        return Err(error);
    }
    Ok(run_until_signal(&supervisor, drain, signals).await)
}

fn misused<S: Service>(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{}: {}", S::NAME, telemetry::redact(&error.to_string()));
    ExitCode::from(MISUSED)
}
