//! The result of the demo.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::record::Tally;

/// Everything that is shown in the end.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The days replayed.
    pub days: usize,
    /// Changes that were acknowledged.
    pub published: u64,
    /// The observers: name, what came, and how many notes it wrote.
    pub observers: Vec<(&'static str, Tally, usize)>,
    /// Notes there are in the end.
    pub children: usize,
    /// From the station's hard stop until it published again.
    pub station_resumed_after: Duration,
    /// From the start of the command.
    pub took: Duration,
    /// What is not as it must be.
    pub differences: Vec<String>,
}

#[derive(Serialize)]
struct ObserverLine<'a> {
    name: &'a str,
    delivered: u64,
    in_state: u64,
    lost: u64,
    duplicated: u64,
    notes: usize,
    p50_ms: f64,
    p99_ms: f64,
    resumed_after_ms: Option<f64>,
}

impl Outcome {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let observers = self.observers.iter().map(|(name, tally, notes)| ObserverLine {
            name,
            delivered: tally.delivered,
            in_state: tally.in_state,
            lost: tally.lost,
            duplicated: tally.duplicated,
            notes: *notes,
            p50_ms: millis(tally.p50),
            p99_ms: millis(tally.p99),
            resumed_after_ms: tally.resumed_after.map(millis),
        });
        json!({
            "event": "demo", "seed": self.seed, "days": self.days, "published": self.published,
            "observers": observers.collect::<Vec<_>>(), "children": self.children,
            "station_resumed_after_ms": millis(self.station_resumed_after), "took_ms": millis(self.took),
            "equal": self.differences.is_empty(), "differences": self.differences,
        })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![row("", self.observers.iter().map(|(name, ..)| (*name).to_owned()))];
        let mut add = |head: &str, cell: &dyn Fn(&(&str, Tally, usize)) -> String| {
            lines.push(row(head, self.observers.iter().map(cell)));
        };
        add("changes delivered", &|(_, tally, _)| tally.delivered.to_string());
        add("within a whole state", &|(_, tally, _)| tally.in_state.to_string());
        add("lost", &|(_, tally, _)| tally.lost.to_string());
        add("duplicated", &|(_, tally, _)| tally.duplicated.to_string());
        add("notes written", &|(_, _, notes)| notes.to_string());
        add("delivery time p50", &|(_, tally, _)| show(tally.p50));
        add("delivery time p99", &|(_, tally, _)| show(tally.p99));
        add("resumed after", &|(_, tally, _)| tally.resumed_after.map_or("-".to_owned(), show));
        let verdict = match self.differences.as_slice() {
            [] => "all copies equal the object computed from the CSV".to_owned(),
            differences => differences.join("\n"),
        };
        format!(
            "\n{} changes published over {} days, {} notes, station resumed after {}\n\n{}\n\n{verdict} ({:.1} s)",
            self.published,
            self.days,
            self.children,
            show(self.station_resumed_after),
            lines.join("\n"),
            self.took.as_secs_f64(),
        )
    }
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>14}")).collect();
    format!("{head:<22}{cells}")
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

fn show(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
