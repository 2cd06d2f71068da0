//! Hyperties listen to addresses outside data objects (protocol 5.14, the runtime subscription manager).

use std::time::Duration;

use hyperty_conformance::world::{Link, World};
use hyperty_message_bus::MiniBus;
use hyperty_model::message::{ResponseBody, RoutesBody};
use hyperty_model::{HypertyUrl, MessageType, Url};
use hyperty_runtime::{LISTENED_PER_HYPERTY_MAX, ListenError, Notices};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::spy::{ask, routes};
use crate::support::{Party, topic};

/// The status that is told next.
async fn status(notices: &mut Notices) -> String {
    let message = timeout(Duration::from_secs(600), notices.next()).await.expect("a notice in time");
    let body: Value = serde_json::from_slice(message.body().raw()).unwrap();
    body["value"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_told_also_by_a_new_session_and_leaves_nothing_behind() {
    let world = World::new(741);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    bob.runtime.connected().await;
    let before = routes(&world);
    let url = board.url().registration();
    let mut notices = bob.hyperty.listen(&url).await.unwrap();
    // The same once more is no other route.
    let second = bob.hyperty.listen(&url).await.unwrap();
    assert_eq!(routes(&world), before + 1);
    drop(second);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(routes(&world), before + 1);

    world.cut("alice");
    assert_eq!(status(&mut notices).await, "disconnected");
    world.heal("alice");
    assert_eq!(status(&mut notices).await, "live");
    // A node that forgot everything is told again.
    world.stop_node();
    sleep(Duration::from_secs(1)).await;
    world.start_node();
    sleep(Duration::from_secs(60)).await;
    board.delete().await.unwrap();
    while status(&mut notices).await != "deleted" {}
    assert_eq!(notices.missed(), 0);
    let before = routes(&world);
    drop(notices);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(routes(&world), before - 1);
}

/// Only what tells how something is, in one's own name, up to a limit; and a hyperty that goes takes all with it.
#[tokio::test(start_paused = true)]
async fn what_is_refused_and_what_ends() {
    let world = World::new(742);
    let alice = Party::new(&world, "alice").await;
    let bob = Party::new(&world, "bob").await;
    let board = alice.create(topic("a")).await;
    bob.runtime.connected().await;
    for (url, code) in [
        (board.url().changes().to_string(), 403),
        (board.url().to_string(), 403),
        (format!("{}/sm", alice.runtime.url()), 403),
        ("comm://elsewhere.example/1/registration".to_owned(), 404),
    ] {
        let refused = bob.hyperty.listen(&url.parse().unwrap()).await.map(|_| ());
        assert!(
            matches!(&refused, Err(ListenError::Refused { code: c, .. }) if c.0 == code),
            "{url}: {refused:?}"
        );
    }
    let manager = format!("{}/subscriptions", bob.runtime.url());
    let forged = ask(
        &bob,
        MessageType::Subscribe,
        bob.hyperty.url(),
        &manager,
        json!({"resources": [board.url().registration()]}),
    );
    assert_eq!(forged.await.code.0, 403);

    let before = routes(&world);
    let guest = HypertyUrl::parse("hyperty://example.com/guest").unwrap();
    let minibus = MiniBus::new(bob.runtime.bus(), guest.clone()).unwrap();
    let to: Url = manager.parse().unwrap();
    let send = |kind, urls: Vec<Url>| {
        let body = RoutesBody::new(urls, guest.as_url().clone());
        minibus.request(minibus.new_message(kind, &guest, &to, body))
    };
    let many: Vec<Url> = (0..=LISTENED_PER_HYPERTY_MAX)
        .map(|n| format!("comm://example.com/{n}/registration").parse().unwrap())
        .collect();
    let answer = send(MessageType::Subscribe, many.clone()).await;
    let refused = answer.decode::<ResponseBody>().unwrap();
    assert_eq!((refused.code.0, refused.reason.as_deref()), (500, Some("limit")));
    assert_eq!(routes(&world), before);
    assert_eq!(send(MessageType::Subscribe, many[1..].to_vec()).await.code().0, 200);
    assert_eq!(routes(&world), before + LISTENED_PER_HYPERTY_MAX);
    let list = send(MessageType::Read, Vec::new()).await;
    let list = list.decode::<ResponseBody>().unwrap().value.clone().unwrap();
    assert_eq!(list.as_array().unwrap().len(), LISTENED_PER_HYPERTY_MAX);
    assert_eq!(send(MessageType::Unsubscribe, many[..1].to_vec()).await.code().0, 404);
    assert_eq!(send(MessageType::Unsubscribe, many[1..2].to_vec()).await.code().0, 200);
    drop(minibus);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(routes(&world), before);
}

/// Of two who ask for the same at once each has its own answer: one that comes too late takes nothing from the other.
#[tokio::test(start_paused = true)]
async fn who_is_refused_late_takes_nothing_from_who_is_granted_inv_rsm_3() {
    let world = World::new(744);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let board = alice.create(topic("a")).await;
    bob.runtime.connected().await;
    let before = routes(&world);
    let url = board.url().registration();
    // What is said to the node waits on the way.
    world.set_link("bob", Link::Stalled);
    let begin = || {
        let (hyperty, url) = (bob.hyperty.clone(), url.clone());
        tokio::spawn(async move { hyperty.listen(&url).await })
    };
    let first = begin();
    sleep(Duration::from_secs(10)).await;
    let second = begin();
    sleep(Duration::from_secs(3)).await;
    assert!(matches!(first.await.unwrap(), Err(ListenError::Refused { .. })));
    world.set_link("bob", Link::Up);
    let mut notices = second.await.unwrap().expect("it is granted");
    assert_eq!(routes(&world), before + 1);
    board.delete().await.unwrap();
    while status(&mut notices).await != "deleted" {}
}
