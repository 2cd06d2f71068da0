//! What the Sync Manager of this runtime has a Reporter do while its object may change hands (protocol 5.11 step 6).

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::{Control, ControlBody, ResponseBody};
use hyperty_model::{Message, StatusCode};

use crate::ReporterEvent;
use crate::core::{Core, Live};
use crate::reporter::ReporterShared;

/// How often a Reporter that is being stopped looks whether what it sent has left: another thread is at it.
const LOOK: Duration = Duration::from_millis(1);

impl Core {
    /// An `execute` of the Sync Manager of this runtime; anything else is not served here.
    pub(crate) fn on_control(self: &Arc<Core>, message: &Message) {
        let Ok(body) = message.decode::<ControlBody>() else {
            return self.refuse(message, StatusCode::BAD_REQUEST, "not served here");
        };
        if message.is_remote() || *message.from() != self.sync_manager {
            return self.refuse(message, StatusCode::FORBIDDEN, "only the own runtime stops a Reporter");
        }
        match (self.live(&body.resource), body.method) {
            (Some(Live::Reporter(reporter)), _) => reporter.receive(message),
            (_, Control::Freeze) => self.refuse(message, StatusCode::NOT_FOUND, "not reported here"),
            // It may be about to appear.
            (None, Control::Thaw) if self.is_adopting() => {
                if let Some(Live::Reporter(reporter)) = self.hold(body.resource.clone(), message) {
                    reporter.receive(message);
                }
            }
            (_, Control::Thaw) => self.minibus.post(message.reply(ResponseBody::ok())),
            (_, Control::Resume) => {
                self.minibus.post(message.reply(ResponseBody::ok()));
                let core = Arc::clone(self);
                self.run_later(async move { core.resume_given().await });
            }
        }
    }
}

impl ReporterShared {
    /// The same for an object that is reported here.
    pub(crate) fn on_control(&self, message: &Message) {
        let Ok(body) = message.decode::<ControlBody>() else { return };
        match body.method {
            Control::Freeze => self.on_freeze(message),
            Control::Thaw => {
                let told = self.thaw();
                self.core().minibus.post(message.reply(ResponseBody::ok()));
                if !told {
                    self.raise(ReporterEvent::DelegationFailed);
                }
            }
            Control::Resume => {
                self.thaw();
                self.core().minibus.post(message.reply(ResponseBody::ok()));
                self.repair();
            }
        }
    }

    /// What was made before has left when this is answered; what is made from here on waits.
    fn on_freeze(&self, message: &Message) {
        self.freeze();
        if self.has_sent_all() {
            return self.core().minibus.post(message.reply(ResponseBody::ok()));
        }
        let Some(reporter) = self.itself() else { return };
        let request = message.clone();
        self.core().run_later(async move {
            while !reporter.has_sent_all() {
                tokio::time::sleep(LOOK).await;
            }
            reporter.core().minibus.post(request.reply(ResponseBody::ok()));
        });
    }
}
