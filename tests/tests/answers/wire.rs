//! The final answers that reach a hyperty, counted at the buses of both sides.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperty_conformance::reference::{Answers, Violation};
use hyperty_message_bus::{Direction, Interceptor, Verdict};
use hyperty_model::{HypertyUrl, Message, MessageType};
use parking_lot::Mutex;

use crate::scene::Side;

/// Counts the final answers that reach one hyperty. What is sent again may be answered again.
pub(crate) struct Wire {
    hyperty: HypertyUrl,
    pub(crate) counted: Mutex<Counted>,
}

#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) answers: Answers,
    /// By the id of the request.
    pub(crate) times: BTreeMap<String, Times>,
    pub(crate) broken: Option<Violation>,
}

/// How often a request was seen on its way out, how often it arrived, how often it was answered.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) sent: u32,
    arrived: u32,
    answered: u32,
}

/// A bus that a [`Wire`] looks at.
struct Tap {
    wire: Arc<Wire>,
    /// The one of the hyperty.
    is_home: bool,
}

impl Wire {
    pub(crate) fn of(side: &Side, other: &Side) -> Arc<Wire> {
        let wire = Arc::new(Wire { hyperty: side.app.url().clone(), counted: Mutex::default() });
        for (side, is_home) in [(side, true), (other, false)] {
            side.runtime.bus().add_interceptor(Arc::new(Tap { wire: Arc::clone(&wire), is_home }));
        }
        wire
    }

    fn note(&self, message: &Message, is_home: bool) {
        let Counted { answers, times, broken } = &mut *self.counted.lock();
        let id = message.id().to_string();
        let times = times.entry(id.clone()).or_default();
        let result = if message.kind() == MessageType::Response {
            // Asked before this was looked at.
            if times.sent.max(times.arrived) == 0 {
                return;
            }
            let code = message.code();
            let request = format!("{id}, time {}", times.answered + 1);
            if code.is_provisional() {
                answers.provisional(&request)
            } else {
                times.answered += 1;
                answers.answered(&request, &code.to_string())
            }
        } else {
            let before = times.sent.max(times.arrived);
            *(if is_home { &mut times.sent } else { &mut times.arrived }) += 1;
            let now = times.sent.max(times.arrived);
            if now > before { answers.asked(&format!("{id}, time {now}")) } else { Ok(()) }
        };
        if let Err(violation) = result {
            broken.get_or_insert(violation);
        }
    }
}

impl Interceptor for Tap {
    fn inspect(&self, message: Message, direction: Direction) -> Verdict {
        let me = self.wire.hyperty.as_url();
        let is_counted = match message.kind() {
            MessageType::Response => self.is_home && message.to() == me,
            kind => {
                let is_first = self.is_home == (direction == Direction::Outgoing);
                kind.is_request() && is_first && message.from() == me && !is_publication(&message)
            }
        };
        if is_counted {
            self.wire.note(&message, self.is_home);
        }
        Verdict::Pass(message)
    }
}

/// Whether it goes to whoever listens, and nobody answers (protocol 2.4).
fn is_publication(message: &Message) -> bool {
    let to = message.to().as_str();
    message.kind() == MessageType::Update && (to.ends_with("/status") || to.ends_with("/changes"))
}
