//! A hyperty here hears one answer to each of its operations on children (INV-MSG-1), though more come: an operation is
//! sent until the Reporter's side has answered it (M18), and message nodes on the way may refuse it first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hyperty_message_bus::ResponseWatch;
use hyperty_model::Message;

/// Most operations of which further answers are kept back, in a runtime. An operation is sent again only when there was
/// no answer for a while or a connection was lost, and all its answers come within moments of each other: fewer than
/// this lie between two of them.
const ANSWERED_MAX: usize = 4_096;

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const ANSWERED: u8 = 2;

/// The one answer that a hyperty gets to an operation. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneAnswer(Arc<AtomicU8>);

/// What becomes of an answer that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// It has to be looked at first.
    Undecided,
    /// It is the one.
    Passes,
    /// There was one already.
    Kept,
}

impl OneAnswer {
    /// Whether both are of one operation.
    pub(crate) fn is(&self, other: &OneAnswer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What becomes of a final answer that has come just now.
    pub(crate) fn comes(&self) -> Onward {
        match self.0.compare_exchange(GRANTED, ANSWERED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Onward::Passes,
            Err(WAITING) => Onward::Undecided,
            Err(_) => Onward::Kept,
        }
    }

    /// The answer that has come is the one; false if there was one already.
    pub(crate) fn settle(&self) -> bool {
        self.0.swap(ANSWERED, Ordering::AcqRel) != ANSWERED
    }

    /// The next answer is the one, whoever gives it; false if there was one already.
    pub(crate) fn grant(&self) -> bool {
        self.0.compare_exchange(WAITING, GRANTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Operations that have had their answer while others may be under way, the latest last.
#[derive(Default)]
pub(crate) struct Answered(VecDeque<(Message, ResponseWatch)>);

impl Answered {
    /// Keeps back what else is answered to an operation.
    pub(crate) fn keep(&mut self, operation: Message, watch: ResponseWatch) {
        if self.0.len() == ANSWERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((operation, watch));
    }

    /// A hyperty asks under the id of an operation once more: that has an answer of its own.
    pub(crate) fn let_go(&mut self, message: &Message) {
        self.0.retain(|(operation, _)| !is_same(operation, message));
    }
}

/// Whether two messages are one request: of the same sender, under the same id, to the same address.
pub(crate) fn is_same(one: &Message, other: &Message) -> bool {
    one.id() == other.id() && one.from() == other.from() && one.to() == other.to()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_passes_inv_msg_1() {
        let answer = OneAnswer::default();
        assert_eq!((answer.comes(), answer.comes()), (Onward::Undecided, Onward::Undecided));
        assert!(answer.settle());
        assert!(!answer.settle());
        assert!(!answer.grant());
        assert_eq!(answer.comes(), Onward::Kept);
    }

    #[test]
    fn what_is_granted_passes_once_inv_msg_1() {
        let answer = OneAnswer::default();
        assert!(answer.clone().grant());
        assert!(!answer.grant());
        assert_eq!((answer.comes(), answer.comes()), (Onward::Passes, Onward::Kept));
    }
}
