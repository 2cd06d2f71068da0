//! What the regression tests share.

use std::future::IntoFuture;
use std::time::Duration;

pub(crate) use hyperty_conformance::party::{Party, SCHEMA};
use hyperty_runtime::Hyperty;
use hyperty_syncher::{Accept, Create, Observer, Reporter};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// Longer than any exchange and any repair; time is paused, so it costs nothing.
const PATIENCE: Duration = Duration::from_secs(300);

/// What comes in time.
pub(crate) async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    timeout(PATIENCE, future.into_future()).await.expect("it comes in time")
}

/// A stored object, whose observers are accepted as told.
pub(crate) fn board(party: &Party, hyperty: &Hyperty, accept: Accept) -> Create {
    let schema = party.runtime.schema(SCHEMA).unwrap();
    hyperty.create(schema).name("board").data(json!({"topic": "a"})).store(true).accept(accept)
}

/// Waits until the copy is the object, its children included.
pub(crate) async fn agree(copy: &Observer, object: &Reporter) {
    let children = |list: hyperty_syncher::ChildrenHandle| {
        list.list().into_iter().map(|child| (child.id, child.version, child.data)).collect::<Vec<_>>()
    };
    soon(async {
        loop {
            let notes =
                (children(copy.children("notes").unwrap()), children(object.children("notes").unwrap()));
            if copy.position() == object.position() && copy.data() == object.data() && notes.0 == notes.1 {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}
