//! How far the demo is: a bar on a terminal, plain lines elsewhere; on stderr.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines while the changes run, one each tenth.
const LINES: usize = 10;

/// Tells how far it is.
pub(crate) struct Progress {
    total: usize,
    /// The dates of the days, and the change that each begins with.
    days: Vec<(usize, String)>,
    bar: Option<ProgressBar>,
    told: AtomicUsize,
}

impl Progress {
    /// Of so many changes.
    pub(crate) fn new(total: usize, days: Vec<(usize, String)>) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} changes") {
                bar.set_style(style);
            }
            bar
        });
        Progress { total, days, bar, told: AtomicUsize::new(0) }
    }

    /// So many changes are made.
    pub(crate) fn at(&self, changes: usize) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.date(changes).to_owned());
            bar.set_position(changes as u64);
            return;
        }
        let tenth = changes * LINES / self.total.max(1);
        if self.told.fetch_max(tenth, Ordering::Relaxed) < tenth {
            eprintln!("{} {changes}/{} changes", self.date(changes), self.total);
        }
    }

    /// Something happened.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// All is done; the bar goes.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The day that the change belongs to.
    pub(crate) fn date(&self, change: usize) -> &str {
        let day = self.days.partition_point(|(start, _)| *start < change.max(1));
        self.days.get(day.saturating_sub(1)).map(|(_, date)| date.as_str()).unwrap_or_default()
    }
}
