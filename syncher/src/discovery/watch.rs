//! A search that goes on: what is found, and what becomes of it. By status events of the registry where this runtime
//! serves subscriptions (protocol 5.13.5, 5.14), and by repeated queries in any case.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use hyperty_message_bus::Listener;
use hyperty_model::discovery::{Query, RegistrationStatus};
use hyperty_model::message::{RoutesBody, UpdateBody, UpdateKind};
use hyperty_model::{Message, MessageType, Url};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{DiscoverError, Found, discover};
use crate::core::Core;

/// Most entities whose status events one watch subscribes; what is beyond is seen by the next query.
pub const WATCHED_MAX: usize = 1_000;

/// Events that wait to be read; then the watch waits.
const EVENTS_MAX: usize = 256;

/// The first pause between two queries, and the longest: it doubles while nothing changes.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Discovery {
    /// It matches the query, and was not there before.
    Found(Box<Found>),
    /// It is live again.
    Live(Url),
    /// It is disconnected; it may come back.
    Disconnected(Url),
    /// It was deleted, forgotten, or does not match any more.
    Gone(Url),
    /// The registry refuses the query. The last event.
    Refused(DiscoverError),
}

/// The events of a watch; dropping it ends the watch.
#[derive(Debug)]
pub struct Discoveries {
    events: mpsc::Receiver<Discovery>,
}

impl Discoveries {
    /// The next event; `None` when the Syncher has stopped, or after the last.
    pub async fn next(&mut self) -> Option<Discovery> {
        self.events.recv().await
    }
}

impl Stream for Discoveries {
    type Item = Discovery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Discovery>> {
        self.events.poll_recv(context)
    }
}

pub(crate) fn watch(core: &Arc<Core>, domain: Option<String>, query: Query) -> Discoveries {
    let (told, events) = mpsc::channel(EVENTS_MAX);
    let weak = Arc::downgrade(core);
    core.run_later(async move {
        // A sign of the registry while a query is under way is not lost: one is enough for the next look.
        let (signs, mut heard) = mpsc::channel(WATCHED_MAX);
        let mut watch = Watch { known: BTreeMap::new(), listeners: BTreeMap::new(), told, signs };
        let mut pause = PAUSE.0;
        loop {
            let Some(core) = weak.upgrade() else { return };
            let changed = match discover(&core, domain.as_deref(), &query).await {
                Ok(found) => watch.compare(&core, found).await,
                Err(DiscoverError::Deleted) => watch.compare(&core, Vec::new()).await,
                Err(DiscoverError::Unreachable(_)) => Some(false),
                Err(error) => {
                    let _ = watch.told.send(Discovery::Refused(error)).await;
                    return;
                }
            };
            drop(core);
            let Some(changed) = changed else { return };
            pause = if changed { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::select! {
                biased;
                () = watch.told.closed() => return,
                Some((url, status)) = heard.recv() => if !watch.hear(url, status).await { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
    Discoveries { events }
}

struct Watch {
    known: BTreeMap<Url, RegistrationStatus>,
    listeners: BTreeMap<Url, Listener>,
    told: mpsc::Sender<Discovery>,
    signs: mpsc::Sender<(Url, RegistrationStatus)>,
}

impl Watch {
    /// Tells what is other than before; whether anything was, `None` when nobody listens any more.
    async fn compare(&mut self, core: &Core, found: Vec<Found>) -> Option<bool> {
        let mut events = Vec::new();
        let mut fresh = Vec::new();
        let mut now = BTreeMap::new();
        for found in found {
            let (url, status) = (found.url.clone(), found.status);
            match self.known.get(&url) {
                None => {
                    fresh.push(url.clone());
                    events.push(Discovery::Found(Box::new(found)));
                }
                Some(before) if *before != status => events.push(changed(url.clone(), status)),
                Some(_) => {}
            }
            now.insert(url, status);
        }
        let gone = self.known.keys().filter(|url| !now.contains_key(*url)).cloned().collect::<Vec<_>>();
        for url in gone {
            self.listeners.remove(&url);
            events.push(Discovery::Gone(url));
        }
        self.known = now;
        self.listen(core, fresh);
        let any = !events.is_empty();
        for event in events {
            self.told.send(event).await.ok()?;
        }
        Some(any)
    }

    /// The registry says what a status is now; false when nobody listens any more.
    async fn hear(&mut self, url: Url, status: RegistrationStatus) -> bool {
        if self.known.get(&url).is_none_or(|before| *before == status) {
            return true;
        }
        if status == RegistrationStatus::Deleted {
            self.known.remove(&url);
            self.listeners.remove(&url);
        } else {
            self.known.insert(url.clone(), status);
        }
        self.told.send(changed(url, status)).await.is_ok()
    }

    /// Asks for the status events of what is new. A runtime that does not serve that is asked for nothing else: the
    /// queries go on.
    fn listen(&mut self, core: &Core, fresh: Vec<Url>) {
        let mut addresses = Vec::new();
        for url in fresh {
            if self.listeners.len() >= WATCHED_MAX {
                break;
            }
            let Ok(address) = url.join("registration") else { continue };
            let (signs, of) = (self.signs.clone(), url.clone());
            let listening = core.minibus.listen(&address, move |message| {
                if let Some(status) = status_of(message) {
                    // One that finds no room is seen by the next query.
                    let _ = signs.try_send((of.clone(), status));
                }
            });
            if let Ok(listener) = listening {
                self.listeners.insert(url, listener);
                addresses.push(address);
            }
        }
        let Ok(to) = core.config.runtime.as_url().join("subscriptions") else { return };
        if !addresses.is_empty() {
            let body = RoutesBody::new(addresses, core.hyperty().as_url().clone());
            let message = core.minibus.new_message(MessageType::Subscribe, core.hyperty(), &to, body);
            let request = core.minibus.request(message).timeout(core.config.timeouts.response);
            core.run_later(async move { drop(request.await) });
        }
    }
}

fn changed(url: Url, status: RegistrationStatus) -> Discovery {
    match status {
        RegistrationStatus::Live => Discovery::Live(url),
        RegistrationStatus::Disconnected => Discovery::Disconnected(url),
        RegistrationStatus::Deleted => Discovery::Gone(url),
    }
}

/// The status that an event of the registry tells.
fn status_of(message: &Message) -> Option<RegistrationStatus> {
    let body = message.decode::<UpdateBody>().ok()?;
    match &body.kind {
        UpdateKind::Status(Value::String(word)) => RegistrationStatus::parse(word),
        UpdateKind::Metadata { attribute, value } if attribute == "status" => {
            RegistrationStatus::parse(value.as_str()?)
        }
        _ => {
            let raw = message.decode::<Value>().ok()?;
            RegistrationStatus::parse(raw.get("value")?.as_str()?)
        }
    }
}
