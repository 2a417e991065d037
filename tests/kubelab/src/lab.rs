//! Three processes on free ports, and what is needed to reach them. Dropped, they are gone.

use serde_json::{Value, json};
use servers::{Lease, Port, Process, Run};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// The environment variable that names the program; `.ci/kubelab` builds it and prints where.
const BINARY: &str = "CTRLPLANE_KUBELAB";
/// Where Debian's `etcd-server` puts it, unless PATH says otherwise.
const ETCD: &str = "/usr/bin/etcd";
/// Adds to the environment of a program. Every Debian has it.
const ENV: &str = "/usr/bin/env";
/// The token of somebody who may do everything.
pub const TOKEN: &str = "labtoken-0123456789";
/// Signs the tokens of service accounts. It is public on purpose and opens nothing but this lab.
const KEY: &str = include_str!("../../fakes/github/keys/sample-app.private.pem");
const PUBLIC_KEY: &str = include_str!("../../fakes/github/keys/sample-app.public.pem");

const READY_WITHIN: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A service account with a token of its own.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its bearer token.
    pub token: String,
}

/// The lab.
#[derive(Debug)]
pub struct KubeLab {
    // Dropped first, in this order: who asks, who answers, who stores.
    beside: Vec<Process>,
    controllers: Option<Process>,
    server: Option<Process>,
    _etcd: Process,
    binary: PathBuf,
    dir: TempDir,
    etcd: [Lease; 2],
    port: Lease,
}

impl KubeLab {
    /// Starts everything and returns once the API server is ready.
    ///
    /// # Panics
    /// When the environment names no program, etcd is not installed, or one of them does not start: with what it logged.
    pub async fn start() -> Self {
        let binary = std::env::var_os(BINARY).map(PathBuf::from);
        let binary =
            binary.unwrap_or_else(|| panic!("{BINARY} must name the program that .ci/kubelab builds"));
        let dir = tempfile::tempdir().expect("a directory can be made");
        let lease = || Lease::take(Port::Free).expect("there is a free port");
        let (etcd, port) = ([lease(), lease()], lease());
        let running = spawn(&etcd_program(), etcd_arguments(dir.path(), &etcd), dir.path(), "etcd").await;
        let mut lab = Self {
            beside: Vec::new(),
            controllers: None,
            server: None,
            _etcd: running,
            binary,
            dir,
            etcd,
            port,
        };
        lab.write();
        lab.start_server().await;
        lab.start_controllers().await;
        lab
    }

    /// `https://127.0.0.1:port` of the API server; the same over restarts.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.port())
    }

    /// The certificates the API server is trusted by, in PEM.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.path("certs/apiserver.crt"))
            .expect("a server that started has a certificate")
    }

    /// A kubeconfig for whoever has the token.
    pub fn kubeconfig(&self, token: &str) -> String {
        let cluster =
            json!({ "server": self.url(), "certificate-authority": self.path("certs/apiserver.crt") });
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": cluster }],
            "users": [{ "name": "lab", "user": { "token": token } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        })
        .to_string()
    }

    /// Ends the API server as a crash would. What etcd has stays.
    pub async fn kill_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
            server.ended().await;
        }
    }

    /// Starts the API server on the same port and data, and returns once it is ready.
    ///
    /// # Panics
    /// When it is not in time.
    pub async fn start_server(&mut self) {
        let arguments = self.server_arguments();
        let server = spawn(&self.binary, arguments, self.dir.path(), "kube-apiserver").await;
        let give_up = Instant::now() + READY_WITHIN;
        while !self.is_ready().await {
            let log = || std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
            assert!(server.status().is_none() && Instant::now() < give_up, "not ready:\n{}", tail(&log()));
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.server = Some(server);
    }

    async fn start_controllers(&mut self) {
        let kubeconfig = self.kubeconfig_file();
        std::fs::write(&kubeconfig, self.kubeconfig(TOKEN)).expect("a file can be written");
        let kubeconfig = kubeconfig.display();
        let arguments = [
            "kube-controller-manager".to_owned(),
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            format!("--service-account-private-key-file={}", self.path("sa.key").display()),
            "--leader-elect=false".to_owned(),
            // It serves nothing that a test asks for.
            "--secure-port=0".to_owned(),
            "--controllers=job-controller,ttl-after-finished-controller,garbage-collector-controller,\
             namespace-controller,serviceaccount-controller,pod-garbage-collector-controller"
                .to_owned(),
        ];
        self.controllers =
            Some(spawn(&self.binary, arguments.into(), self.dir.path(), "kube-controller-manager").await);
    }

    /// Runs one more program that uses the API, until the lab stops. Its log has its name.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn beside(
        &mut self,
        name: &str,
        binary: &Path,
        environment: &[(&str, &str)],
        arguments: Vec<String>,
    ) {
        // A child has our environment; `env` adds to it.
        let set = environment.iter().map(|(name, value)| format!("{name}={value}"));
        let line = set.chain([binary.display().to_string()]).chain(arguments).collect();
        self.beside.push(spawn(Path::new(ENV), line, self.dir.path(), name).await);
    }

    /// A kubeconfig of somebody who may do everything, as a file.
    pub fn kubeconfig_file(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn server_arguments(&self) -> Vec<String> {
        [
            "kube-apiserver".to_owned(),
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd[0].port()),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port.port()),
            format!("--cert-dir={}", self.path("certs").display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("sa.pub").display()),
            format!("--service-account-signing-key-file={}", self.path("sa.key").display()),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // Debian 12's etcd cannot say how far a watch is, and a server that would need to know refuses watches from no version,
            // which Argo's controller begins: each change then waits for its next list.
            "--feature-gates=WatchList=false".to_owned(),
            format!("--token-auth-file={}", self.path("tokens.csv").display()),
        ]
        .into()
    }

    async fn is_ready(&self) -> bool {
        self.path("certs/apiserver.crt").exists()
            && matches!(self.call("GET", "/readyz", None).await, Ok((200, _)))
    }

    fn write(&self) {
        let write =
            |name: &str, text: &str| std::fs::write(self.path(name), text).expect("a file can be written");
        write("sa.key", KEY);
        write("sa.pub", PUBLIC_KEY);
        write("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Ends everything in order.
    pub async fn stop(mut self) {
        let beside = std::mem::take(&mut self.beside).into_iter();
        for process in beside.chain(self.controllers.take()).chain(self.server.take()) {
            process.terminate();
            if tokio::time::timeout(STOPPED_WITHIN, process.ended()).await.is_err() {
                process.kill();
            }
        }
    }

    /// The last lines of a process' log, for whoever wonders.
    pub fn log(&self, program: &str) -> String {
        tail(&std::fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default())
    }

    /// Makes a namespace of that name.
    pub async fn namespace(&self, name: &str) {
        self.must(
            "POST",
            "/api/v1/namespaces",
            &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
        )
        .await;
    }

    /// A service account of the namespace, which may do what Roles give it.
    pub async fn account(&self, namespace: &str, name: &str) -> Account {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 3_600 },
        });
        let answer = self.must("POST", &path, &request).await;
        Account { token: answer["status"]["token"].as_str().expect("a token").to_owned() }
    }

    /// Applies every document of a manifest.
    ///
    /// # Panics
    /// When it is no YAML, or the server does not take it.
    pub async fn apply(&self, manifest: &str) {
        let documents = serde_yaml_ng::Deserializer::from_str(manifest);
        let objects: Vec<Value> =
            documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML")).collect();
        for object in objects {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let api = match text("/apiVersion") {
                "v1" => "/api/v1".to_owned(),
                version => format!("/apis/{version}"),
            };
            let resource = format!("{}s", text("/kind").to_lowercase());
            let namespace = match text("/metadata/namespace") {
                "" => String::new(),
                namespace => format!("/namespaces/{namespace}"),
            };
            let path =
                format!("{api}{namespace}/{resource}/{}?fieldManager=lab&force=true", text("/metadata/name"));
            self.must("APPLY", &path, &object).await;
        }
    }
}

fn etcd_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("etcd")).find(|file| file.is_file());
    let etcd = found.unwrap_or_else(|| PathBuf::from(ETCD));
    assert!(etcd.is_file(), "etcd is not installed (Debian: apt-get install etcd-server)");
    etcd
}

fn etcd_arguments(dir: &Path, ports: &[Lease; 2]) -> Vec<String> {
    let [client, peer] = [&ports[0], &ports[1]].map(|lease| format!("http://127.0.0.1:{}", lease.port()));
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

async fn spawn(binary: &Path, arguments: Vec<String>, dir: &Path, name: &str) -> Process {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join(format!("{name}.log")))
        .expect("a log can be made");
    let output = log.try_clone().expect("a log has two ends");
    let run = Run {
        binary: binary.to_owned(),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        input: Stdio::null(),
        output: Stdio::from(output),
        errors: Stdio::from(log),
    };
    Process::spawn(run)
        .await
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", binary.display()))
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
