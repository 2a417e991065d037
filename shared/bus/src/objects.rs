//! An object store: payloads larger than a message.

use std::time::Duration;

use async_nats::jetstream::object_store::GetErrorKind;
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::connect::Bus;
use crate::error::{BusError, chain};
use crate::topology::ObjectStoreSpec;

/// No object is so large that moving it takes longer.
const OBJECT_WITHIN: Duration = Duration::from_secs(30);

/// An object store.
#[derive(Debug, Clone)]
pub struct Objects {
    bus: Bus,
    spec: &'static ObjectStoreSpec,
}

impl Objects {
    pub(crate) fn new(bus: Bus, spec: &'static ObjectStoreSpec) -> Self {
        Self { bus, spec }
    }

    /// Stores an object; one of the same name is replaced.
    ///
    /// # Errors
    /// When the bus does not confirm it.
    pub async fn put(&self, name: &str, payload: Bytes) -> Result<(), BusError> {
        let doing = || format!("store the object {name} in {}", self.spec.name);
        let store = self.open().await?;
        let mut reader = std::io::Cursor::new(payload);
        match timeout(OBJECT_WITHIN, store.put(name, &mut reader)).await {
            Ok(Ok(_info)) => Ok(()),
            Ok(Err(error)) => Err(BusError::unavailable(doing(), chain(&error))),
            Err(_elapsed) => Err(BusError::unavailable(doing(), "no answer in time")),
        }
    }

    /// Reads an object of at most `size_bytes_max`.
    ///
    /// # Errors
    /// [`BusError::Corrupt`] if it is larger, [`BusError::Unavailable`] when the bus does not answer.
    pub async fn get(&self, name: &str, size_bytes_max: usize) -> Result<Option<Bytes>, BusError> {
        let doing = || format!("read the object {name} in {}", self.spec.name);
        let store = self.open().await?;
        let read = async {
            let mut object = match store.get(name).await {
                Ok(object) => object,
                Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(BusError::unavailable(doing(), chain(&error))),
            };
            if object.info().size > size_bytes_max {
                let why = format!("it has {} bytes, more than {size_bytes_max}", object.info().size);
                return Err(BusError::Corrupt { what: format!("the object {name}"), why });
            }
            let mut bytes = Vec::with_capacity(object.info().size);
            object.read_to_end(&mut bytes).await.map_err(|error| BusError::unavailable(doing(), error))?;
            Ok(Some(Bytes::from(bytes)))
        };
        timeout(OBJECT_WITHIN, read)
            .await
            .unwrap_or_else(|_elapsed| Err(BusError::unavailable(doing(), "no answer in time")))
    }

    async fn open(&self) -> Result<async_nats::jetstream::object_store::ObjectStore, BusError> {
        let doing = || format!("open the object store {}", self.spec.name);
        match timeout(OBJECT_WITHIN, self.bus.jetstream().get_object_store(self.spec.name)).await {
            Ok(Ok(store)) => Ok(store),
            Ok(Err(error)) => Err(BusError::unavailable(doing(), chain(&error))),
            Err(_elapsed) => Err(BusError::unavailable(doing(), "no answer in time")),
        }
    }
}
