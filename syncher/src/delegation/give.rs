//! A Reporter gives its object to another hyperty, and goes on as an observer (protocol 5.11 steps 1 and 14).

use std::sync::{Arc, Weak};

use hyperty_message_bus::BusError;
use hyperty_model::message::{CreateObject, OneOrMany, ResponseBody};
use hyperty_model::{HypertyUrl, MessageType, StatusCode};

use crate::Observer;
use crate::core::{Abandoned, Asked, Core};
use crate::observer::ObserverShared;
use crate::reporter::ReporterShared;

/// Why an object was not given away. Unless it says otherwise the object is as it was, and its Reporter goes on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The other hyperty declined, or nobody decided there.
    #[error("declined: {0}")]
    Declined(String),
    /// The other hyperty cannot be reached, or the offer was not taken in its time. Offer it again later.
    #[error("the offer expired: {0}")]
    Expired(String),
    /// It was refused. 400: to itself, or the object is not routed by its domain; 403: a policy on either side
    /// forbids it, or this hyperty is not the Reporter; 404: no such object; 409: it is offered already, or is being
    /// deleted; 410: it was deleted meanwhile; 412: the Reporter could not be stopped in time, or the other side could
    /// not host the object and gave it back.
    #[error("refused with {code}: {reason}")]
    Refused {
        /// The protocol's code.
        code: StatusCode,
        /// Why.
        reason: String,
    },
    /// No answer in time: the store hangs. The Reporter is told what comes of it: by
    /// [`ReporterEvent::Delegated`](crate::ReporterEvent::Delegated), or that it stays its own.
    #[error("no answer in time")]
    Timeout,
    /// The answer makes no sense: the Sync Manager is not one of this protocol.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// The object was given away, but this hyperty listens on too many addresses to observe it.
    #[error("cannot listen: {0}")]
    Listen(#[from] BusError),
    /// The Syncher has stopped.
    #[error("the syncher stopped")]
    Stopped,
}

impl ReporterShared {
    pub(crate) async fn give_to(&self, to: HypertyUrl) -> Result<Observer, DelegateError> {
        let Some(shared) = self.itself() else { return Err(DelegateError::Stopped) };
        self.core().driven(give(shared, to)).await.unwrap_or(Err(DelegateError::Stopped))
    }
}

async fn give(reporter: Arc<ReporterShared>, to: HypertyUrl) -> Result<Observer, DelegateError> {
    let core = Arc::clone(reporter.core());
    if core.is_stopped() {
        return Err(DelegateError::Stopped);
    }
    let body = CreateObject {
        resource: Some(OneOrMany(vec![reporter.url().clone()])),
        schema: Some(reporter.schema()),
        delegate: Some(to.clone()),
        identity: core.config.identity.clone(),
        ..CreateObject::default()
    };
    // What arrives for the object between its two roles is kept.
    let adopting = core.adopt();
    reporter.set_giving(true);
    let message = core.to_sync_manager(MessageType::Create, body);
    let asked = Asked::new(&core, message.id(), Abandoned::Delegate(Arc::downgrade(&reporter), to.clone()));
    let answer = core.minibus.request(message).timeout(core.config.timeouts.response).await;
    reporter.set_giving(false);
    let body =
        answer.decode::<ResponseBody>().map_err(|error| DelegateError::Malformed(error.to_string()))?;
    asked.answered(body.code);
    let reason = || body.why().to_owned();
    match body.code {
        code if code.is_success() => {}
        StatusCode::DECLINED => return Err(DelegateError::Declined(reason())),
        StatusCode::TIMEOUT if body.source.is_some() => return Err(DelegateError::Timeout),
        StatusCode::TIMEOUT => return Err(DelegateError::Expired(reason())),
        code => return Err(DelegateError::Refused { code, reason: reason() }),
    }
    let shared = go_on(&reporter, to)?;
    drop(adopting);
    let observer = Observer::of(Arc::clone(&shared));
    shared.catch_up().await;
    Ok(observer)
}

/// The Reporter is none any more: what it made and did not commit is answered, and it observes.
fn go_on(reporter: &ReporterShared, to: HypertyUrl) -> Result<Arc<ObserverShared>, DelegateError> {
    let (snapshot, names) = reporter.hand_over(to);
    let shared = ObserverShared::resumed(reporter.core(), snapshot, &names, false)?;
    shared.ok_or_else(|| DelegateError::Malformed("it reports the object still".to_owned()))
}

impl Core {
    /// An object was given away when nobody waited to hear it any more: a store that hung held the answer up. The observer
    /// is kept until the hyperty goes.
    pub(crate) fn go_on_observing(self: &Arc<Core>, reporter: &ReporterShared, to: HypertyUrl) {
        let shared = match go_on(reporter, to) {
            Ok(shared) => shared,
            Err(error) => {
                return tracing::warn!(object = %reporter.url(), %error, "what was given away is not observed");
            }
        };
        let observer = Observer::of(Arc::clone(&shared));
        if let Some(kept) = self.kept.get().and_then(Weak::upgrade) {
            let mut kept = kept.lock();
            kept.observers.retain(|known| known.url() != observer.url());
            kept.observers.push(observer);
        }
        self.run_later(async move { shared.catch_up().await });
    }
}
