//! What the tests share: servers with a connection, a handler told what to do, and bounded waiting.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::topology::{ConsumerSpec, Needs, Service, StreamSpec, needs_of};
use bus::{Bus, ConnectOptions, Delivery, Failure, Handler, HeaderMap, Limits, Provision, RawMessage};
use futures::future::BoxFuture;
use servers::TestServers;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// No step of a test takes longer.
const STEP: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(STEP, future).await {
        Ok(done) => done,
        Err(_elapsed) => panic!("{what}: not within {STEP:?}"),
    }
}

/// Asks until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) servers: TestServers,
}

pub(crate) fn options(servers: &TestServers, name: &str, provision: Provision) -> ConnectOptions {
    ConnectOptions {
        url: servers.nats.url(),
        name: name.to_owned(),
        user: None,
        password: None,
        credentials_file: None,
        provision,
    }
}

impl Rig {
    /// Servers with everything set up.
    pub(crate) async fn start() -> Self {
        let servers = TestServers::start().await;
        let bus = Bus::connect(&options(&servers, "test", Provision::Create)).await.unwrap();
        bus.ensure(&Needs { consumers: Vec::new(), ..needs_of(Service::Admin) }).await.unwrap();
        Self { bus, servers }
    }

    pub(crate) async fn publish(&self, subject: &str, payload: impl Into<String>) -> u64 {
        let payload: String = payload.into();
        self.bus.publish(subject.to_owned(), HeaderMap::new(), payload.into(), None).await.unwrap().sequence
    }

    /// How many messages the consumer was given and has not settled, and how many it was not given.
    pub(crate) async fn left(&self, spec: &ConsumerSpec) -> (usize, u64) {
        let stream = self.bus.jetstream().get_stream(spec.stream.name).await.unwrap();
        let info = stream.consumer_info(&spec.name).await.unwrap();
        (info.num_ack_pending, info.num_pending)
    }

    pub(crate) async fn messages_in(&self, stream: &str) -> u64 {
        self.bus.jetstream().get_stream(stream).await.unwrap().cached_info().state.messages
    }
}

pub(crate) fn consumer(stream: &'static StreamSpec, name: &str, ack_wait: Duration) -> ConsumerSpec {
    let filter = stream.subjects[0].to_owned();
    ConsumerSpec { stream, name: name.to_owned(), filter, ack_wait, max_ack_pending: 1_000 }
}

pub(crate) const LIMITS: Limits = Limits { slots: 8, attempts_max: 3, deadline: Duration::from_secs(10) };

/// What a handler got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) text: String,
    pub(crate) delivery: Delivery,
}

type Act = Box<dyn Fn(Got) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// Reports each message before it acts on it.
pub(crate) struct Scripted {
    got: UnboundedSender<Got>,
    act: Act,
}

#[async_trait]
impl Handler for Scripted {
    type Event = RawMessage;

    async fn handle(&self, event: RawMessage, delivery: &Delivery) -> Result<(), Failure> {
        let got =
            Got { text: String::from_utf8_lossy(&event.payload).into_owned(), delivery: delivery.clone() };
        // A test that stopped listening does not mind.
        let _closed = self.got.send(got.clone());
        (self.act)(got).await
    }
}

/// A running consumer loop. Dropped, it dies like a killed process: nothing is settled.
pub(crate) struct Running {
    pub(crate) got: UnboundedReceiver<Got>,
    pub(crate) drain: CancellationToken,
    task: JoinSet<Result<(), bus::BusError>>,
}

impl Running {
    pub(crate) async fn next(&mut self) -> Got {
        within("a message", self.got.recv()).await.expect("the handler lives")
    }

    pub(crate) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.next().await.text);
        }
        texts
    }

    pub(crate) async fn drained(mut self) {
        self.drain.cancel();
        within("the drain", self.task.join_next()).await.unwrap().unwrap().unwrap();
    }

    pub(crate) async fn killed(mut self) {
        self.task.abort_all();
        assert!(self.task.join_next().await.unwrap().unwrap_err().is_cancelled());
    }
}

/// Runs a loop whose handler does this.
pub(crate) fn run<F>(
    bus: &Bus,
    spec: &ConsumerSpec,
    limits: Limits,
    act: impl Fn(Got) -> F + Send + Sync + 'static,
) -> Running
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (got_to, got) = unbounded_channel();
    let handler = Arc::new(Scripted { got: got_to, act: Box::new(move |got| Box::pin(act(got))) });
    let drain = CancellationToken::new();
    let (bus, spec, until) = (bus.clone(), spec.clone(), drain.clone());
    let mut task = JoinSet::new();
    task.spawn(async move { bus::consume(&bus, spec, handler, limits, until).await });
    Running { got, drain, task }
}

/// A running fold and what it told.
pub(crate) struct Following {
    pub(crate) told: UnboundedReceiver<bus::Change>,
    _drain: DropGuard,
    pub(crate) task: JoinSet<Result<(), bus::BusError>>,
}

impl Following {
    /// Each change as one line, its sequence left out.
    pub(crate) async fn next(&mut self) -> String {
        match within("a change", self.told.recv()).await.expect("the fold lives") {
            bus::Change::Put { key, payload, .. } => format!("{key}={}", String::from_utf8_lossy(&payload)),
            bus::Change::Delete { key, .. } => format!("{key} gone"),
            bus::Change::CaughtUp { sequence } => format!("caught up at {sequence}"),
        }
    }

    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.next().await);
        }
        lines
    }
}

pub(crate) fn follow(bus: &Bus, source: bus::FollowSource, from: bus::From) -> Following {
    let (told_to, told) = unbounded_channel();
    let drain = CancellationToken::new();
    let (bus, until) = (bus.clone(), drain.clone());
    let mut task = JoinSet::new();
    task.spawn(async move {
        bus::follow(
            &bus,
            source,
            from,
            move |change| {
                let _closed = told_to.send(change);
            },
            until,
        )
        .await
    });
    Following { told, _drain: drain.drop_guard(), task }
}
