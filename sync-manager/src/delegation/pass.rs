//! What comes for an object while it changes hands: held while nobody may answer it, then answered here or passed on to
//! the new owner (protocol 5.11 step 7). Each request is answered once (INV-DLG-4).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hyperty_model::delegation::{Giver, Taker};
use hyperty_model::message::{Limits, PassedBody, ResponseBody};
use hyperty_model::{DerivedTail, Message, MessageType, ObjectUrl, StatusCode, Url};
use hyperty_storage::Delegation;
use serde_json::Value;
use tokio::time::Instant;

use super::taking::NotHeld;
use super::transfer::Transfer;
use crate::answer::{Question, Refusal};
use crate::manager::SyncManager;
use crate::reporter::{Phase, Reported};

/// Most messages held for one object: it is for moments, and who is refused asks again.
const HELD_MAX: usize = 1_024;

/// The longest that a hyperty of this runtime waits for an object to be somebody's again: a little longer than a
/// Reporter may take to stop, and less than whoever asked waits.
const SETTLE_WAIT: Duration = Duration::from_secs(6);

/// What is known of an object's changing hands at the giving side.
#[derive(Default)]
pub(crate) struct Handing {
    /// The offer that is under way, or by which it was given.
    pub(crate) transfer: Option<Arc<Transfer>>,
    /// It came here, and its Reporter has not been heard of since.
    pub(crate) awaited: bool,
    held: VecDeque<Message>,
}

impl Handing {
    pub(super) fn take_held(&mut self) -> VecDeque<Message> {
        std::mem::take(&mut self.held)
    }

    /// Holds a message; gives it back if there is no room.
    pub(crate) fn hold(&mut self, message: Message) -> Result<(), Message> {
        if self.held.len() >= HELD_MAX {
            return Err(message);
        }
        self.held.push_back(message);
        Ok(())
    }
}

/// What became of a request for an object that changes hands.
pub(crate) enum Passed {
    /// It is answered later, or by somebody else.
    Taken,
    /// It is to be answered here.
    Back(Question),
}

impl SyncManager {
    /// Takes a request if its object is changing hands just now.
    pub(crate) fn pass(&self, question: Question, url: &ObjectUrl) -> Passed {
        if let Some(taking) = self.taking(url) {
            return match taking.hold(question.request().clone()) {
                Ok(true) => {
                    question.leave();
                    Passed::Taken
                }
                Ok(false) | Err(NotHeld::Over) => Passed::Back(question),
                Err(NotHeld::Full) => {
                    question.answer(full());
                    Passed::Taken
                }
            };
        }
        let Some(object) = self.reported(url) else { return Passed::Back(question) };
        let mut state = object.lock();
        match state.phase {
            Phase::Frozen => match state.handing.hold(question.request().clone()) {
                Ok(()) => question.leave(),
                Err(_) => question.answer(full()),
            },
            Phase::Delegated => {
                let transfer = state.handing.transfer.clone();
                drop(state);
                self.pass_on(question.request(), transfer.as_deref());
                question.leave();
            }
            _ => {
                drop(state);
                return Passed::Back(question);
            }
        }
        Passed::Taken
    }

    /// Hands a request to the new owner, which answers it.
    pub(super) fn pass_on(&self, message: &Message, transfer: Option<&Transfer>) {
        let taker = transfer.and_then(|transfer| match transfer.state() {
            Giver::Given { offer, taker, .. } => Some((offer, taker)),
            _ => None,
        });
        let whole = serde_json::from_slice::<Value>(message.wire());
        let (Some((delegation, taker)), Ok(whole)) = (taker, whole) else {
            return Question::new(self.bus(), message.clone()).answer(elsewhere());
        };
        let body = PassedBody { message: whole, delegation };
        self.bus().post(self.bus().new_message(MessageType::Forward, self.address(), &taker, body));
    }

    /// A request that came to the former owner. Who answers it here answers whoever asked there.
    pub(crate) fn take_passed(&self, question: Question, body: &PassedBody) {
        let message = self.passed_message(question.request(), body);
        match message {
            Some(message) => match self.hold_passed(&message) {
                Ok(()) => question.answer(ResponseBody::ok()),
                Err(refusal) => question.answer(refusal),
            },
            None => question.answer(Refusal::bad_request("not a request for an object that was given here")),
        }
    }

    /// What is passed on has been given: until the grant has arrived as well it waits. Asked here before that, this
    /// runtime would say that it does not know the object, and an observer take it for deleted.
    fn hold_passed(&self, message: &Message) -> Result<(), Refusal> {
        let object = message.to().split_derived().map(|(url, _)| url);
        match object.and_then(|url| self.taking(&url)) {
            Some(taking) => taking.hold_early(message.clone()).map_err(NotHeld::refusal),
            None => {
                self.enqueue(message);
                Ok(())
            }
        }
    }

    /// A request from elsewhere for an object that is nobody's here yet: the domain may know whose it is before the grant
    /// has arrived. It waits for that, or for the end of the offer; whether it was taken.
    pub(crate) fn hold_for_taking(&self, url: &ObjectUrl, message: &Message) -> bool {
        // A claim is this side's own, come back: it is to hear that at once, and to go another way.
        if message.kind() == MessageType::Forward {
            return false;
        }
        let Some(taking) = self.taking(url) else { return false };
        let question = Question::new(self.bus(), message.clone());
        let held = match taking.state() {
            Taker::Returning { .. } => Err(NotHeld::Over),
            _ => taking.hold_early(message.clone()),
        };
        match held {
            Ok(()) => question.leave(),
            Err(why) => question.answer(why.refusal()),
        }
        true
    }

    /// The message as if it had come by the way of the one that holds it: only for an object that this runtime claims
    /// or reports, and from its former owner.
    fn passed_message(&self, carrier: &Message, body: &PassedBody) -> Option<Message> {
        let stub: &Url = carrier.hops().last()?;
        let frame = serde_json::to_vec(&body.message).ok()?;
        let decoded = Message::from_frame(frame.into(), &Limits::default()).ok()?;
        let message = decoded.into_iter().next()?.into_inbound(stub).ok()?;
        let (url, tail) = message.to().split_derived()?;
        if !matches!(tail, None | Some(DerivedTail::Subscription)) || !message.kind().is_request() {
            return None;
        }
        let taken = self.taking(&url).is_some_and(|taking| taking.is(&body.delegation, carrier.from()));
        let owned = || {
            let object = self.reported(&url)?;
            let state = object.lock();
            let Some(Delegation::Taking { state: taker, .. }) = &state.origin else { return None };
            (*taker.offer() == body.delegation && taker.giver() == carrier.from()).then_some(())
        };
        (taken || owned().is_some()).then_some(message)
    }

    /// What was held is answered here after all, as if it came now.
    pub(super) fn release_what_was_held(&self, object: &Arc<Reported>) {
        let held = object.lock().handing.take_held();
        for message in held {
            self.deliver_held(object, &message);
        }
    }

    pub(super) fn deliver_held(&self, object: &Arc<Reported>, message: &Message) {
        match message.to().split_derived() {
            Some((_, Some(DerivedTail::Children(_)))) => self.on_child_channel(object, message),
            _ => self.enqueue(message),
        }
    }

    /// Waits until an object that this runtime reports is somebody's for certain, but not long.
    pub(crate) async fn settled(&self, url: &ObjectUrl) {
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let transfer = match self.reported(url) {
                Some(object) => {
                    let state = object.lock();
                    let between = matches!(state.phase, Phase::Frozen | Phase::Delegated);
                    state.handing.transfer.clone().filter(|_| between)
                }
                None => None,
            };
            let Some(transfer) = transfer else { return };
            let mut changed = transfer.watch();
            let pause = deadline.min(Instant::now() + Duration::from_millis(50));
            let _ = tokio::time::timeout_at(pause, changed.changed()).await;
            if Instant::now() >= deadline {
                return;
            }
        }
    }
}

impl NotHeld {
    /// What whoever asked is told.
    fn refusal(self) -> Refusal {
        match self {
            NotHeld::Full => full(),
            NotHeld::Over => elsewhere(),
        }
    }
}

/// For who asks when no more can be held.
pub(crate) fn full() -> Refusal {
    Refusal::new(StatusCode::TIMEOUT, "the object is changing hands, and too many wait for that")
        .because("limit")
}

/// For who asks the former owner and cannot be passed on.
pub(super) fn elsewhere() -> Refusal {
    Refusal::new(StatusCode::TIMEOUT, "the object is changing hands; ask again").because("delegating")
}
