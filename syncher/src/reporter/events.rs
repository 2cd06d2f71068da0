use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use hyperty_model::{HypertyUrl, Identity, Url};

use super::shared::ReporterShared;
use crate::ReporterEvent;
use crate::decisions::Decision;
use crate::queue::Taken;

/// Somebody wants to observe the object. Dropped without a decision, or too late, it is rejected.
#[must_use = "dropped, it is rejected"]
pub struct SubscriptionRequest {
    pub(super) hyperty: HypertyUrl,
    pub(super) identity: Option<Identity>,
    pub(super) decision: Decision,
    pub(super) reporter: Weak<ReporterShared>,
}

impl SubscriptionRequest {
    /// Who.
    pub fn hyperty(&self) -> &HypertyUrl {
        &self.hyperty
    }

    /// The user behind it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Lets it observe; [`ReporterEvent::Joined`] follows, unless the time to decide was over.
    pub fn accept(self) {
        if !self.decision.accept() {
            return;
        }
        if let Some(reporter) = self.reporter.upgrade() {
            let SubscriptionRequest { hyperty, identity, .. } = self;
            reporter.raise(ReporterEvent::Joined { hyperty, identity });
        }
    }

    /// Refuses with 403, and says why.
    pub fn reject(self, reason: &str) {
        self.decision.reject(reason);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.decision.is_open()
    }
}

impl fmt::Debug for SubscriptionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionRequest({})", self.hyperty)
    }
}

/// Somebody wants to read the object. Dropped without a decision, or too late, it is rejected.
#[derive(Debug)]
#[must_use = "dropped, it is rejected"]
pub struct ReadRequest {
    pub(super) reader: Url,
    pub(super) identity: Option<Identity>,
    pub(super) decision: Decision,
}

impl ReadRequest {
    /// Who.
    pub fn reader(&self) -> &Url {
        &self.reader
    }

    /// The user behind it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Lets it read.
    pub fn accept(self) {
        self.decision.accept();
    }

    /// Refuses with 401.
    pub fn reject(self) {
        self.decision.reject("unauthorized");
    }

    pub(crate) fn is_open(&self) -> bool {
        self.decision.is_open()
    }
}

/// The events of a [`Reporter`](crate::Reporter), from its beginning on.
///
/// There is one queue for all handles: each event goes to whoever asks first. It ends when the object is deleted
/// or the Syncher stops.
pub struct ReporterEvents {
    pub(super) reporter: Arc<ReporterShared>,
}

impl ReporterEvents {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<ReporterEvent> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<ReporterEvent>> {
        loop {
            let mut state = self.reporter.state.lock();
            let event = match state.events.take() {
                Taken::Event(event) => event,
                Taken::Lagged => ReporterEvent::Lagged,
                Taken::Nothing if state.ended => return Poll::Ready(None),
                Taken::Nothing => {
                    state.events.wait(context.waker());
                    return Poll::Pending;
                }
            };
            drop(state);
            if event.is_current() {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl Stream for ReporterEvents {
    type Item = ReporterEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ReporterEvent>> {
        self.poll(context)
    }
}

impl fmt::Debug for ReporterEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReporterEvents({})", self.reporter.url())
    }
}
