//! What a command says on stdout: one line per event, as JSON or for people.

mod event;
mod notice;
mod show;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use event::{ChildLine, Event, ObserverLine};
pub(crate) use notice::{FoundLine, NoticeLine};

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line: for programs.
    #[value(alias = "json")]
    Ndjson,
    /// One readable line per event: for people.
    Text,
}

/// The only writer of stdout.
pub(crate) struct Output {
    format: Format,
    reader_left: AtomicBool,
}

impl Output {
    /// In this form; if none is chosen, for people on a terminal and for programs elsewhere.
    pub(crate) fn new(format: Option<Format>) -> Output {
        let at_terminal = if io::stdout().is_terminal() { Format::Text } else { Format::Ndjson };
        Output { format: format.unwrap_or(at_terminal), reader_left: AtomicBool::new(false) }
    }

    /// The form.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a line at once; `false` if nobody reads any more, which is no error.
    pub(crate) fn emit(&self, event: &Event<'_>) -> bool {
        match self.format {
            Format::Text => self.line(&event.to_string()),
            Format::Ndjson => self.json(event),
        }
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> bool {
        match serde_json::to_string(value) {
            Ok(line) => self.line(&line),
            Err(error) => {
                tracing::error!(%error, "an event cannot be written as JSON");
                true
            }
        }
    }

    /// Writes a line of text.
    pub(crate) fn line(&self, line: &str) -> bool {
        if self.reader_left.load(Ordering::Relaxed) {
            return false;
        }
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        if let Err(error) = &written {
            self.reader_left.store(true, Ordering::Relaxed);
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::error!(%error, "cannot write to stdout");
            }
        }
        written.is_ok()
    }
}
