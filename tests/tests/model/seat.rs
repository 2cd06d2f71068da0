//! An observer, and what its application has been told.

use std::future::ready;

use hyperty_conformance::party::Party;
use hyperty_model::{HypertyUrl, change};
use hyperty_syncher::{Observer, ObserverEvent};
use serde_json::Value;

use crate::document::Document;

/// A place for an observer: its runtime, and its observation while there is one.
pub(crate) struct Seat {
    pub(crate) party: Option<Party>,
    pub(crate) watch: Option<Watch>,
}

/// An observation, followed event by event as an application would that keeps a copy of its own.
pub(crate) struct Watch {
    pub(crate) observer: Observer,
    own: HypertyUrl,
    version: u64,
    data: Value,
    cut_off: Option<bool>,
}

impl Watch {
    pub(crate) fn new(own: &HypertyUrl, mut observer: Observer) -> Watch {
        let snapshot = observer.snapshot();
        Watch { observer, own: own.clone(), version: snapshot.version, data: snapshot.data, cut_off: None }
    }

    /// Reads what has come, and holds it against the document (INV-DOM-1 to 3, INV-SUB-1, INV-UPD-4).
    pub(crate) async fn drain(&mut self, who: &str, document: &Document) {
        while let Some(event) = self.waiting().await {
            self.take(who, event);
            document.check(who, self.version, &self.data);
        }
        assert_eq!(self.observer.version(), self.version, "{who}: the copy and its events");
        assert_eq!(self.observer.data(), self.data, "{who}: the copy and its events");
    }

    async fn waiting(&mut self) -> Option<ObserverEvent> {
        tokio::select! {
            biased;
            event = self.observer.next_event() => Some(event.expect("the observation goes on")),
            () = ready(()) => None,
        }
    }

    fn take(&mut self, who: &str, event: ObserverEvent) {
        match event {
            ObserverEvent::Change(told) => {
                assert_eq!(told.version, self.version + 1, "{who}: each change once, in order");
                self.version = told.version;
                let change = told.change().expect("a change of the data");
                change::apply(&mut self.data, change).expect("the change fits");
            }
            ObserverEvent::Metadata { version, .. } => {
                assert_eq!(version, self.version + 1, "{who}: each change once, in order");
                self.version = version;
            }
            ObserverEvent::Resync { version, data } => {
                assert!(version >= self.version, "{who}: back from {} to {version}", self.version);
                self.version = version;
                self.data = Value::clone(&data);
            }
            // INV-CHD-3
            ObserverEvent::Child(child) => assert_ne!(child.reporter, self.own, "{who}: its own"),
            ObserverEvent::Disconnected => {
                assert_ne!(self.cut_off.replace(true), Some(true), "{who}: disconnected twice");
            }
            ObserverEvent::Resumed { .. } => {
                assert_ne!(self.cut_off.replace(false), Some(false), "{who}: resumed twice");
            }
            other => panic!("{who}: {other:?}"),
        }
    }
}
