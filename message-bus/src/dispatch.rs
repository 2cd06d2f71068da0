//! The way of a message through the bus: pipeline, waiting requests, sequencer, listeners and publish routes, and
//! for an address that has none of these the resolver (protocol 4.1).

use hyperty_model::message::{HOPS_MAX, ResponseBody};
use hyperty_model::{Message, MessageType, StatusCode, Url};

use crate::answers;
use crate::isolate::{Level, call_each, isolated};
use crate::listeners::Targets;
use crate::{Direction, MessageBus, Protostub, Route, SendError, Verdict};

impl MessageBus {
    /// Delivers a message of a component or hyperty of this runtime. All who listen have been called when this
    /// returns.
    pub fn post(&self, message: Message) {
        if let Some(message) = self.inspect(message, Direction::Outgoing) {
            self.dispatch(&message);
        }
    }

    /// Delivers a message that came in through `stub`: notes the hop and drops what only this runtime may say
    /// (`body.auth`). What came through this stub before, or made too many hops, is dropped and counted.
    pub fn receive(&self, stub: &Url, message: Message) {
        let came_round = message.via().contains(stub);
        let message = match message.into_inbound(stub) {
            Ok(message) => message,
            Err(error) => {
                self.tally().rejected.add(1);
                tracing::warn!(%stub, %error, "a stub handed in what is no message: dropped");
                return;
            }
        };
        if came_round || message.hops().len() > HOPS_MAX {
            self.tally().looped.add(1);
            tracing::debug!(%stub, ?message, hops = message.hops().len(), "a message came round: dropped");
            return;
        }
        if let Some(message) = self.inspect(message, Direction::Incoming) {
            self.dispatch(&message);
        }
    }

    /// Hands on what a sequencer has let through: to the listeners of its address, then through each stub of the
    /// publish routes that the message has not come through.
    pub fn release(&self, message: &Message) {
        let Some(_level) = self.enter(message) else { return };
        match self.routes().targets(message.to()) {
            Some(targets) if !targets.listeners.is_empty() || !targets.publish.is_empty() => {
                self.deliver(&targets, message);
            }
            _ if answers::expects_answer(message) => self.undeliverable(message, answers::unknown_address),
            // An object that nobody observes.
            _ => {}
        }
    }

    /// Hands on what only this runtime is to know: to the listeners of its address, past its sequencer, through no
    /// stub.
    pub fn release_locally(&self, message: &Message) {
        let Some(_level) = self.enter(message) else { return };
        if let Some(targets) = self.routes().targets(message.to()) {
            self.tally().panicked.add(call_each(&targets.listeners, message));
        }
    }

    /// Sends once more what the listeners here have had: through each stub of the publish routes of its address
    /// that it has not come through.
    pub fn publish(&self, message: &Message) {
        if let Some(targets) = self.routes().targets(message.to()) {
            self.publish_to(&targets, message);
        }
    }

    /// Delivers to whoever listens in this runtime, and nowhere else.
    pub(crate) fn post_local(&self, message: &Message) {
        let Some(_level) = self.enter(message) else { return };
        if let Some(targets) = self.routes().targets(message.to()) {
            self.sequence_or_deliver(&targets, message);
        }
    }

    fn dispatch(&self, message: &Message) {
        let Some(_level) = self.enter(message) else { return };
        if message.kind() == MessageType::Response
            && (!self.passes_watches(message) || self.requests().take(message))
        {
            return;
        }
        match self.routes().targets(message.to()) {
            Some(targets) => self.sequence_or_deliver(&targets, message),
            None => self.resolve(message),
        }
    }

    /// Shows a response to all who watch for it; false if one of them keeps it.
    fn passes_watches(&self, response: &Message) -> bool {
        let mut passes = true;
        for watcher in self.watches().of(response) {
            match isolated(response.to(), || watcher(response)) {
                Some(goes_on) => passes &= goes_on,
                None => self.tally().panicked.add(1),
            }
        }
        passes
    }

    fn sequence_or_deliver(&self, targets: &Targets, message: &Message) {
        match &targets.sequencer {
            Some(sequencer) => self.tally().panicked.add(call_each(std::slice::from_ref(sequencer), message)),
            None => self.deliver(targets, message),
        }
    }

    fn deliver(&self, targets: &Targets, message: &Message) {
        self.tally().panicked.add(call_each(&targets.listeners, message));
        self.publish_to(targets, message);
    }

    fn publish_to(&self, targets: &Targets, message: &Message) {
        for stub in &targets.publish {
            if message.hops().contains(stub) {
                continue;
            }
            if let Some(stub) = self.stub(stub) {
                self.send(&*stub, message);
            }
        }
    }

    fn resolve(&self, message: &Message) {
        if self.is_taken_unheard(message) {
            return;
        }
        let to = message.to();
        let route = self.resolver().and_then(|resolver| isolated(to, || resolver.resolve(to)));
        match route {
            Some(Route::Stub(stub)) if !message.hops().contains(stub.url()) => self.send(&*stub, message),
            Some(Route::Local) => self.undeliverable(message, answers::unknown_address),
            // What would go back to where it came from has no way to go either.
            Some(Route::Stub(_) | Route::Unroutable) | None => self.undeliverable(message, answers::no_route),
        }
    }

    fn send(&self, stub: &dyn Protostub, message: &Message) {
        if message.hops().len() >= HOPS_MAX {
            self.tally().looped.add(1);
            tracing::debug!(stub = %stub.url(), ?message, "a message has made too many hops: dropped");
            return;
        }
        let Err(error) = stub.send(message.clone()) else { return };
        self.tally().stub_refused.add(1);
        tracing::debug!(stub = %stub.url(), ?message, %error, "a stub did not take a message");
        let body = match error {
            SendError::Full => answers::stub_full(stub.url()),
            SendError::Closed => answers::no_route(message.to()),
        };
        self.answer(message, body);
    }

    fn undeliverable(&self, message: &Message, body: fn(&Url) -> ResponseBody) {
        self.tally().undeliverable.add(1);
        tracing::debug!(?message, "nobody to deliver this to");
        self.answer(message, body(message.to()));
    }

    /// Answers a request in place of its addressee. What comes from a stub is answered through that stub: the
    /// sender's address is not asked for a way that may have changed.
    pub(crate) fn answer(&self, message: &Message, body: ResponseBody) {
        if !answers::expects_answer(message) {
            return;
        }
        let answer = self.synthetic(message, body);
        match message.hops().last() {
            None => self.dispatch(&answer),
            Some(ingress) => {
                if self.stub(ingress).is_none_or(|stub| stub.send(answer).is_err()) {
                    self.tally().stub_refused.add(1);
                }
            }
        }
    }

    /// A response that the bus itself makes: it names the runtime as its source.
    pub(crate) fn synthetic(&self, request: &Message, body: ResponseBody) -> Message {
        let body = match &self.config().runtime {
            Some(runtime) => body.with_source(runtime.as_url().clone()),
            None => body,
        };
        request.reply(body)
    }

    fn inspect(&self, message: Message, direction: Direction) -> Option<Message> {
        let mut current = message;
        for interceptor in self.interceptors().iter() {
            let before = current.clone();
            let verdict = isolated(before.to(), || interceptor.inspect(current, direction));
            let (code, text) = match verdict {
                Some(Verdict::Pass(message)) => {
                    current = message;
                    continue;
                }
                Some(Verdict::Drop) => {
                    self.tally().rejected.add(1);
                    return None;
                }
                Some(Verdict::Reject(code, text)) => (code, text),
                None => {
                    self.tally().panicked.add(1);
                    (StatusCode::INTERNAL, "the message could not be checked".to_owned())
                }
            };
            self.tally().rejected.add(1);
            self.answer(&before, ResponseBody::failure(code, text));
            return None;
        }
        Some(current)
    }

    fn enter(&self, message: &Message) -> Option<Level> {
        let level = Level::enter(message.kind() == MessageType::Response);
        if level.is_none() {
            self.tally().too_deep.add(1);
            tracing::error!(?message, "deliveries nest too deep: dropped");
            // A response has levels to spare; when these are used up too it ends here.
            self.answer(message, answers::too_deep(message.to()));
        }
        level
    }
}
