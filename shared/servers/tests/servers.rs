//! The servers as their users see them: real processes, started, stopped, killed, orphaned.
#![allow(clippy::unwrap_used, reason = "a test: the panic is the report")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use servers::{Nats, NatsOptions, Port, Redis, RedisOptions, ServerError, TestServers, test_binaries};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Sends the lines and returns the first answer that `wanted` accepts.
async fn ask(port: u16, lines: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answers = BufReader::new(stream).lines();
    let answer = async {
        loop {
            let line = answers.next_line().await.unwrap().expect("an answer before the end");
            if wanted(&line) {
                return line;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer in time")
}

/// A JetStream API request over the plain protocol.
async fn jetstream(port: u16, subject: &str, body: &str) -> String {
    let lines = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB reply 1\r\nPUB $JS.API.{subject} reply {}\r\n{body}\r\n",
        body.len()
    );
    ask(port, &lines, |line| line.starts_with('{')).await
}

fn refused(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn both_servers_serve_and_are_gone_with_their_directory() {
    let servers = TestServers::start().await;
    let (nats, redis, dir) = (servers.nats.port(), servers.redis.port(), servers.dir.path().to_owned());
    assert_eq!(servers.nats.url(), format!("nats://127.0.0.1:{nats}"));
    assert_eq!(servers.redis.url(), format!("redis://127.0.0.1:{redis}/"));
    assert!(jetstream(nats, "INFO", "").await.contains("account_info_response"));
    assert_eq!(ask(redis, "PING\r\n", |_| true).await, "+PONG");
    assert!(servers.nats.version().major >= 2 && servers.redis.version().major >= 5);
    drop(servers);
    assert!(refused(nats) && refused(redis) && !dir.exists());
}

#[tokio::test]
async fn several_at_once_have_ports_of_their_own() {
    let (first, second) = tokio::join!(TestServers::start(), TestServers::start());
    let mut ports = [first.nats.port(), second.nats.port(), first.redis.port(), second.redis.port()].to_vec();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4);
}

#[tokio::test]
async fn streams_survive_a_stop_and_a_kill_on_the_same_url() {
    let TestServers { mut nats, redis: _redis, dir: _dir } = TestServers::start().await;
    let port = nats.port();
    let created = jetstream(port, "STREAM.CREATE.KEPT", r#"{"name":"KEPT","subjects":["kept"]}"#).await;
    assert!(created.contains("\"did_create\":true"), "{created}");

    nats.stop().await.unwrap();
    assert!(nats.pid().is_none() && refused(port));
    nats.restart().await.unwrap();
    assert_eq!(nats.port(), port);
    let kept = jetstream(port, "STREAM.INFO.KEPT", "").await;
    assert!(kept.contains("\"subjects\":[\"kept\"]"), "{kept}");

    let before = nats.pid().unwrap();
    let ended = nats.ended();
    nats.kill().await;
    assert!(!ended.await.unwrap().success());
    nats.restart().await.unwrap();
    assert_ne!(nats.pid().unwrap(), before);
    let kept = jetstream(port, "STREAM.INFO.KEPT", "").await;
    assert!(kept.contains("\"subjects\":[\"kept\"]"), "{kept}");
}

#[tokio::test]
async fn redis_keeps_what_it_holds_only_when_asked() {
    for (appendonly, expected) in [(true, "$5"), (false, "$-1")] {
        let dir = tempfile::tempdir().unwrap();
        let options =
            RedisOptions { appendonly, ..RedisOptions::new(test_binaries().await.redis, dir.path()) };
        let mut redis = Redis::start(options).await.unwrap();
        assert_eq!(ask(redis.port(), "SET key value\r\n", |_| true).await, "+OK");
        redis.restart().await.unwrap();
        assert_eq!(ask(redis.port(), "GET key\r\n", |_| true).await, expected);
        redis.stop().await.unwrap();
        assert!(refused(redis.port()));
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_told_who_holds_it() {
    let servers = TestServers::start().await;
    let pid = servers.nats.pid().unwrap();
    let dir = servers.nats.data_dir();
    let error = Nats::start(NatsOptions::new(test_binaries().await.nats, dir)).await.unwrap_err();
    assert!(matches!(&error, ServerError::DataDirInUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("is in use by process {pid}")), "{error}");
    assert!(jetstream(servers.nats.port(), "INFO", "").await.contains("account_info_response"));
}

#[tokio::test]
async fn a_taken_fixed_port_and_a_bad_configuration_say_so() {
    let servers = TestServers::start().await;
    let binary = test_binaries().await.nats;
    let mut options = NatsOptions::new(&binary, servers.dir.path().join("other"));
    options.port = Port::Fixed(servers.redis.port());
    let error = Nats::start(options.clone()).await.unwrap_err();
    assert!(matches!(error, ServerError::PortTaken { port } if port == servers.redis.port()), "{error}");

    options.port = Port::Free;
    options.extra_config = "authorization { user".to_owned();
    let error = Nats::start(options).await.unwrap_err();
    assert!(matches!(error, ServerError::Exited { program: "nats-server", .. }), "{error}");
    assert!(error.to_string().contains("Parse error"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_no_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = Nats::start(NatsOptions::new("/bin/false", dir.path())).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot ask /bin/false for its version"), "{error}");
}

#[tokio::test]
async fn monitoring_and_extra_configuration_are_served() {
    let servers = TestServers::with(|nats| {
        nats.monitor = Some(Port::Free);
        nats.max_payload_bytes = 12_345;
        nats.extra_config = "max_connections: 77".to_owned();
        nats.sync_always = true;
    })
    .await;
    let nats = &servers.nats;
    let monitor: u16 = nats.monitor_url().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert!(ask(monitor, "GET /healthz HTTP/1.0\r\n\r\n", |_| true).await.ends_with("200 OK"));
    let connections = ask(monitor, "GET /varz HTTP/1.0\r\n\r\n", |l| l.contains("\"max_connections\"")).await;
    assert!(connections.contains("77"), "{connections}");
    assert!(ask(nats.port(), "", |_| true).await.contains("\"max_payload\":12345"));
    assert_eq!(nats.syncs_always(), nats.version() >= servers::Version::new(2, 10, 0));
}

/// Where the doomed process below keeps its servers. Set: this process *is* the doomed one.
const DOOMED: &str = "SERVERS_TEST_DOOMED_DIR";
const READY: &str = "ready";

#[tokio::test]
async fn a_killed_parent_takes_its_servers_along() {
    if let Some(dir) = std::env::var_os(DOOMED) {
        return be_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut doomed = Doomed::start(dir.path());
    let ports = doomed.ports().await;
    assert!(ports.iter().all(|port| !refused(*port)));
    doomed.0.kill().unwrap();
    doomed.0.wait().unwrap();
    // The lock is free once the orphans are gone, so that starting on the same data and ports is the proof.
    let [nats_options, redis_options] = [dir.path().join("nats"), dir.path().join("redis")];
    let binaries = test_binaries().await;
    let mut nats = NatsOptions::new(binaries.nats, nats_options);
    nats.port = Port::Fixed(ports[0]);
    let mut redis = RedisOptions::new(binaries.redis, redis_options);
    redis.port = Port::Fixed(ports[1]);
    let (nats, redis) = tokio::try_join!(Nats::start(nats), Redis::start(redis)).unwrap();
    assert!(jetstream(nats.port(), "INFO", "").await.contains("account_info_response"));
    assert_eq!(ask(redis.port(), "PING\r\n", |_| true).await, "+PONG");
}

/// This test binary once more, running only the test above as the one to be killed.
struct Doomed(Child);

impl Doomed {
    fn start(dir: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_parent_takes_its_servers_along", "--nocapture"])
            .env(DOOMED, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    async fn ports(&mut self) -> Vec<u16> {
        let output = tokio::process::ChildStdout::from_std(self.0.stdout.take().unwrap()).unwrap();
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the ports before the end");
                if let Some((_, ports)) = line.split_once(READY) {
                    return ports.split_whitespace().map(|port| port.parse().unwrap()).collect();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ready).await.expect("servers in time")
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn be_killed(dir: &Path) {
    let binaries = test_binaries().await;
    let nats = Nats::start(NatsOptions::new(binaries.nats, dir.join("nats"))).await.unwrap();
    let redis = Redis::start(RedisOptions::new(binaries.redis, dir.join("redis"))).await.unwrap();
    println!("{READY} {} {}", nats.port(), redis.port());
    // Until killed, or until the parent is gone and its end of our input closes.
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    assert_eq!(input.next_line().await.unwrap(), None);
}
