//! The side that answers: an answer goes out in one message if it fits, else in parts.

use std::sync::Arc;

use hyperty_model::message::{ReadBody, ResponseBody};
use hyperty_model::parts::split;
use hyperty_model::{Body, HypertyUrl, Identity, ObjectUrl, RuntimeUrl, StatusCode, Timestamp};
use tokio::time::Instant;

use super::offers::OfferLimits;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::reporter::ReportedState;
use crate::timers::Due;

/// Why somebody may have a state. Looked at again for each part: who is removed meanwhile gets no more of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Grounds {
    /// The hyperty observes the object.
    Observer(HypertyUrl),
    /// The runtime hosts an observer.
    Runtime(RuntimeUrl),
    /// The hyperty is admitted by a grant, or the object is public.
    Admitted(HypertyUrl, Option<Identity>),
    /// The object is public, whoever reads.
    Public,
    /// The Reporter or a policy has decided on this one read; whoever was removed since gets no more of it.
    Decided(Option<HypertyUrl>),
    /// The object was given to who reads, by this offer: it is not asked for at the object.
    Gift(String),
}

impl Grounds {
    /// Whether they hold still.
    fn hold(&self, state: &ReportedState, now: Timestamp) -> bool {
        match self {
            Grounds::Observer(hyperty) => state.observers.contains_key(hyperty),
            Grounds::Runtime(runtime) => state.observers.hosts(runtime),
            Grounds::Admitted(hyperty, identity) => state.admits(hyperty, identity.as_ref(), now),
            Grounds::Public => state.metadata.public_observation,
            Grounds::Decided(reader) => !reader.as_ref().is_some_and(|reader| state.shuts_out(reader, now)),
            Grounds::Gift(_) => false,
        }
    }
}

/// An answer on its way to whoever asked.
pub(crate) struct Outgoing<'a> {
    pub(crate) object: &'a ObjectUrl,
    pub(crate) grounds: Grounds,
    /// Whether who asked fetches parts.
    pub(crate) parts: bool,
    pub(crate) body: Body,
}

impl SyncManager {
    /// Gives the final answer to a question, in parts if it is too large for a message. Does not wait: what follows a
    /// first part is asked for, or pushed by the driver.
    pub(crate) fn answer_whole(&self, question: &Arc<Question>, outgoing: Outgoing<'_>) {
        let Outgoing { object, grounds, parts, body } = outgoing;
        let bytes = if question.request().is_remote() { body.raw().len() } else { 0 };
        if bytes <= self.config().message_bytes_max / 2 {
            return question.answer_with(body);
        }
        if bytes > self.config().whole_bytes_max {
            tracing::error!(%object, bytes, max = self.config().whole_bytes_max, "the object is too large to be observed elsewhere");
            let text = format!("the answer has {bytes} bytes, which is more than can be sent in parts");
            return question.answer(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
        }
        if !parts {
            return self.push_parts(question, body);
        }
        let reader = (question.request().from().clone(), grounds);
        // Ids of a bus are not used again after a restart: nor are names of transfers.
        let name = || self.bus().next_id().to_string();
        let limits = OfferLimits {
            bytes: self.config().offered_bytes_max,
            kept: self.config().transfer_kept,
            characters: self.part_characters(),
        };
        let offered = self.shared.offers.offer(object, body.raw(), reader, name, &limits);
        let first = offered.ok().and_then(|(name, cut)| cut.answer(1, &name));
        match first {
            Some(first) => {
                self.tally().answers_in_parts.add(1);
                question.answer(first);
                self.shared.timers.set(object, Due::Offers, Instant::now() + limits.kept);
            }
            None => {
                let text = "too many large states are being fetched; try again later";
                question.answer(Refusal::new(StatusCode::INTERNAL, text).because("limit"));
            }
        }
    }

    /// As many as the protocol says, and no more than fit a message, escaped.
    fn part_characters(&self) -> usize {
        /// Most bytes of a character in a text within JSON, with some room for the rest of the message.
        const BYTES_MAX: usize = 5;
        hyperty_model::parts::READ_PART.min(self.config().message_bytes_max / BYTES_MAX)
    }

    /// `read` of one part.
    pub(crate) fn part_of(
        &self,
        question: &Question,
        object: &ObjectUrl,
        body: &ReadBody,
    ) -> Result<ResponseBody, Refusal> {
        let reported = self.reported(object).ok_or_else(|| Refusal::unknown(object))?;
        self.piece_of(question, object, body, |grounds| {
            let state = reported.lock();
            state.check_there()?;
            Ok(grounds.iter().any(|grounds| grounds.hold(&state, self.now())))
        })
    }

    /// One part of what was offered to who asks, if one of the grounds for that holds still.
    pub(crate) fn piece_of(
        &self,
        question: &Question,
        object: &ObjectUrl,
        body: &ReadBody,
        hold: impl FnOnce(&[Grounds]) -> Result<bool, Refusal>,
    ) -> Result<ResponseBody, Refusal> {
        let transfer = body.transfer.as_deref().unwrap_or_default();
        let number = body.part.and_then(|part| usize::try_from(part).ok());
        let number = number.ok_or_else(|| Refusal::missing("part"))?;
        let unknown = || {
            let text = "no such answer is kept; read again";
            Refusal::new(StatusCode::NOT_FOUND, text).because("transfer")
        };
        let found = self.shared.offers.find(object, transfer, question.request().from());
        let (cut, grounds) = found.ok_or_else(unknown)?;
        if !hold(&grounds)? {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized"));
        }
        cut.answer(number, transfer).ok_or_else(|| Refusal::bad_request(format!("there is no part {number}")))
    }

    /// For a reader that fetches nothing: the children in slices, one after the other with pauses (5.5.2).
    fn push_parts(&self, question: &Arc<Question>, body: Body) {
        let whole = match body.decode::<ResponseBody>() {
            Ok(whole) => ResponseBody::clone(&whole),
            Err(error) => return question.answer(Refusal::from(error)),
        };
        drop(body);
        let parts = split(whole, self.part_characters());
        let parts: Vec<Body> = parts.into_iter().map(Body::of).collect();
        let max = self.config().message_bytes_max - self.config().message_bytes_max / 16;
        if let Some(bytes) = parts.iter().map(|part| part.raw().len()).find(|bytes| *bytes > max) {
            let text = format!("{bytes} bytes do not fit a message of {max}; ask for parts");
            return question.answer(Refusal::new(StatusCode::BAD_REQUEST, text).because("limit"));
        }
        self.tally().answers_in_parts.add(1);
        let (manager, question) = (self.clone(), Arc::clone(question));
        self.later(Box::pin(async move {
            let last = parts.len().saturating_sub(1);
            for (at, part) in parts.into_iter().enumerate() {
                if at == last {
                    return question.answer_with(part);
                }
                question.progress_with(part);
                tokio::time::sleep(manager.config().part_pause).await;
            }
        }));
    }

    /// Forgets large answers that nobody fetches any more.
    pub(crate) fn expire_offers(&self, object: &ObjectUrl) {
        if let Some(at) = self.shared.offers.expire(self.config().transfer_kept) {
            self.shared.timers.set(object, Due::Offers, at);
        }
    }
}
