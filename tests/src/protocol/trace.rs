//! What was said, for people: one line for each message.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::Failure;

/// Most lines kept; a case that says more loses the first ones. Some 2 MB.
const LINES_MAX: usize = 10_000;

/// Longest body shown, in characters.
const BODY_CHARS_MAX: usize = 160;

/// Everything said in one case, and what was noticed to be wrong beside what the case itself checks. Clones write
/// into the same trace.
#[derive(Clone)]
pub struct Trace {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    began: Instant,
    lines: Vec<String>,
    lost: usize,
    violation: Option<Failure>,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace::new()
    }
}

impl Trace {
    /// An empty one, which begins now.
    pub fn new() -> Trace {
        let inner = Inner { began: Instant::now(), lines: Vec::new(), lost: 0, violation: None };
        Trace { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Something that is no message.
    pub fn note(&self, what: impl fmt::Display) {
        self.line(format_args!("-- {what}"));
    }

    /// A message that `who`, played by the suite, sends.
    pub fn sent(&self, who: &str, message: &Value) {
        self.line(format_args!("{who} >> {}", summary(message)));
    }

    /// A message that `who`, played by the suite, receives.
    pub fn received(&self, who: &str, message: &Value) {
        self.line(format_args!("{who} << {}", summary(message)));
    }

    /// Something sent that is no message.
    pub fn sent_text(&self, who: &str, text: &str) {
        self.line(format_args!("{who} >> (raw) {}", shortened(text)));
    }

    /// Notes that a rule is broken, whatever the case itself is about; the first one counts.
    pub fn violated(&self, failure: Failure) {
        self.note(format_args!("{} is broken: {}", failure.invariant, failure.detail));
        self.inner.lock().violation.get_or_insert(failure);
    }

    /// The rule that was noticed to be broken first.
    pub fn violation(&self) -> Option<Failure> {
        self.inner.lock().violation.clone()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        let inner = self.inner.lock();
        let lost = (inner.lost > 0).then(|| format!("-- {} lines before these", inner.lost));
        lost.into_iter().chain(inner.lines.iter().cloned()).collect()
    }

    /// Forgets everything: another sequence of the same case begins.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner { began: Instant::now(), lines: Vec::new(), lost: 0, violation: None };
    }

    fn line(&self, what: fmt::Arguments<'_>) {
        let mut inner = self.inner.lock();
        let at = inner.began.elapsed().as_millis();
        if inner.lines.len() == LINES_MAX {
            inner.lines.drain(..LINES_MAX / 2);
            inner.lost += LINES_MAX / 2;
        }
        inner.lines.push(format!("{at:>7} ms  {what}"));
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("lines", &self.inner.lock().lines.len()).finish_non_exhaustive()
    }
}

/// One line: id, type, from, to, and what matters of the body.
fn summary(message: &Value) -> String {
    let text = |member: &str| match &message[member] {
        Value::String(text) => text.clone(),
        Value::Null => "?".to_owned(),
        other => other.to_string(),
    };
    let id = match &message["id"] {
        Value::Null => "?".to_owned(),
        other => other.to_string(),
    };
    let head = format!("#{id} {} {} -> {}", text("type"), text("from"), text("to"));
    match &message["body"] {
        Value::Null => head,
        body => format!("{head}  {}", shortened(&body.to_string())),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(BODY_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push_str(&format!("… ({} bytes)", text.len()));
    }
    short
}
