//! What stands around the services while a command runs, and must be put away after them, last things first: servers,
//! fakes, directories. It does not know services.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fake_argo::FakeArgo;
use fake_github::FakeGithub;
use fake_gitlab::FakeGitlab;
use fake_kubernetes::FakeKubernetes;
use servers::{Nats, Redis};

/// A shared handle; what it holds is also gone when the last handle is.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<Vec<Prop>>>);

/// One thing to put away.
pub(crate) enum Prop {
    /// The bus.
    Nats(Box<Nats>),
    /// The views.
    Redis(Box<Redis>),
    /// The platform of demo and bench.
    Github(FakeGithub),
    /// Another platform of the demo.
    Gitlab(FakeGitlab),
    /// Another.
    Argo(FakeArgo),
    /// Another.
    Kubernetes(Arc<FakeKubernetes>),
    /// A file whose lock says that the data directory is in use.
    Lock(std::fs::File),
    /// A directory that goes with the command.
    Temporary(TemporaryDir),
}

impl Stage {
    /// Takes care of one more thing.
    pub(crate) fn add(&self, prop: Prop) {
        self.lock().push(prop);
    }

    /// Puts everything away, the last first. What does not go well is logged: the others must go, too.
    pub(crate) async fn clear(&self) {
        let mut props = std::mem::take(&mut *self.lock());
        while let Some(prop) = props.pop() {
            let ended = match prop {
                Prop::Nats(mut nats) => nats.stop().await,
                Prop::Redis(mut redis) => redis.stop().await,
                Prop::Github(fake) => {
                    fake.shutdown().await;
                    Ok(())
                }
                Prop::Gitlab(fake) => {
                    fake.shutdown().await;
                    Ok(())
                }
                Prop::Argo(fake) => {
                    fake.shutdown().await;
                    Ok(())
                }
                Prop::Kubernetes(fake) => {
                    drop(fake);
                    Ok(())
                }
                Prop::Lock(file) => {
                    drop(file);
                    Ok(())
                }
                Prop::Temporary(dir) => {
                    drop(dir);
                    Ok(())
                }
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "did not end well");
            }
        }
    }

    /// A push or a take leaves the list whole, so a poisoned lock can be used.
    fn lock(&self) -> MutexGuard<'_, Vec<Prop>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new directory only its owner can read, removed with everything in it on drop.
pub(crate) struct TemporaryDir(std::path::PathBuf);

impl TemporaryDir {
    /// Makes it below the system's directory for temporary files.
    pub(crate) fn create() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("ctrlplane-{}", uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, dir = %self.0.display(), "the temporary directory stays");
        }
    }
}
