//! What the side of an object says to the Sync Manager of an observer that it removed (protocol 5.7).

use serde_json::json;

use crate::support::{Client, assert_refused, node};

#[tokio::test(start_paused = true)]
async fn the_objects_side_names_the_observer_that_it_removed_and_nobody_else_does() {
    let node = node();
    let mut owner = Client::open(&node, "owner").await;
    let mut observer = Client::open(&node, "observer").await;
    let mut thief = Client::open(&node, "thief").await;
    let object = owner.allocate("comm", 1).await.remove(0);
    let subscription = format!("{object}/subscription");
    owner.subscribe(&[&object, &subscription]).await;
    let removed = observer.allocate("hyperty", 1).await.remove(0);
    let body = json!({"resource": object, "source": removed, "reason": "removed"});
    let manager = observer.sm();

    owner.send("unsubscribe", &subscription, &manager, body.clone()).await;
    let told = observer.recv().await;
    assert_eq!((&told["body"]["source"], &told["from"]), (&json!(removed), &json!(subscription)));

    // Not in the name of the object, not for it, and not as anything else.
    let answer = thief.request("unsubscribe", &subscription, &manager, body.clone()).await;
    assert_refused(&answer, 403, "forbidden", &manager);
    let own = thief.sm();
    let answer = thief.request("unsubscribe", &own, &manager, body.clone()).await;
    assert_refused(&answer, 403, "forbidden", &manager);
    let answer = owner.request("subscribe", &subscription, &manager, body).await;
    assert_refused(&answer, 403, "forbidden", &manager);
    observer.quiet().await;
}
