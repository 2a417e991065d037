//! Server-sent events out of an HTTP answer, as the HTML standard reads them. It does not know what they say.

use std::collections::VecDeque;

use anyhow::{Context as _, ensure};

/// A longer line is no event of ours.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Resumes after it.
    pub(crate) id: Option<String>,
    /// Its name; empty is `message`.
    pub(crate) name: String,
    /// Its lines of data, joined.
    pub(crate) data: String,
}

/// The events of one answer, as they come.
pub(crate) struct Events {
    response: reqwest::Response,
    reader: Reader,
}

impl Events {
    /// Of an answer that succeeded.
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { response, reader: Reader::default() }
    }

    /// The next event; `None` when the answer is over.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.reader.events.pop_front() {
                return Ok(Some(event));
            }
            match self.response.chunk().await.context("live events broke off")? {
                Some(chunk) => self.reader.push(&chunk)?,
                None => return Ok(None),
            }
        }
    }
}

#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    building: Event,
    has_data: bool,
    events: VecDeque<Event>,
}

impl Reader {
    fn push(&mut self, chunk: &[u8]) -> anyhow::Result<()> {
        self.rest.extend_from_slice(chunk);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        ensure!(self.rest.len() <= LINE_BYTES_MAX, "a live event is too long");
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            self.line(line.trim_end_matches(['\r', '\n']));
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.building);
            if std::mem::take(&mut self.has_data) {
                self.events.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.building.id = Some(value.to_owned()),
            "event" => self.building.name = value.to_owned(),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.building.data.push('\n');
                }
                self.building.data.push_str(value);
            }
            // Comments are heartbeats; `retry` is for browsers.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_the_chunks() {
        let text = "retry: 1000\n: beat\n\nid: 7\nevent: job\ndata: {\"a\":\ndata: 1}\r\n\r\nid: 8\ndata: é\n\nid: 9\n\ndata: half";
        for size in 1..text.len() {
            let mut reader = Reader::default();
            text.as_bytes().chunks(size).for_each(|chunk| reader.push(chunk).expect("short"));
            let events: Vec<Event> = reader.events.into();
            let event = |id: &str, name: &str, data: &str| Event {
                id: Some(id.to_owned()),
                name: name.to_owned(),
                data: data.to_owned(),
            };
            assert_eq!(events, [event("7", "job", "{\"a\":\n1}"), event("8", "", "é")], "chunks of {size}");
        }
    }
}
