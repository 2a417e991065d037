//! Asserting what a service needs: reads back what is there, creates or updates it where this process may, and
//! compares. An answer of OK proves nothing: old servers drop options they do not know.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode, context::RequestErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::backoff::Backoff;
use crate::connect::{Bus, Provision, REQUEST_WITHIN};
use crate::error::{BusError, chain};
use crate::topology::{BucketSpec, ConsumerSpec, Needs, ObjectStoreSpec, StreamSpec};

/// How long one assertion may take while the server starts.
const ENSURE_WITHIN: Duration = Duration::from_secs(15);
const BUCKET_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

impl Bus {
    /// Asserts that everything in `needs` exists and fits. May be called at any time, by any number of replicas.
    ///
    /// # Errors
    /// [`BusError::Missing`] under [`Provision::Verify`]; [`BusError::Misfit`] if something cannot be made to fit.
    pub async fn ensure(&self, needs: &Needs) -> Result<(), BusError> {
        for spec in &needs.streams {
            self.ensure_stream(stream_config(spec)).await?;
        }
        for spec in &needs.buckets {
            self.ensure_stream(bucket_config(spec)).await?;
        }
        for spec in &needs.objects {
            self.ensure_stream(object_store_config(spec)).await?;
        }
        for spec in &needs.consumers {
            self.ensure_consumer(spec).await?;
        }
        Ok(())
    }

    /// The sequence of the stream's last message; 0 if it never had one.
    ///
    /// # Errors
    /// When the bus does not answer, or there is no such stream.
    pub async fn last_sequence(&self, stream: &StreamSpec) -> Result<u64, BusError> {
        Ok(self.stream_info(stream.name).await?.state.last_sequence)
    }

    pub(crate) async fn stream_info(&self, name: &str) -> Result<Info, BusError> {
        let info = self.look::<Info>(&format!("STREAM.INFO.{name}"), ErrorCode::STREAM_NOT_FOUND).await?;
        info.ok_or_else(|| BusError::Missing { what: format!("stream {name}") })
    }

    pub(crate) async fn consumer_info(&self, stream: &str, name: &str) -> Result<consumer::Info, BusError> {
        let info = self
            .look::<consumer::Info>(&format!("CONSUMER.INFO.{stream}.{name}"), ErrorCode::CONSUMER_NOT_FOUND)
            .await?;
        info.ok_or_else(|| BusError::Missing { what: format!("consumer {name} of stream {stream}") })
    }

    async fn ensure_stream(&self, wanted: Config) -> Result<(), BusError> {
        let what = format!("stream {}", wanted.name);
        let found =
            self.look::<Info>(&format!("STREAM.INFO.{}", wanted.name), ErrorCode::STREAM_NOT_FOUND).await?;
        let (api, config) = match found {
            Some(found) => match stream_difference(&found.config, &wanted) {
                None if self.provision() == Provision::Verify || !lacks_limit(&found.config, &wanted) => {
                    return Ok(());
                }
                None => ("UPDATE", updated(found.config, &wanted)),
                Some(difference) => match self.provision() {
                    Provision::Verify => return Err(BusError::Misfit { what, difference }),
                    Provision::Create => ("UPDATE", updated(found.config, &wanted)),
                },
            },
            None => match self.provision() {
                Provision::Verify => return Err(BusError::Missing { what }),
                Provision::Create => ("CREATE", wanted.clone()),
            },
        };
        let answer: Result<Response<Info>, BusError> =
            self.api(&format!("STREAM.{api}.{}", wanted.name), &config).await;
        let refused = match answer? {
            Response::Ok(_) => None,
            // Another replica may have been first: what counts is what is there now.
            Response::Err { error } => Some(chain(&error)),
        };
        match (stream_difference(&self.stream_info(&wanted.name).await?.config, &wanted), refused) {
            (None, _) => {
                tracing::info!(stream = wanted.name, action = api, "the stream fits");
                Ok(())
            }
            (Some(_), Some(why)) => {
                Err(BusError::refused(format!("{} {what}", api.to_ascii_lowercase()), why))
            }
            (Some(difference), None) => Err(BusError::Misfit { what, difference }),
        }
    }

    async fn ensure_consumer(&self, spec: &ConsumerSpec) -> Result<(), BusError> {
        let spec = &ConsumerSpec { ack_wait: self.ack_wait(spec), ..spec.clone() };
        let what = format!("consumer {} of stream {}", spec.name, spec.stream.name);
        let api = format!("CONSUMER.INFO.{}.{}", spec.stream.name, spec.name);
        let found = self.look::<consumer::Info>(&api, ErrorCode::CONSUMER_NOT_FOUND).await?;
        match (&found, self.provision()) {
            (Some(found), provision) => match (consumer_difference(&found.config, spec), provision) {
                (None, _) => return Ok(()),
                (Some(difference), Provision::Verify) => return Err(BusError::Misfit { what, difference }),
                (Some(_), Provision::Create) => {}
            },
            (None, Provision::Verify) => return Err(BusError::Missing { what }),
            (None, Provision::Create) => {}
        }
        let created = timeout(
            ENSURE_WITHIN,
            self.jetstream().create_consumer_on_stream(consumer_config(spec), spec.stream.name),
        )
        .await;
        let refused = match created {
            Ok(Ok(_consumer)) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_elapsed) => Some("no answer in time".to_owned()),
        };
        let found = self.look::<consumer::Info>(&api, ErrorCode::CONSUMER_NOT_FOUND).await?;
        match (found.map(|found| consumer_difference(&found.config, spec)), refused) {
            (Some(None), _) => {
                tracing::info!(consumer = spec.name, stream = spec.stream.name, "the consumer fits");
                Ok(())
            }
            (_, Some(why)) => Err(BusError::unavailable(format!("create {what}"), why)),
            (Some(Some(difference)), None) => Err(BusError::Misfit { what, difference }),
            (None, None) => Err(BusError::Missing { what }),
        }
    }

    /// Reads something that may not exist.
    async fn look<T: DeserializeOwned>(
        &self,
        api: &str,
        not_found: ErrorCode,
    ) -> Result<Option<T>, BusError> {
        match self.api::<_, T>(api, &serde_json::json!({})).await? {
            Response::Ok(found) => Ok(Some(found)),
            Response::Err { error } if error.error_code() == not_found => Ok(None),
            Response::Err { error } if error.code() >= 500 => Err(BusError::unavailable(api, chain(&error))),
            Response::Err { error } => Err(BusError::refused(api, chain(&error))),
        }
    }

    /// Asks JetStream's API, again and again while the server starts.
    async fn api<P: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        api: &str,
        payload: &P,
    ) -> Result<Response<T>, BusError> {
        let give_up = Instant::now() + ENSURE_WITHIN;
        let mut backoff = Backoff::of_server();
        loop {
            let request = self.jetstream().request::<_, _, Response<T>>(api.to_owned(), payload);
            let why = match timeout(REQUEST_WITHIN, request).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => match error.kind() {
                    RequestErrorKind::TimedOut | RequestErrorKind::NoResponders | RequestErrorKind::Other => {
                        chain(&error)
                    }
                    RequestErrorKind::InvalidSubject => return Err(BusError::refused(api, chain(&error))),
                },
                Err(_elapsed) => "the connection takes nothing".to_owned(),
            };
            let delay = backoff.next_delay();
            if Instant::now() + delay >= give_up {
                return Err(BusError::unavailable(api, why));
            }
            tokio::time::sleep(delay).await;
        }
    }
}

fn stream_config(spec: &StreamSpec) -> Config {
    Config {
        name: spec.name.to_owned(),
        subjects: spec.subjects.iter().map(|subject| (*subject).to_owned()).collect(),
        max_age: spec.max_age,
        max_messages_per_subject: spec.max_messages_per_subject.map_or(-1, i64::from),
        duplicate_window: spec.duplicate_window,
        discard: DiscardPolicy::Old,
        ..stored_in_files()
    }
}

fn bucket_config(spec: &BucketSpec) -> Config {
    Config {
        name: spec.stream(),
        subjects: vec![spec.subject(">")],
        max_age: spec.max_age,
        max_bytes: spec.bytes_max.map_or(-1, i64::from),
        max_messages_per_subject: i64::from(spec.history),
        duplicate_window: BUCKET_DUPLICATE_WINDOW,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        ..stored_in_files()
    }
}

fn object_store_config(spec: &ObjectStoreSpec) -> Config {
    Config {
        name: spec.stream(),
        subjects: vec![format!("$O.{}.C.>", spec.name), format!("$O.{}.M.>", spec.name)],
        max_age: spec.max_age,
        duplicate_window: BUCKET_DUPLICATE_WINDOW,
        max_messages_per_subject: -1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        ..stored_in_files()
    }
}

fn stored_in_files() -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: 1,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: -1,
        max_consumers: -1,
        allow_direct: true,
        ..Config::default()
    }
}

/// What we need, over what is there: its age, replicas, placement and sizes are the operator's.
fn updated(found: Config, wanted: &Config) -> Config {
    Config {
        subjects: wanted.subjects.clone(),
        max_messages_per_subject: wanted.max_messages_per_subject,
        duplicate_window: wanted.duplicate_window,
        discard: wanted.discard,
        allow_direct: wanted.allow_direct,
        allow_rollup: wanted.allow_rollup,
        deny_delete: wanted.deny_delete,
        max_bytes: if lacks_limit(&found, wanted) { wanted.max_bytes } else { found.max_bytes },
        ..found
    }
}

/// Whether it may grow without a bound, as it did in earlier versions. Another bound than ours is the operator's.
fn lacks_limit(found: &Config, wanted: &Config) -> bool {
    wanted.max_bytes > 0 && found.max_bytes <= 0
}

fn stream_difference(found: &Config, wanted: &Config) -> Option<String> {
    first_difference([
        option("subjects", &found.subjects, &wanted.subjects),
        option("max_msgs_per_subject", &found.max_messages_per_subject, &wanted.max_messages_per_subject),
        option("duplicate_window", &found.duplicate_window, &wanted.duplicate_window),
        option("discard", &found.discard, &wanted.discard),
        option("retention", &found.retention, &wanted.retention),
        option("storage", &found.storage, &wanted.storage),
        option("allow_direct", &found.allow_direct, &wanted.allow_direct),
        option("allow_rollup_hdrs", &found.allow_rollup, &wanted.allow_rollup),
        option("deny_delete", &found.deny_delete, &wanted.deny_delete),
    ])
}

fn consumer_config(spec: &ConsumerSpec) -> jetstream::consumer::pull::Config {
    jetstream::consumer::pull::Config {
        durable_name: Some(spec.name.clone()),
        filter_subject: spec.filter.clone(),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: spec.ack_wait,
        // The loop counts attempts and dead-letters; the server must never give up on its own.
        max_deliver: -1,
        max_ack_pending: i64::from(spec.max_ack_pending),
        ..Default::default()
    }
}

fn consumer_difference(found: &consumer::Config, spec: &ConsumerSpec) -> Option<String> {
    first_difference([
        option("filter_subject", &found.filter_subject, &spec.filter),
        option("ack_policy", &found.ack_policy, &AckPolicy::Explicit),
        option("ack_wait", &found.ack_wait, &spec.ack_wait),
        option("max_ack_pending", &found.max_ack_pending, &i64::from(spec.max_ack_pending)),
        option("max_deliver", &found.max_deliver, &-1),
        option("deliver_subject", &found.deliver_subject, &None),
    ])
}

fn option<T: PartialEq + std::fmt::Debug>(name: &str, found: &T, wanted: &T) -> Option<String> {
    (found != wanted).then(|| format!("{name} is {found:?} and should be {wanted:?}"))
}

fn first_difference<const N: usize>(options: [Option<String>; N]) -> Option<String> {
    options.into_iter().flatten().next()
}
