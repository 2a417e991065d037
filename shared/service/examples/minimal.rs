//! The smallest service there can be: it greets on HTTP. `cargo run -p service --example minimal -- --help`

use std::process::ExitCode;

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use service::{Boot, CommonSettings, Documented, Service, Setting};

struct Minimal;

#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    greeting: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { greeting: "hello".to_owned() }
    }
}

impl Documented for Settings {
    const SETTINGS: &'static [Setting] = &[Setting::new("greeting", "What is said.")];
}

impl Service for Minimal {
    const NAME: &'static str = "minimal";
    const ABOUT: &'static str = "Greets.";
    type Settings = Settings;

    fn defaults() -> CommonSettings {
        CommonSettings::listening_on(8099)
    }

    async fn run(boot: Boot<Settings>) -> anyhow::Result<()> {
        let gate = boot.readiness.gate("greeting");
        anyhow::ensure!(boot.settings.greeting != "fail", "told to fail");
        let greeting = boot.settings.greeting.clone();
        boot.routes.mount(Router::new().route("/greet", get(async move || greeting)))?;
        gate.set(true, "can greet");
        boot.supervisor.draining().await;
        Ok(())
    }
}

fn main() -> ExitCode {
    service::main::<Minimal>()
}
