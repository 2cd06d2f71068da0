//! What is released when handles are dropped, and what ends when the driver does.

use hyperty_message_bus::MiniBus;
use hyperty_model::MessageType;
use hyperty_syncher::{
    ChildError, CloseReason, CreateError, ObserverEvent, ResumeError, SubscribeError, WriteError,
};
use serde_json::json;

use crate::manager::{Manager, change, object, quiet, schema, snapshot};

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_object_with_it() {
    let manager = Manager::new();
    let (alice, bob) = (manager.hyperty("alice"), manager.hyperty("bob"));
    let reporter = manager.reporter(&alice, json!({}), &["messages"]).await;
    let observer = manager.observer(&bob, snapshot(0, json!({})), &["messages"]).await;
    let (events, children) = (reporter.events(), observer.children("messages").unwrap());
    drop((reporter, observer));
    assert_eq!((alice.syncher.reporters().len(), bob.syncher.observers().len()), (1, 1));
    drop((events, children));
    assert!(alice.syncher.reporters().is_empty() && bob.syncher.observers().is_empty());
    // Nobody unsubscribes by dropping.
    manager.release(change(1, "n", json!(1)));
    quiet().await;
    assert!(manager.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_its_driver_a_syncher_stops() {
    let manager = Manager::new();
    let (alice, bob) = (manager.hyperty("alice"), manager.hyperty("bob"));
    let reporter = manager.reporter(&alice, json!({"n": 0}), &["messages"]).await;
    let mut observer = manager.observer(&bob, snapshot(0, json!({})), &["messages"]).await;
    let in_flight = reporter.set("n", 1);
    let adding = observer.children("messages").unwrap().add(json!({}));
    let mut events = reporter.events();

    alice.driver.abort();
    bob.driver.abort();
    assert_eq!(in_flight.await, Err(WriteError::Stopped));
    assert_eq!(adding.await.unwrap_err(), ChildError::Stopped);
    assert!(events.next().await.is_none());
    let reason = CloseReason::Stopped;
    assert_eq!(observer.next_event().await, Some(ObserverEvent::Closed { reason }));
    assert_eq!(reporter.set("n", 2).await, Err(WriteError::Stopped));
    assert_eq!(observer.children("messages").unwrap().add(json!({})).await.unwrap_err(), ChildError::Stopped);
    assert!(matches!(alice.syncher.create(schema()).await, Err(CreateError::Stopped)));
    assert_eq!(bob.syncher.subscribe(&object()).await.unwrap_err(), SubscribeError::Stopped);
    assert_eq!(alice.syncher.resume().await.unwrap_err(), ResumeError::Stopped);
}

/// The MiniBus is free again: nothing holds on to itself.
#[tokio::test(start_paused = true)]
async fn a_syncher_whose_handles_are_gone_ends_its_driver_and_leaves_nothing() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let (url, driver) = (alice.url.clone(), alice.driver);
    let reporter = {
        let whole = crate::manager::Hyperty {
            syncher: alice.syncher,
            url: url.clone(),
            driver: tokio::spawn(async {}),
        };
        manager.reporter(&whole, json!({}), &["messages"]).await
    };
    let child = reporter.children("messages").unwrap().add(json!({}));
    let message = manager.expect(MessageType::Create).await;
    manager.settle(&message, hyperty_model::message::ResponseBody::ok());
    drop(child.await.unwrap());
    drop(reporter);
    driver.await.unwrap();
    assert!(MiniBus::new(&manager.bus, url).is_ok());
}
