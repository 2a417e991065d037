//! The connection to Redis, and the two ways of using it: reading what is live, writing what is live and what will be.

use crate::error::ProjectionError;
use crate::generation::{Generation, Pointers};
use crate::{keys, script};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// No call takes longer; a list walks in bounded steps, each far below it.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Every call is idempotent. The one that meets a dead connection fails and makes the client connect again, so one
/// more is needed to get through; more would only make the caller wait, who waits better.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(20);
/// Generations change when somebody rebuilds. More changes than this during one call are not credible.
const TURNS: u32 = 5;

/// The views. Clones share the connection.
#[derive(Clone)]
pub struct Projections {
    connection: ConnectionManager,
    pointers: Arc<Mutex<Pointers>>,
}

impl std::fmt::Debug for Projections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projections").finish_non_exhaustive()
    }
}

impl Projections {
    /// The views in the Redis behind that URL (`redis://[user:password@]host:port/[database]`). Connects at the first
    /// use, and again after each loss, so that a missing Redis delays nobody's start. Must be called in a runtime.
    ///
    /// # Errors
    /// [`ProjectionError::Refused`] when the URL cannot be understood.
    pub fn connect(url: &str) -> Result<Self, ProjectionError> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(ANSWER_WITHIN))
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(200));
        let connection = ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)?;
        Ok(Self { connection, pointers: Arc::default() })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), ProjectionError> {
        let mut pipe = redis::pipe();
        pipe.cmd("PING");
        self.run(&pipe).await.map(|_| ())
    }

    /// Whether the views hold everything: a rebuild has declared them complete. An empty Redis does not.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn is_complete(&self) -> Result<bool, ProjectionError> {
        Ok(self.pointers().await?.live.is_some())
    }

    /// What [`Projections::is_complete`] would say by the last answer Redis gave; asks nobody.
    pub fn seems_complete(&self) -> bool {
        self.remembered().live.is_some()
    }

    pub(crate) async fn pointers(&self) -> Result<Pointers, ProjectionError> {
        let mut pipe = redis::pipe();
        let answers = self.run(with_pointers(&mut pipe)).await?;
        self.learn(answers).map(|(_, pointers)| pointers)
    }

    /// Reads from the live generation. When it is replaced meanwhile, reads again from its successor.
    pub(crate) async fn read(
        &self,
        commands: impl Fn(&Generation, &mut Pipeline),
    ) -> Result<Vec<Value>, ProjectionError> {
        let mut generation = self.remembered().readable();
        for _ in 0..TURNS {
            let mut pipe = redis::pipe();
            commands(&generation, &mut pipe);
            let answers = self.run(with_pointers(&mut pipe)).await?;
            let (answers, pointers) = self.learn(answers)?;
            if pointers.readable() == generation {
                return Ok(answers);
            }
            generation = pointers.readable();
        }
        Err(ProjectionError::Interrupted)
    }

    /// Writes to the live generation and to the one being filled. Each time the pointers are read *after* the writes:
    /// a write that a new generation's replay has not seen then goes to it as well.
    /// Answers what the live generation answered.
    pub(crate) async fn write(
        &self,
        commands: impl Fn(&Generation, &mut Pipeline),
    ) -> Result<Vec<Value>, ProjectionError> {
        let mut wanted = self.remembered();
        let mut written: Vec<(Generation, Vec<Value>)> = Vec::new();
        for _ in 0..TURNS {
            for generation in wanted.writable() {
                if written.iter().any(|(done, _)| *done == generation) {
                    continue;
                }
                let mut pipe = redis::pipe();
                commands(&generation, &mut pipe);
                let answers = self.run(with_pointers(&mut pipe)).await?;
                let (answers, pointers) = self.learn(answers)?;
                written.push((generation, answers));
                wanted = pointers;
            }
            let all = wanted.writable().iter().all(|one| written.iter().any(|(done, _)| done == one));
            if all {
                let live = wanted.readable();
                let answers = written.into_iter().find(|(done, _)| *done == live).map(|(_, answers)| answers);
                return Ok(answers.unwrap_or_default());
            }
        }
        Err(ProjectionError::Interrupted)
    }

    /// Runs idempotent commands, again after a lost connection, and after giving Redis scripts it does not have.
    pub(crate) async fn run(&self, pipe: &Pipeline) -> Result<Vec<Value>, ProjectionError> {
        let mut connection = self.connection.clone();
        let (mut tries, mut loaded) = (1, false);
        loop {
            let error = match pipe.query_async::<Vec<Value>>(&mut connection).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            match cure(&error) {
                Cure::LoadScripts if !loaded => {
                    self.load_scripts().await?;
                    loaded = true;
                }
                Cure::Pause if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Cure::LoadScripts | Cure::Pause | Cure::None => return Err(error.into()),
            }
        }
    }

    async fn load_scripts(&self) -> Result<(), ProjectionError> {
        let mut pipe = redis::pipe();
        for script in script::every() {
            pipe.add_command(script.load());
        }
        pipe.query_async::<Vec<Value>>(&mut self.connection.clone()).await?;
        Ok(())
    }

    fn remembered(&self) -> Pointers {
        self.pointers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, mut answers: Vec<Value>) -> Result<(Vec<Value>, Pointers), ProjectionError> {
        let pointers = Pointers::read(answers.pop().unwrap_or(Value::Nil))?;
        self.pointers.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&pointers);
        Ok((answers, pointers))
    }
}

fn with_pointers(pipe: &mut Pipeline) -> &Pipeline {
    pipe.cmd("HMGET").arg(keys::POINTERS).arg("live").arg("next")
}

enum Cure {
    LoadScripts,
    Pause,
    None,
}

fn cure(error: &RedisError) -> Cure {
    let kind = error.kind();
    if kind == ErrorKind::Server(ServerErrorKind::NoScript) {
        return Cure::LoadScripts;
    }
    // A timeout is not tried again here: the caller has waited long enough.
    if kind == ErrorKind::Io && !error.is_timeout() { Cure::Pause } else { Cure::None }
}
