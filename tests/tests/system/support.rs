//! What the tests of whole systems share.

pub(crate) use hyperty_conformance::party::Party;
use hyperty_conformance::party::SCHEMA;
use hyperty_runtime::{Hyperty, Runtime};
use hyperty_syncher::{Accept, Observer, ObserverEvent, Reporter};
use serde_json::{Value, json};

/// A hyperty of a runtime reports a stored board, which everybody may observe.
pub(crate) async fn board_in(runtime: &Runtime) -> (Hyperty, Reporter) {
    let schema = runtime.schema(SCHEMA).unwrap();
    let hyperty = runtime.deploy("app").await.unwrap();
    let create = hyperty.create(schema).name("board").data(topic("a")).store(true);
    let board = create.accept(Accept::All).await.unwrap();
    (hyperty, board)
}

/// Reads events until the one of a version. Every change must be the next one, unless a resync covers what is
/// between (INV-SUB-1, INV-UPD-4).
pub(crate) async fn until(observer: &mut Observer, version: u64) -> Vec<ObserverEvent> {
    let mut events = Vec::new();
    let mut last = None;
    while last.is_none_or(|last| last < version) {
        let event = tokio::time::timeout(PATIENCE, observer.next_event()).await.expect("an event in time");
        let event = event.expect("the observation goes on");
        match &event {
            ObserverEvent::Change(change) => {
                assert!(
                    last.is_none_or(|last| change.version == last + 1),
                    "{} after {last:?}",
                    change.version
                );
                last = Some(change.version);
            }
            ObserverEvent::Resync { version, .. } => last = Some(*version),
            _ => {}
        }
        events.push(event);
    }
    events
}

/// Waits until the copy stands at a version, whatever is told on the way.
pub(crate) async fn settled(observer: &mut Observer, version: u64) {
    let waiting = async {
        while observer.version() < version {
            observer.next_event().await.expect("the observation goes on");
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the copy settles in time");
}

/// Far longer than any recovery takes; time is paused, so it costs nothing.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(600);

pub(crate) fn topic(text: &str) -> Value {
    json!({ "topic": text })
}
