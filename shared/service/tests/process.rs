//! A service as a process: help, wrong settings, health, drain and exit codes, with the example `minimal`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

/// Cargo builds examples beside the tests: `…/deps/process-…` and `…/examples/minimal`.
fn minimal(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let test = std::env::current_exe().expect("a test has a file");
    let profile = test.ancestors().nth(2).expect("…/deps/process-…");
    let binary: PathBuf = profile.join("examples/minimal");
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CTRLPLANE_") || name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
    }
    command.args(arguments).env("CTRLPLANE_HTTP__BIND", "127.0.0.1:0").envs(variables.iter().copied());
    command
}

fn ended(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = minimal(arguments, variables).output().expect("it starts");
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

struct Running {
    child: Child,
    log: BufReader<ChildStderr>,
    address: String,
}

impl Running {
    fn start() -> Self {
        let variables = [("CTRLPLANE_LOG__FORMAT", "json"), ("CTRLPLANE_GREETING", "good day")];
        let mut child = minimal(&[], &variables).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut running = Self { child, log, address: String::new() };
        let line = running.line_with("listening");
        let line: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        running.address = line["address"].as_str().expect("where it listens").to_owned();
        running.line_with("can greet");
        running
    }

    /// Reads the log up to a line with this text.
    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.log.read_line(&mut line).expect("readable");
            assert_ne!(count, 0, "the log ended without {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("listening");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()])
            .status()
            .expect("sent");
        assert!(status.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended; when a test failed before that, it must not stay.
        if self.child.kill().is_ok() {
            self.child.wait().expect("it was killed");
        }
    }
}

#[test]
fn the_help_lists_every_setting() {
    let (code, text) = ended(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for expected in [
        "--config",
        "--check",
        "CTRLPLANE_GREETING",
        "CTRLPLANE_NATS__URL",
        "default: hello",
        "127.0.0.1:8099",
    ] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
}

#[test]
fn settings_can_be_checked_without_a_start() {
    let (code, text) = ended(&["--check"], &[]);
    assert!(code == Some(0) && text.contains("settings fit"), "{text}");
    let (code, text) = ended(&["--check"], &[("CTRLPLANE_DRAIN_SECONDS", "soon")]);
    assert!(code == Some(2) && text.contains("drain_seconds") && text.contains("soon"), "{text}");
    let (code, text) = ended(&[], &[("CTRLPLANE_CONFIG", "nowhere.toml")]);
    assert!(code == Some(2) && text.contains("nowhere.toml"), "{text}");
}

#[test]
fn a_failure_is_shown_once_and_ends_with_a_code() {
    for filter in ["info", "off"] {
        let (code, text) = ended(&[], &[("CTRLPLANE_GREETING", "fail"), ("CTRLPLANE_LOG__FILTER", filter)]);
        assert_eq!((code, text.matches("told to fail").count()), (Some(1), 1), "{text}");
    }
}

#[test]
fn it_serves_and_drains() {
    let mut running = Running::start();
    assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
    assert!(running.get("/readyz").contains(r#""ready":true"#));
    assert!(running.get("/metrics").starts_with("HTTP/1.1 200"));
    assert!(running.get("/greet").ends_with("good day"));
    running.signal("TERM");
    running.line_with("drained");
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut running = Running::start();
    // A request that never ends holds the drain up.
    let mut held = TcpStream::connect(&running.address).expect("listening");
    held.write_all(b"GET /greet HTTP/1.1\r\nhost: x\r\n").expect("sent");
    assert!(running.get("/livez").starts_with("HTTP/1.1 200"), "the held request came first");
    running.signal("TERM");
    running.line_with("draining");
    running.signal("INT");
    assert_eq!(running.exit_code(), Some(130));
}
