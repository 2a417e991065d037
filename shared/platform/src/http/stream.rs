//! Answers without an end: read line by line, as news come in. A line has a limit, a silence has a limit, a life has a limit.

use super::client::{Call, HttpClient, Outcome};
use super::error::SendError;
use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// The limits of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Until the headers of the answer are there.
    pub open_within: Duration,
    /// The longest silence: no byte for so long ends the stream.
    pub silence_max: Duration,
    /// The longest life.
    pub life_max: Duration,
    /// The longest line; a longer one is passed over.
    pub line_bytes_max: usize,
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Lines {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    response: reqwest::Response,
    limits: StreamLimits,
    buffer: BytesMut,
    /// How much of the buffer is known to have no end of a line.
    searched: usize,
    /// Whether the line that is being read is longer than allowed.
    overlong: bool,
}

/// What the stream brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Text(String),
    /// A line that was longer than allowed, or no text.
    Skipped,
}

impl HttpClient {
    /// Sends the request and reads only the headers of the answer.
    ///
    /// # Errors
    /// [`SendError`] says whether the platform may have heard.
    pub async fn open(&self, call: Call, limits: StreamLimits) -> Result<Lines, SendError> {
        let request = self.request(call).timeout(limits.life_max);
        let response = match tokio::time::timeout(limits.open_within, request.send()).await {
            Ok(sent) => sent.map_err(SendError::of)?,
            Err(_) => return Err(SendError::Ambiguous("no answer in time".to_owned())),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Lines { status, headers, response, limits, buffer: BytesMut::new(), searched: 0, overlong: false })
    }
}

impl Lines {
    /// The answer as a whole, where it is no stream but a refusal: its begin, as far as it comes in time.
    ///
    /// # Errors
    /// [`SendError::Ambiguous`] when it broke.
    pub async fn into_outcome(mut self) -> Result<Outcome, SendError> {
        const BYTES_MAX: usize = 64 * 1024;
        let read = async {
            while self.buffer.len() < BYTES_MAX
                && let Some(chunk) = self.response.chunk().await.map_err(SendError::of)?
            {
                self.buffer.extend_from_slice(&chunk);
            }
            Ok(())
        };
        match tokio::time::timeout(self.limits.open_within, read).await {
            Ok(read) => read?,
            Err(_) => return Err(SendError::Ambiguous("no whole answer in time".to_owned())),
        }
        Ok(Outcome {
            status: self.status,
            headers: self.headers,
            body: self.buffer.freeze(),
            unchanged: false,
        })
    }

    /// The next line; `None` when the other side ended the stream in order.
    ///
    /// # Errors
    /// [`SendError::Ambiguous`] when it broke, fell silent or became too old.
    pub async fn next(&mut self) -> Result<Option<Line>, SendError> {
        loop {
            if let Some(more) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = std::mem::take(&mut self.searched) + more;
                let line = self.buffer.split_to(end + 1);
                if std::mem::take(&mut self.overlong) {
                    return Ok(Some(Line::Skipped));
                }
                let line = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]).to_vec();
                return Ok(Some(String::from_utf8(line).map_or(Line::Skipped, Line::Text)));
            }
            if self.buffer.len() > self.limits.line_bytes_max {
                self.overlong = true;
                self.buffer.clear();
            }
            self.searched = self.buffer.len();
            let silence = self.limits.silence_max;
            match tokio::time::timeout(silence, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                // A line without its end is no line.
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(SendError::of(error)),
                Err(_) => {
                    let why = format!("nothing was heard for {} s", silence.as_secs());
                    return Err(SendError::Ambiguous(why));
                }
            }
        }
    }
}
