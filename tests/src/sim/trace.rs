//! What happened: one line for each frame and each event, hashed while it happens.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

/// Lines kept of a run of which nobody asked for all: enough to see what led to a violation.
pub const RECENT_LINES: usize = 400;

/// Characters of a body that a line shows.
const BODY_SHOWN: usize = 160;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reached the other end.
    Delivered,
    /// The link lost it.
    Lost,
    /// The link carries it twice.
    Doubled,
    /// Frames behind it overtake it.
    Delayed,
}

/// The way of a frame on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the runtime to the node.
    Up,
    /// From the node to the runtime.
    Down,
}

/// One line of a trace. Its `Display` form is for people.
#[derive(Debug, Clone)]
pub struct Line {
    /// Virtual time since the beginning.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// What a line tells.
#[derive(Debug, Clone)]
pub enum What {
    /// A frame on a link.
    Frame {
        /// The link, `<runtime>/<domain>`.
        link: Arc<str>,
        /// Which way.
        direction: Direction,
        /// What became of it.
        fate: Fate,
        /// The frame itself.
        frame: Bytes,
    },
    /// Anything else.
    Event {
        /// The machine, link or application it happened to.
        who: String,
        /// What.
        text: String,
    },
}

pub(super) type Listener = Box<dyn FnMut(&Line) + Send>;

/// The trace of a simulation.
pub struct Trace(Mutex<State>);

struct State {
    begun: Instant,
    hash: u64,
    lines: u64,
    recent: VecDeque<Line>,
    listener: Option<Listener>,
}

impl Trace {
    pub(crate) fn new(begun: Instant, listener: Option<Listener>) -> Trace {
        Trace(Mutex::new(State { begun, hash: 0, lines: 0, recent: VecDeque::new(), listener }))
    }

    /// A number that is the same for two runs if, and as good as only if, all their lines are.
    pub fn hash(&self) -> u64 {
        self.0.lock().hash
    }

    /// How many lines there were.
    pub fn lines(&self) -> u64 {
        self.0.lock().lines
    }

    /// The last lines, at most [`RECENT_LINES`].
    pub fn recent(&self) -> Vec<Line> {
        self.0.lock().recent.iter().cloned().collect()
    }

    pub(crate) fn frame(&self, link: &Arc<str>, direction: Direction, fate: Fate, frame: &Bytes) {
        let what = What::Frame { link: Arc::clone(link), direction, fate, frame: frame.clone() };
        self.0.lock().add(what);
    }

    pub(crate) fn event(&self, who: &str, text: String) {
        self.0.lock().add(What::Event { who: who.to_owned(), text });
    }
}

impl State {
    fn add(&mut self, what: What) {
        let line = Line { at: self.begun.elapsed(), what };
        let mut hash = mixed(self.hash, line.at.as_nanos() as u64);
        match &line.what {
            What::Frame { link, direction, fate, frame } => {
                hash = mixed(hash, *direction as u64 * 16 + *fate as u64);
                hash = hashed(hashed(hash, link.as_bytes()), frame);
            }
            What::Event { who, text } => hash = hashed(hashed(hash, who.as_bytes()), text.as_bytes()),
        }
        self.hash = hash;
        self.lines += 1;
        if let Some(listener) = &mut self.listener {
            listener(&line);
        }
        if self.recent.len() == RECENT_LINES {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
    }
}

fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mixed(hash, bytes.len() as u64);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        hash = mixed(hash, u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    let rest = chunks.remainder().iter().fold(0, |rest, &byte| rest << 8 | u64::from(byte));
    mixed(hash, rest)
}

fn mixed(hash: u64, value: u64) -> u64 {
    (hash.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x} after {} lines)", self.hash(), self.lines())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3}  ", self.at.as_secs_f64())?;
        match &self.what {
            What::Event { who, text } => write!(f, "{who}  {text}"),
            What::Frame { link, direction, fate, frame } => {
                let arrow = if *direction == Direction::Up { "->" } else { "<-" };
                let fate = match fate {
                    Fate::Delivered => "",
                    Fate::Lost => "LOST ",
                    Fate::Doubled => "DOUBLED ",
                    Fate::Delayed => "DELAYED ",
                };
                write!(f, "{} {fate}{}", link.replacen('/', &format!(" {arrow} "), 1), Shown(frame))
            }
        }
    }
}

/// A frame in few words.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(message) = serde_json::from_slice::<Value>(self.0) else {
            let text = String::from_utf8_lossy(&self.0[..self.0.len().min(BODY_SHOWN)]);
            return write!(f, "{} bytes that are no message: {text:?}", self.0.len());
        };
        let text = |name: &str| match &message[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let body: String = message["body"].to_string().chars().take(BODY_SHOWN).collect();
        write!(f, "{} #{} {} => {} {body}", text("type"), text("id"), text("from"), text("to"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_line_counts() {
        let link: Arc<str> = "alice/example.com".into();
        let hash = |fate, frame: &'static str| {
            let trace = Trace::new(Instant::now(), None);
            trace.frame(&link, Direction::Up, fate, &Bytes::from_static(frame.as_bytes()));
            trace.hash()
        };
        assert_eq!(hash(Fate::Lost, "123456789"), hash(Fate::Lost, "123456789"));
        assert_ne!(hash(Fate::Lost, "123456789"), hash(Fate::Delivered, "123456789"));
        assert_ne!(hash(Fate::Lost, "123456789"), hash(Fate::Lost, "123456780"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_lines_are_kept_and_all_are_told() {
        let told = Arc::new(Mutex::new(0));
        let count = Arc::clone(&told);
        let trace = Trace::new(Instant::now(), Some(Box::new(move |_| *count.lock() += 1)));
        for number in 0..RECENT_LINES + 7 {
            trace.event("alice", number.to_string());
        }
        let recent = trace.recent();
        assert_eq!((recent.len(), *told.lock()), (RECENT_LINES, RECENT_LINES + 7));
        assert_eq!(recent[0].to_string(), "     0.000  alice  7");
    }

    #[test]
    fn a_line_is_readable() {
        let frame =
            br#"{"id":7,"type":"update","from":"comm://a/1","to":"comm://a/1/changes","body":{"version":3}}"#;
        let what = What::Frame {
            link: "alice/example.com".into(),
            direction: Direction::Down,
            fate: Fate::Lost,
            frame: Bytes::from_static(frame),
        };
        let line = Line { at: Duration::from_millis(1500), what };
        let expected = "     1.500  alice <- example.com LOST update #7 comm://a/1 => comm://a/1/changes {\"version\":3}";
        assert_eq!(line.to_string(), expected);
    }
}
