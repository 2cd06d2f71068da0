//! What the Sync Manager says of an own child while operations on it are unanswered (M18, INV-CHD-7).

use hyperty_model::message::{ChildBody, DeleteBody, ResponseBody};
use hyperty_model::object::{ChildId, ChildValue};
use hyperty_model::{HypertyUrl, MessageType, StatusCode, Url};
use hyperty_syncher::ChildError;
use serde_json::json;

use crate::children::{NAME, watching};
use crate::manager::{Manager, name, object, quiet};

fn channel() -> Url {
    object().children(&name(NAME))
}

/// After a repair: it is not there.
fn take_back(manager: &Manager, writer: &HypertyUrl, number: u64) {
    let resource = Some(ChildId::of(writer, number).to_string());
    let body = DeleteBody { resource, source: Some(manager.url()), ..DeleteBody::default() };
    manager.publish(&channel(), MessageType::Delete, writer.as_url(), body);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_taken_back_is_not_made_again_by_an_older_answer() {
    let manager = Manager::new();
    let (bob, _observer, children) = watching(&manager, "bob").await;
    let adding = children.add(json!({"n": 0}));
    let create = manager.expect(MessageType::Create).await;
    // The answer and what a repair found travel on different threads.
    take_back(&manager, &bob.url, 1);
    quiet().await;
    manager.settle(&create, ResponseBody::ok());
    let child = adding.await.unwrap();
    assert!(children.list().is_empty() && children.mine().is_empty());
    assert_eq!(child.set("n", 1).await, Err(ChildError::Deleted));

    // What a later repair finds is there again.
    let id = ChildId::of(&bob.url, 1);
    let value = ChildValue::new(id.clone(), bob.url.clone(), json!({"n": 0}));
    let body = ChildBody { resource: id.to_string(), value, identity: None, mutual: None };
    manager.publish(&channel(), MessageType::Create, bob.url.as_url(), body);
    quiet().await;
    assert_eq!(child.data(), json!({"n": 0}));
    let setting = child.set("n", 1);
    manager.settle(&manager.expect(MessageType::Update).await, ResponseBody::ok());
    assert_eq!(setting.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn operations_on_a_child_that_was_taken_back_end_and_change_nothing() {
    let manager = Manager::new();
    let (bob, _observer, children) = watching(&manager, "bob").await;
    let adding = children.add(json!({"n": 0}));
    manager.settle(&manager.expect(MessageType::Create).await, ResponseBody::ok());
    let child = adding.await.unwrap();
    let setting = child.set("n", 1);
    let update = manager.expect(MessageType::Update).await;
    take_back(&manager, &bob.url, 1);
    quiet().await;
    manager.settle(&update, ResponseBody::ok());
    assert_eq!(setting.await, Ok(1));
    assert!(children.list().is_empty());
    // Its id is not used again.
    drop(children.add(json!({})));
    assert_eq!(children.mine()[0].id(), ChildId::of(&bob.url, 2).to_string());
}

/// INV-MSG-1: what is not refused with an operation before it has its own answer, also where there is no child any more.
#[tokio::test(start_paused = true)]
async fn a_deletion_behind_a_refused_change_has_its_own_answer() {
    for (code, taken) in [(StatusCode::OK, true), (StatusCode::NOT_FOUND, false)] {
        let manager = Manager::new();
        let (bob, _observer, children) = watching(&manager, "bob").await;
        let adding = children.add(json!({"n": 0}));
        manager.settle(&manager.expect(MessageType::Create).await, ResponseBody::ok());
        let child = adding.await.unwrap();
        let (setting, deleting) = (child.set("n", 1), child.delete());
        let update = manager.expect(MessageType::Update).await;
        let delete = manager.expect(MessageType::Delete).await;
        take_back(&manager, &bob.url, 1);
        quiet().await;
        manager.settle(&update, ResponseBody::of(StatusCode::NOT_FOUND));
        assert!(matches!(setting.await, Err(ChildError::Refused { .. })));
        assert!(children.list().is_empty());
        manager.settle(&delete, ResponseBody::of(code));
        let deleted = deleting.await;
        assert_eq!(deleted.is_ok(), taken, "{deleted:?}");
        assert!(taken || matches!(deleted, Err(ChildError::Refused { .. })), "{deleted:?}");
        assert!(children.list().is_empty() && children.mine().is_empty());
    }
}
