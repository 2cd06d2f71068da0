//! What the Sync Manager hands on for decision or information (protocol 5.3.8, 5.6.3, M5).

use hyperty_model::message::{ForwardBody, ForwardExecuteBody, ForwardKind, ResponseBody};
use hyperty_model::{HypertyUrl, Message, StatusCode};

use super::shared::ReporterShared;
use super::{ReadRequest, SubscriptionRequest};
use crate::ReporterEvent;

impl ReporterShared {
    pub(super) fn on_forward(&self, message: &Message) {
        if let Ok(body) = message.decode::<ForwardExecuteBody>() {
            return self.on_action(message, &body);
        }
        let Ok(body) = message.decode::<ForwardBody>() else {
            return self.core.refuse(message, StatusCode::BAD_REQUEST, "malformed forward");
        };
        match body.kind {
            ForwardKind::Read => self.on_read(message, &body),
            ForwardKind::Subscribe | ForwardKind::Unsubscribe => {
                let Ok(hyperty) = HypertyUrl::try_from(body.from.clone()) else {
                    return self.core.refuse(
                        message,
                        StatusCode::BAD_REQUEST,
                        "the observer is not a hyperty",
                    );
                };
                self.on_observer(message, &body, hyperty);
            }
        }
    }

    fn on_observer(&self, message: &Message, body: &ForwardBody, hyperty: HypertyUrl) {
        let identity = body.identity.clone();
        if body.kind == ForwardKind::Unsubscribe {
            self.core.minibus.post(message.reply(ResponseBody::ok()));
            return self.raise(ReporterEvent::Left { hyperty });
        }
        let decided = match body.authorised {
            Some(true) => Some(true),
            _ => self.state.lock().accept.decide(&body.from, identity.as_ref()),
        };
        match decided {
            Some(true) => {
                self.core.minibus.post(message.reply(ResponseBody::ok()));
                self.raise(ReporterEvent::Joined { hyperty, identity });
            }
            Some(false) => self.core.refuse(message, StatusCode::FORBIDDEN, "rejected"),
            None => {
                if let Some(decision) = self.core.decisions.ask(message, StatusCode::FORBIDDEN) {
                    let reporter = self.itself.clone();
                    let request = SubscriptionRequest { hyperty, identity, decision, reporter };
                    self.raise(ReporterEvent::Subscription(request));
                }
            }
        }
    }

    fn on_read(&self, message: &Message, body: &ForwardBody) {
        let decided = match body.authorised {
            Some(true) => Some(true),
            _ => self.state.lock().accept.decide(&body.from, body.identity.as_ref()),
        };
        match decided {
            Some(true) => self.core.minibus.post(message.reply(ResponseBody::ok())),
            Some(false) => self.core.refuse(message, StatusCode::UNAUTHORIZED, "unauthorized"),
            None => {
                if let Some(decision) = self.core.decisions.ask(message, StatusCode::UNAUTHORIZED) {
                    let (reader, identity) = (body.from.clone(), body.identity.clone());
                    self.raise(ReporterEvent::Read(ReadRequest { reader, identity, decision }));
                }
            }
        }
    }
}
