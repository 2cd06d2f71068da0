//! Changes of an object that this runtime does not report, or not any more. Nobody answers what is published, but a
//! change with `receipt` asks for an answer: whoever makes one here is told (INV-MSG-1).

use std::collections::{BTreeMap, VecDeque};

use hyperty_model::message::{ResponseBody, UpdateBody};
use hyperty_model::{DerivedTail, HypertyUrl, Message, MessageType, ObjectUrl, StatusCode};

use crate::answer::Refusal;
use crate::manager::SyncManager;

/// Most objects remembered that were reported here; who writes to one before these is told that it is not known.
const FORMER_MAX: usize = 1_024;

/// Why an object is not reported here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is deleted.
    Deleted,
    /// It went on elsewhere while this runtime was away.
    Deposed,
    /// It was given to another.
    Delegated,
}

/// Objects that were reported here, the oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Former {
    ended: BTreeMap<ObjectUrl, Ended>,
    order: VecDeque<ObjectUrl>,
}

impl Former {
    /// Notes why an object is not reported here any more.
    pub(crate) fn note(&mut self, url: &ObjectUrl, ended: Ended) {
        if self.ended.insert(url.clone(), ended).is_some() {
            return;
        }
        self.order.push_back(url.clone());
        if self.order.len() > FORMER_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    fn refusal(&self, url: &ObjectUrl) -> Option<Refusal> {
        Some(match self.ended.get(url)? {
            Ended::Deleted => Refusal::new(StatusCode::GONE, "the object is deleted"),
            Ended::Deposed => {
                Refusal::new(StatusCode::CONFLICT, "the object has another Reporter").because("owner")
            }
            Ended::Delegated => {
                Refusal::new(StatusCode::FORBIDDEN, "the object is another's now").because("delegated")
            }
        })
    }
}

impl SyncManager {
    /// What is for an address of an object at which nobody here is; whether it was taken.
    pub(crate) fn on_unheard(&self, message: &Message) -> bool {
        match message.to().split_derived() {
            // Posted by a hyperty here.
            Some((url, Some(DerivedTail::Changes))) => self.refuse_foreign_change(&url, message),
            Some((url, None | Some(DerivedTail::Subscription))) => self.hold_for_taking(&url, message),
            _ => false,
        }
    }

    /// Answers a change of an object that is not reported here, if its writer asks for that.
    pub(crate) fn refuse_foreign_change(&self, url: &ObjectUrl, message: &Message) -> bool {
        let Ok(body) = message.decode::<UpdateBody>() else { return false };
        if message.kind() != MessageType::Update || !body.receipt {
            return false;
        }
        let former = self.shared.former.lock().refusal(url);
        let refusal = former.unwrap_or_else(|| match self.observed(url) {
            Some(_) => Refusal::new(StatusCode::FORBIDDEN, "only the Reporter changes the object"),
            None => Refusal::unknown(url),
        });
        self.answer_writer(message, refusal.into());
        true
    }

    /// Answers a change to who made it, at the address in whose name it did: that need not lead there any more.
    pub(crate) fn answer_writer(&self, update: &Message, body: ResponseBody) {
        let writer = update.sender().and_then(|sender| HypertyUrl::try_from(sender.clone()).ok());
        let Some(writer) = writer else { return };
        // Gone meanwhile, it waits for nothing.
        let Ok(_route) = self.bus().forward(update.from(), &writer) else { return };
        let (id, from, to) = (update.id().clone(), self.address().clone(), update.from().clone());
        self.bus().release_locally(&Message::new(id, MessageType::Response, from, to, body));
    }
}
