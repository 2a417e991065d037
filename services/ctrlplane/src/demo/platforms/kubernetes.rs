//! The Kubernetes of the story: a real cluster where one is given, else a stand-in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cluster::{Access, AllowedHosts, Cluster, Clusters};
use domain::token::Slug;
use fake_kubernetes::{Ending, FakeKubernetes, Script, User};
use platform::config::{SecretName, of_workspace};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::run::JOB_LABEL;
use super::{NAMESPACE, QUEUED, RUNS, chaos, random};
use crate::args::ClusterArgs;
use crate::stage::{Prop, Stage};
use crate::world::{WORKSPACE, World};

/// Names of secrets.
const TOKEN: &str = "kubernetes-token";
const KUBECONFIG: &str = "kubernetes-config";
/// How long one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a step of the story may take with a stand-in, and with a cluster, which may have to pull an image.
const STEP_PRETENDED: Duration = Duration::from_secs(60);
const STEP_REAL: Duration = Duration::from_secs(300);

/// The cluster, and what a job agent's config says of it.
pub(super) struct Kubernetes {
    place: Place,
    config: Value,
    image: String,
}

enum Place {
    Pretended(Arc<FakeKubernetes>),
    Real(Box<Cluster>),
}

/// A list as the API server gives it.
#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

impl Kubernetes {
    /// Starts a stand-in, or signs in to the cluster that was given.
    pub(super) async fn start(
        world: &World,
        args: &ClusterArgs,
        chaos: Option<u64>,
        stage: &Stage,
    ) -> anyhow::Result<Self> {
        let image = args.image.clone();
        if let Some(file) = &args.kubeconfig {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("reading the kubeconfig {}", file.display()))?;
            world.dev.data.write_secret(KUBECONFIG, &text)?;
            let mut config = json!({ "kubeconfigSecret": KUBECONFIG, "namespace": args.namespace });
            if let Some(context) = &args.context {
                config["context"] = context.clone().into();
            }
            let cluster = sign_in(&config, text).await.context("signing in to the cluster")?;
            let kubernetes = Self { place: Place::Real(Box::new(cluster)), config, image };
            // What is wrong with the cluster is said now, not by a job.
            kubernetes.jobs().await?;
            return Ok(kubernetes);
        }
        let token = random();
        world.dev.data.write_secret(TOKEN, &token)?;
        let fake = FakeKubernetes::start(fake_kubernetes::Options {
            namespaces: vec![NAMESPACE.to_owned()],
            users: vec![User::admin(&token)],
            script: Script::Plays { starts_after: QUEUED, runs_for: RUNS, ending: Ending::Well },
            chaos: chaos.map(chaos::of_kubernetes).unwrap_or_default(),
            ..fake_kubernetes::Options::default()
        })
        .await
        .context("starting a pretended Kubernetes")?;
        let fake = Arc::new(fake);
        stage.add(Prop::Kubernetes(Arc::clone(&fake)));
        let config = json!({ "baseUrl": fake.base_url(), "tokenSecret": TOKEN, "namespace": NAMESPACE });
        Ok(Self { place: Place::Pretended(fake), config, image })
    }

    /// The config of a job agent for it, as YAML in one line.
    pub(super) fn config(&self) -> String {
        self.config.to_string()
    }

    /// The image its pods run.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// Where it is, for people.
    pub(super) fn describe(&self) -> String {
        match &self.place {
            Place::Pretended(fake) => format!("a pretended Kubernetes is at {}", fake.base_url()),
            Place::Real(cluster) => {
                format!("Kubernetes is real: namespace {} at {}", cluster.namespace(), cluster.host())
            }
        }
    }

    /// How long one step of the story may take.
    pub(super) fn patience(&self) -> Duration {
        match &self.place {
            Place::Pretended(_) => STEP_PRETENDED,
            Place::Real(_) => STEP_REAL,
        }
    }

    /// Every Job that Ctrlplane has made there, those of earlier stories too.
    pub(super) async fn jobs(&self) -> anyhow::Result<Vec<Value>> {
        match &self.place {
            Place::Pretended(fake) => Ok(fake.jobs(NAMESPACE)),
            Place::Real(cluster) => {
                let path = format!("/apis/batch/v1/namespaces/{}/jobs", cluster.namespace());
                let list = cluster.get::<List>(&path, &[("labelSelector", JOB_LABEL)]).await;
                Ok(list.context("listing the cluster's Jobs")?.items)
            }
        }
    }
}

async fn sign_in(config: &Value, kubeconfig: String) -> anyhow::Result<Cluster> {
    let config = config.as_object().cloned().context("the config is a map")?;
    let config = of_workspace(config, &Slug::of_name(WORKSPACE));
    let access = Access::parse(&config, &AllowedHosts::default())?;
    let clusters = Clusters::new(cluster::Options {
        secrets: Arc::new(move |_: &SecretName| Ok(SecretString::from(kubeconfig.clone()))),
        kubeconfig: None,
        in_cluster_server: cluster::Options::IN_CLUSTER_SERVER.to_owned(),
        service_account_dir: cluster::Options::SERVICE_ACCOUNT_DIR.into(),
        deadline: ANSWER_WITHIN,
        counted: None,
    });
    Ok(clusters.of(&access).await?)
}
