//! Live jobs over lost connections: reads on after the last event, ever more slowly while nobody answers.

use std::time::Duration;

use domain::job::JobView;

use super::api::ApiError;
use super::failure::Failure;
use super::session::Session;
use crate::client::sse::Events;

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What there is to hear.
pub(super) enum News {
    /// How a job stands now, and in the API's words.
    Job(Box<JobView>, String),
    /// What was true at the start has been told.
    Live,
    /// The connection is lost; it is tried again. Said once per loss.
    Lost(String),
    /// It is there again.
    Back,
}

/// The live jobs of a workspace.
pub(super) struct Feed<'a> {
    session: &'a Session,
    query: Vec<(&'static str, String)>,
    events: Option<Events>,
    last: Option<String>,
    lost: bool,
    pause: Duration,
}

impl<'a> Feed<'a> {
    /// Connects.
    ///
    /// # Errors
    /// When that is refused, or nobody answers.
    pub(super) async fn open(
        session: &'a Session,
        query: Vec<(&'static str, String)>,
    ) -> Result<Self, Failure> {
        let mut feed = Self { session, query, events: None, last: None, lost: false, pause: PAUSE_FIRST };
        feed.events = Some(feed.connect().await?);
        Ok(feed)
    }

    /// The next news; comes back by itself from lost connections. May be dropped and called again.
    ///
    /// # Errors
    /// When the API refuses to go on.
    pub(super) async fn next(&mut self) -> Result<News, Failure> {
        loop {
            let Some(events) = &mut self.events else {
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                match self.connect().await {
                    Ok(events) => {
                        self.events = Some(events);
                        if std::mem::take(&mut self.lost) {
                            return Ok(News::Back);
                        }
                        continue;
                    }
                    Err(Failure::Unreachable(why)) => match self.lose(why) {
                        Some(news) => return Ok(news),
                        None => continue,
                    },
                    Err(refused) => return Err(refused),
                }
            };
            let why = match events.next().await {
                Ok(Some(event)) => {
                    self.pause = PAUSE_FIRST;
                    if event.name == "reset" {
                        self.last = None;
                        continue;
                    }
                    self.last = event.id.or_else(|| self.last.take());
                    match event.name.as_str() {
                        "live" => return Ok(News::Live),
                        "job" => match serde_json::from_str(&event.data) {
                            Ok(job) => return Ok(News::Job(Box::new(job), event.data)),
                            Err(error) => format!("an event cannot be read: {error}"),
                        },
                        _later_kinds => continue,
                    }
                }
                Ok(None) => "the API ended it".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            self.events = None;
            if let Some(news) = self.lose(why) {
                return Ok(news);
            }
        }
    }

    fn lose(&mut self, why: String) -> Option<News> {
        (!std::mem::replace(&mut self.lost, true)).then_some(News::Lost(why))
    }

    async fn connect(&self) -> Result<Events, Failure> {
        let path = self.session.below(&["events"]).await?;
        let query: Vec<(&str, &str)> =
            self.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match self.session.api.events(&path, &query, self.last.as_deref()).await {
            Ok(events) => Ok(events),
            // Too many clients listen, or it is just starting: the same may work later.
            Err(ApiError::Refused(refusal)) if refusal.status == 429 || refusal.status >= 500 => {
                Err(Failure::Unreachable(refusal.to_string()))
            }
            Err(other) => Err(other.into()),
        }
    }
}
