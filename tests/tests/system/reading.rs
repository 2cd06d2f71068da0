//! Reading an object without observing it (protocol 5.5).

use std::time::Duration;

use hyperty_conformance::world::World;
use hyperty_model::{Message, MessageType, StatusCode};
use hyperty_storage::Role;
use hyperty_syncher::{Accept, ReadError, ReporterEvent};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::spy::{Spy, json_body, routes, stored, text};
use crate::support::{Party, topic, until};

/// Longer than any exchange.
const PATIENCE: Duration = Duration::from_secs(120);

/// A refused reader gets a code and nothing that tells this object from any other.
#[tokio::test(start_paused = true)]
async fn a_refused_reader_learns_nothing_inv_read_1() {
    let world = World::new(66);
    let (alice, bob) = (Party::new(&world, "alice").await, Party::new(&world, "bob").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("secret")).await;
    board.children("notes").unwrap().add(json!({"text": "secret"})).await.unwrap();
    for accept in [Accept::None, Accept::Ask] {
        board.accept(accept);
        for (party, hyperty) in [(&bob, &bob.hyperty), (&alice, &neighbour)] {
            let spy = Spy::on(party.runtime.bus());
            let refused = timeout(PATIENCE, hyperty.read(board.url())).await.unwrap();
            assert!(
                matches!(refused, Err(ReadError::Refused { code: StatusCode::UNAUTHORIZED, .. })),
                "{refused:?}"
            );
            let is_answer = |message: &Message| {
                message.kind() == MessageType::Response && !text(message).contains("\"code\":200")
            };
            let mut answers = spy.incoming(is_answer);
            answers.extend(spy.outgoing(|m| is_answer(m) && m.to() == hyperty.url().as_url()));
            assert_eq!(answers.len(), if std::ptr::eq(party, &bob) { 2 } else { 1 }, "{answers:?}");
            for answer in answers {
                let body = json_body(&answer);
                assert_eq!(body["code"], 401);
                for (member, value) in body.as_object().unwrap() {
                    let allowed = ["code", "desc", "description", "reason", "source", "resource"];
                    assert!(allowed.contains(&member.as_str()), "{member}: {value}");
                }
                for told in ["secret", "board", "notes", "dataschema", alice.hyperty.url().as_str()] {
                    assert!(!body.to_string().contains(told), "{told} in {body}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reading_changes_nothing_inv_read_3() {
    let world = World::new(67);
    let alice = Party::new(&world, "alice").await;
    let (bob, carol) = (Party::new(&world, "bob").await, Party::new(&world, "carol").await);
    let neighbour = alice.runtime.deploy("neighbour").await.unwrap();
    let board = alice.create(topic("a")).await;
    let mut copy = bob.observe(&board).await;
    board.set("topic", "b").await.unwrap();
    until(&mut copy, 1).await;
    // The announcements of the last position are over.
    sleep(Duration::from_secs(5)).await;
    let state = || {
        let (reporters, observers) = (stored(&alice, Role::Reporter), stored(&bob, Role::Observer));
        (reporters, observers, routes(&world), board.position(), board.metadata(), board.data())
    };
    let (before, mut events) = (state(), board.events());
    assert!(!before.0.is_empty() && !before.1.is_empty());
    for accept in [Accept::All, Accept::None] {
        board.accept(accept.clone());
        for reader in [&carol.hyperty, &neighbour, &bob.hyperty, &alice.hyperty] {
            let read = timeout(PATIENCE, reader.read(board.url())).await.unwrap();
            if let Ok(snapshot) = read {
                assert_eq!((snapshot.version, &snapshot.data), (1, &topic("b")));
            } else {
                assert_eq!(accept, Accept::None);
            }
        }
    }
    assert_eq!(state(), before);
    assert!(stored(&carol, Role::Observer).is_empty());
    while let Ok(event) = timeout(Duration::from_millis(1), events.next()).await {
        assert!(!matches!(event, Some(ReporterEvent::Left { .. } | ReporterEvent::Child(_))), "{event:?}");
        assert!(
            !matches!(&event, Some(ReporterEvent::Joined { hyperty, .. }) if hyperty != bob.hyperty.url()),
            "{event:?}"
        );
    }
    // Nobody who observes was told anything, and the next change is the next version.
    assert!(timeout(Duration::from_millis(1), copy.next_event()).await.is_err());
    board.set("topic", "c").await.unwrap();
    assert_eq!(until(&mut copy, 2).await.len(), 1);
}
