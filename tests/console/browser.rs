//! A headless Chromium, driven over WebDriver (W3C) and, where that has no word for it, the DevTools protocol. It knows
//! nothing of what it looks at. Every wait is for a condition, with a bound.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use system_tests::eventually;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What starts the browser: names it where it is not on the path.
const DRIVER: &str = "CTRLPLANE_CHROMEDRIVER";
const STARTED: &str = "started successfully on port ";
const WITHIN: Duration = Duration::from_secs(30);
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with one window. It ends with the test.
pub(crate) struct Browser {
    http: reqwest::Client,
    session: String,
    /// Of the browser, while it is not closed.
    pid: Option<u64>,
    _driver: Child,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) theme: &'static str,
    pub(crate) width: u32,
}

impl Look {
    /// Both themes, on a desk and in a hand.
    pub(crate) const ALL: [Look; 4] = [
        Look { theme: "light", width: 1400 },
        Look { theme: "dark", width: 1400 },
        Look { theme: "light", width: 390 },
        Look { theme: "dark", width: 390 },
    ];
}

/// The driver of a headless Chromium, which is installed where there is none.
async fn driver() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/chromium");
    let found = Command::new(script).output().await.unwrap_or_else(|error| panic!("{script}: {error}"));
    let said = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "the console is tested in a headless Chromium, see {DRIVER}: {said}");
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

impl Browser {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let program = driver().await;
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(&program);
        command
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut driver = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let port = port_of(&mut driver).await;
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().expect("a client");
        let base = format!("http://127.0.0.1:{port}/session");
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--no-proxy-server".to_owned(),
            "--window-size=1400,1000".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments },
        } } });
        let answer = ask(&http, reqwest::Method::POST, &base, Some(wanted)).await.expect("a browser starts");
        let session = format!("{base}/{}", answer["sessionId"].as_str().expect("a session has an id"));
        let pid = answer["capabilities"]["goog:processID"].as_u64();
        Self { http, session, pid, _driver: driver, _profile: profile }
    }

    /// Loads an address anew.
    pub(crate) async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await.expect("the page loads");
    }

    /// What a piece of JavaScript returns.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("execute/sync", json!({ "script": script, "args": arguments }))
            .await
            .expect("the script runs")
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", body).await.expect("the command is known")
    }

    /// Waits for an element; its reference.
    pub(crate) async fn see(&self, css: &str) -> String {
        let look = || async {
            let found = self.post("element", json!({ "using": "css selector", "value": css })).await?;
            Ok::<String, String>(found[ELEMENT].as_str().unwrap_or_default().to_owned())
        };
        eventually(&format!("{css} is there"), WITHIN, look).await
    }

    /// Waits until what an element shows holds the text.
    pub(crate) async fn read(&self, css: &str, text: &str) {
        let script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.innerText).join('\\n')";
        let look = || async {
            let shown = self.run(script, json!([css])).await;
            let shown = shown.as_str().unwrap_or_default();
            if shown.contains(text) { Ok(()) } else { Err(format!("it shows {shown:?}")) }
        };
        eventually(&format!("{css} shows {text:?}"), WITHIN, look).await;
    }

    /// Clicks the first element whose accessible name or text is that, once it is there and nothing covers it. A count
    /// behind a name is no part of it.
    pub(crate) async fn click(&self, css: &str, name: &str) {
        let find = "return [...document.querySelectorAll(arguments[0])].find((element) => element.checkVisibility() && \
                    !element.disabled && [element.getAttribute('aria-label'), element.innerText.trim(), element.innerText.replace(/\\s*\\d+\\s*$/, '').trim()].includes(arguments[1]))";
        let click = || async {
            let found = self.run(find, json!([css, name])).await;
            let element = found[ELEMENT].as_str().ok_or("it is not there")?.to_owned();
            self.post(&format!("element/{element}/click"), json!({})).await
        };
        eventually(&format!("{css} {name:?} can be clicked"), WITHIN, click).await;
    }

    /// Types into a field.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        let element = self.see(css).await;
        self.post(&format!("element/{element}/value"), json!({ "text": text })).await.expect("it takes text");
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let strokes = keys.iter().flat_map(|key| {
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })]
        });
        let source = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.post("actions", json!({ "actions": [source] })).await.expect("keys are pressed");
    }

    /// From now on the page is looked at like that.
    pub(crate) async fn look(&self, look: Look) {
        let theme = json!({ "features": [{ "name": "prefers-color-scheme", "value": look.theme }] });
        self.devtools("Emulation.setEmulatedMedia", theme).await;
        self.size(look.width, 900).await;
    }

    async fn size(&self, width: u32, height: u64) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Keeps a picture of the whole page.
    pub(crate) async fn picture(&self, look: Look, file: &Path) {
        let height = self.run("return document.documentElement.scrollHeight", json!([])).await;
        self.size(look.width, height.as_u64().unwrap_or(900).clamp(900, 6_000)).await;
        let taken = self.devtools("Page.captureScreenshot", json!({ "format": "png" })).await;
        let bytes = STANDARD.decode(taken["data"].as_str().expect("a picture")).expect("it is base64");
        std::fs::write(file, bytes).expect("a picture can be kept");
        self.size(look.width, 900).await;
    }

    /// What the browser has complained of since it was asked last: errors of scripts, refusals of the page's policy, requests
    /// that failed.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({ "type": "browser" })).await.expect("the log can be read");
        let entries = entries.as_array().cloned().unwrap_or_default();
        let bad = entries
            .iter()
            .filter(|entry| ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or("")));
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        ask(&self.http, reqwest::Method::POST, &format!("{}/{path}", self.session), Some(body)).await
    }

    /// Closes the window; the driver ends with this value.
    pub(crate) async fn close(mut self) {
        let closed = ask(&self.http, reqwest::Method::DELETE, &self.session, None).await;
        closed.expect("the browser closes");
        self.pid = None;
    }
}

/// A test that fails closes nothing, and the driver that is killed leaves its browser behind.
impl Drop for Browser {
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        let mut kill = std::process::Command::new("/bin/sh");
        let ended = kill.args(["-c", "kill -TERM \"$1\"", "sh", &pid.to_string()]).status();
        if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("the browser {pid} could not be ended: {ended:?}");
        }
    }
}

/// The port the driver says it has taken.
async fn port_of(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
    let said = async {
        while let Some(line) = lines.next_line().await.expect("the driver speaks text") {
            if let Some((_, port)) = line.split_once(STARTED) {
                return port.trim_end_matches('.').trim().parse().expect("a port");
            }
        }
        panic!("the driver ended before it listened");
    };
    tokio::time::timeout(WITHIN, said).await.expect("the driver listens")
}

async fn ask(
    http: &reqwest::Client,
    method: reqwest::Method,
    url: &str,
    body: Option<Value>,
) -> Result<Value, String> {
    let mut request = http.request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let is_fine = answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if is_fine { Ok(value) } else { Err(value["message"].to_string()) }
}
