//! A line at the bottom of the terminal that says how far a long work is. Nobody sees it where stderr is no terminal.

use std::io::{IsTerminal as _, Write as _};

const BAR_CHARS: usize = 24;

/// The line, while it lives.
pub(super) struct Progress {
    is_shown: bool,
    line: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), line: String::new() }
    }

    /// How far it is, and in what words.
    pub(super) fn at(&mut self, done: u64, of: u64, words: &str) {
        if self.is_shown {
            let line = format!("{} {words}", bar(done, of));
            if line != self.line {
                draw(&line);
                self.line = line;
            }
        }
    }

    /// Says something above the line.
    pub(super) fn say(&self, text: &str) {
        if self.line.is_empty() {
            eprintln!("{text}");
        } else {
            draw("");
            eprintln!("{text}");
            draw(&self.line);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            draw("");
        }
    }
}

/// Writes over the whole line. A terminal that is gone is nobody's loss.
fn draw(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _written = write!(stderr, "\r\u{1b}[K{line}").and_then(|()| stderr.flush()).is_ok();
}

fn bar(done: u64, of: u64) -> String {
    let full = done.min(of).saturating_mul(BAR_CHARS as u64).checked_div(of).unwrap_or(0);
    let full = usize::try_from(full).unwrap_or(BAR_CHARS);
    format!("[{}{}] {done}/{of}", "#".repeat(full), "-".repeat(BAR_CHARS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, 4), "[------------------------] 0/4");
        assert_eq!(bar(1, 2), "[############------------] 1/2");
        assert_eq!(bar(4, 4), "[########################] 4/4");
        assert_eq!(bar(9, 4), "[########################] 9/4");
        assert_eq!(bar(0, 0), "[------------------------] 0/0");
    }
}
