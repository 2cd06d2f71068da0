//! Registrations that are somebody else's by now (protocol 5.13.1, INV-REG-5): found by a keep-alive, or when a fresh
//! session registers everything anew.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use hyperty_message_bus::ResponseWatch;
use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, StatusCode, Url};
use parking_lot::Mutex;

use super::Inner;

type Told = Box<dyn Fn(&Url) + Send + Sync>;

/// Who is told of what is lost, and the answers that are waited for.
#[derive(Default)]
pub(super) struct Losses {
    told: OnceLock<Told>,
    /// Over the answers to what a fresh session registered, one for each entry, until it is answered.
    replayed: Mutex<BTreeMap<Url, ResponseWatch>>,
}

impl Losses {
    pub(super) fn tell(&self, f: impl Fn(&Url) + Send + Sync + 'static) {
        // The first one stays: there is one component that answers for what is registered.
        let _ = self.told.set(Box::new(f));
    }
}

impl Inner {
    /// Looks at the answer to a registration that nobody waits for.
    pub(super) fn watch_replayed(self: &Arc<Inner>, url: &Url, message: &Message) {
        let (weak, of) = (Arc::downgrade(self), url.clone());
        let watch = self.bus.watch_responses(&self.from, message.id(), move |answer| {
            let Some(inner) = weak.upgrade() else { return };
            let body = answer.decode::<ResponseBody>().unwrap_or_default();
            if body.code.is_provisional() {
                return;
            }
            let answered = inner.losses.replayed.lock().remove(&of);
            drop(answered);
            if matches!(body.code, StatusCode::CONFLICT | StatusCode::GONE) {
                inner.lost(&of, body.why());
            }
        });
        let former = self.losses.replayed.lock().insert(url.clone(), watch);
        drop(former);
    }

    /// Stops keeping an entry alive that is not this runtime's, and tells who answers for it.
    pub(super) fn lost(&self, url: &Url, why: &str) {
        tracing::warn!(%url, why, "the registration is no longer ours");
        self.state.lock().release(url);
        if let Some(told) = self.losses.told.get() {
            told(url);
        }
    }
}
