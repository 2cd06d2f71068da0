//! What comes to the hyperty's own address.

use std::sync::Arc;

use hyperty_message_bus::NO_ROUTE;
use hyperty_model::message::{
    BackedUpBody, CreateObject, DeleteBody, DeposedBody, ForwardBody, ForwardExecuteBody, ResponseBody,
    UnsubscribeBody,
};
use hyperty_model::{Message, MessageType, ObjectUrl, StatusCode};

use crate::core::{Abandoned, Core, Live};
use crate::observer::ObserverShared;

impl Core {
    pub(crate) fn on_message(self: &Arc<Core>, message: &Message) {
        match message.kind() {
            MessageType::Forward => self.on_forward(message),
            MessageType::Response => self.on_response(message),
            MessageType::Create => match message.decode::<CreateObject>() {
                Ok(body) if body.delegation.is_some() => self.on_delegation(message, &body),
                _ => self.on_invitation(message),
            },
            MessageType::Execute => self.on_control(message),
            MessageType::Unsubscribe => self.on_unsubscribe(message),
            MessageType::Event => self.on_event(message),
            _ => self.refuse(message, StatusCode::BAD_REQUEST, "not served here"),
        }
    }

    /// Answers a request with a failure; what expects no answer gets none.
    pub(crate) fn refuse(&self, message: &Message, code: StatusCode, why: &str) {
        if message.kind().is_request() {
            self.minibus.post(message.reply(ResponseBody::failure(code, why)));
        }
    }

    /// The Sync Manager hands on what concerns a Reporter.
    fn on_forward(&self, message: &Message) {
        let forwarded = match message.decode::<ForwardExecuteBody>() {
            Ok(body) => Ok(body.to.clone()),
            Err(_) => message.decode::<ForwardBody>().map(|body| body.to.clone()),
        };
        let Ok(object) = forwarded else {
            return self.refuse(message, StatusCode::BAD_REQUEST, "malformed forward");
        };
        // Only the Sync Manager of this runtime speaks for an object here.
        if message.is_remote() || message.from() != object.as_url() {
            return self.refuse(message, StatusCode::FORBIDDEN, "only the object's own runtime may forward");
        }
        match self.live(&object) {
            Some(Live::Reporter(reporter)) => reporter.receive(message),
            // The object was announced before its creation or resume was answered here (protocol 5.1.1).
            _ if self.is_adopting() => self.hold_for_reporter(object, message),
            Some(Live::Observer(_)) | None => self.not_here(message),
        }
    }

    /// What is asked of a Reporter that is not here, or not yet: the same words as where nobody listens at all (M12), so
    /// that it is not taken for what an application says.
    pub(crate) fn not_here(&self, message: &Message) {
        if message.kind().is_request() {
            let body = ResponseBody::failure(StatusCode::NOT_FOUND, "not reported here");
            self.minibus.post(message.reply(body.with_reason(NO_ROUTE)));
        }
    }

    /// The Sync Manager tells that an object went on without this Reporter (protocol 5.10.1), or how far it is backed up.
    fn on_event(&self, message: &Message) {
        let by_manager = !message.is_remote() && *message.from() == self.config.runtime.sync_manager();
        if !by_manager {
            return;
        }
        if let Ok(body) = message.decode::<DeposedBody>() {
            self.keep_end(&body.resource, message);
            if let Some(Live::Reporter(reporter)) = self.live(&body.resource) {
                reporter.receive(message);
            }
            return;
        }
        let Ok(resource) = message.decode::<BackedUpBody>().map(|body| body.resource.clone()) else { return };
        match self.live(&resource) {
            Some(Live::Reporter(reporter)) => reporter.receive(message),
            // Its resume has not been answered here yet.
            _ if self.is_adopting() => self.hold_for_reporter(resource, message),
            _ => {}
        }
    }

    /// A response that no waiting request took.
    fn on_response(self: &Arc<Core>, message: &Message) {
        let Ok(body) = message.decode::<ResponseBody>() else { return };
        if let Some((board, key)) = self.child_answer(message) {
            board.on_answer(&key, message.id(), &body);
            return;
        }
        if body.code.is_provisional() {
            return;
        }
        match self.take_abandoned(message.id()) {
            Some(Abandoned::Create) if body.code.is_success() => self.delete_unwanted(&body),
            Some(Abandoned::Subscribe(object)) if body.code.is_success() && self.live(&object).is_none() => {
                tracing::info!(%object, "a subscription was answered after it was given up: it is ended");
                self.minibus
                    .post(self.to_sync_manager(MessageType::Unsubscribe, self.unsubscribe_body(&object)));
            }
            Some(Abandoned::Delegate(reporter, to)) if body.code.is_success() => {
                if let Some(reporter) = reporter.upgrade().filter(|it| !it.has_ended()) {
                    tracing::info!(object = %reporter.url(), "an offer was answered after it was given up");
                    self.go_on_observing(&reporter, to);
                }
            }
            _ => {}
        }
    }

    /// What a creation has answered is nobody's: it was given up before, or cannot be reported here.
    pub(crate) fn delete_unwanted(&self, created: &ResponseBody) {
        let resource = created.resource.as_deref().and_then(|url| ObjectUrl::parse(url).ok());
        if let Some(object) = resource {
            tracing::info!(%object, "an object was created and nobody reports it: it is deleted");
            let body = DeleteBody { resource: Some(object.to_string()), ..DeleteBody::default() };
            self.minibus.post(self.to_sync_manager(MessageType::Delete, body));
        }
    }

    pub(crate) fn unsubscribe_body(&self, object: &ObjectUrl) -> UnsubscribeBody {
        let identity = self.config.identity.clone();
        UnsubscribeBody { resource: Some(object.clone()), identity, ..UnsubscribeBody::default() }
    }

    /// A Reporter removes this hyperty from its observers (protocol 5.7), or the Sync Manager of this runtime says
    /// that the Reporter's side refuses to go on with it (5.10.2).
    fn on_unsubscribe(&self, message: &Message) {
        let body = message.decode::<UnsubscribeBody>().ok();
        let Some(object) = body.as_ref().and_then(|body| body.resource.clone()) else {
            return self.refuse(message, StatusCode::BAD_REQUEST, "missing resource");
        };
        let by_manager = !message.is_remote() && *message.from() == self.config.runtime.sync_manager();
        match self.live(&object) {
            // Its subscription has not been answered here: who reports it will be known then.
            Some(Live::Observer(observer)) if !by_manager && observer.note_removal(message.from()) => {
                self.minibus.post(message.reply(ResponseBody::ok()));
            }
            Some(Live::Observer(observer)) if by_manager || observer.is_reported_by(message.from()) => {
                self.minibus.post(message.reply(ResponseBody::ok()));
                self.keep_end(&object, message);
                self.end_observation(&observer, message);
            }
            Some(_) => {
                self.refuse(message, StatusCode::FORBIDDEN, "only the reporter may remove an observer")
            }
            // Its resume has not been answered here yet: it begins with its end.
            None if self.is_adopting() => {
                self.minibus.post(message.reply(ResponseBody::ok()));
                if let Some(Live::Observer(observer)) = self.hold(object, message) {
                    self.end_observation(&observer, message);
                }
            }
            None => self.refuse(message, StatusCode::NOT_FOUND, "not observed here"),
        }
    }

    /// Ends an observation, if it is the Reporter who says so, or the Sync Manager of this runtime.
    pub(crate) fn end_observation(&self, observer: &ObserverShared, message: &Message) {
        let by_manager = !message.is_remote() && *message.from() == self.config.runtime.sync_manager();
        let body = message.decode::<UnsubscribeBody>().ok();
        let reason = body.and_then(|body| body.reason.clone()).unwrap_or_default();
        match by_manager && reason != "removed" {
            true => observer.refused(StatusCode::FORBIDDEN, reason),
            false if by_manager || observer.is_reported_by(message.from()) => observer.removed(),
            false => {}
        }
    }
}
