//! Invitations as the invited hyperty sees them (5.2.5, INV-MSG-1): acknowledged at once, answered once.

use std::sync::Arc;
use std::time::Duration;

use hyperty_model::message::ResponseBody;
use hyperty_model::{Message, MessageType, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::manager::{Hyperty, Manager, object, quiet, schema, snapshot};

/// What `O/subscription` hears back.
struct Inviter {
    manager: Arc<Manager>,
    heard: mpsc::UnboundedReceiver<Message>,
    _listener: hyperty_message_bus::Listener,
}

impl Inviter {
    fn new(manager: &Arc<Manager>) -> Inviter {
        let (told, heard) = mpsc::unbounded_channel();
        let listener = manager.bus.listen(&object().subscription(), move |message| {
            let _ = told.send(message.clone());
        });
        Inviter { manager: manager.clone(), heard, _listener: listener.unwrap() }
    }

    fn body(&self) -> Value {
        let mut value = snapshot(0, json!({}));
        value.as_object_mut().unwrap().retain(|key, _| key != "data" && key != "version");
        json!({"source": "hyperty://example.com/alice", "schema": schema(), "value": value,
            "identity": "user://example.com/alice", "scope": {"children": false}})
    }

    fn invite_with(&self, from: &Url, to: &Hyperty, body: Value) -> Message {
        let message = self.manager.bus.new_message(MessageType::Create, from, &to.url, body);
        self.manager.bus.post(message.clone());
        message
    }

    fn invite(&self, to: &Hyperty) -> Message {
        self.invite_with(&object().subscription(), to, self.body())
    }

    async fn answer(&mut self) -> (StatusCode, ResponseBody) {
        let answer = timeout(Duration::from_secs(30 * 24 * 3600), self.heard.recv()).await.unwrap().unwrap();
        (answer.code(), ResponseBody::clone(&answer.decode().unwrap()))
    }

    async fn code(&mut self) -> u16 {
        self.answer().await.0.0
    }

    async fn silent(&mut self) {
        quiet().await;
        assert!(self.heard.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_invitation_waits_for_the_application_and_is_declined_with_its_words() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut alice = Inviter::new(&manager);
    alice.invite(&bob);
    assert_eq!(alice.code().await, 100);
    // Hours later somebody looks.
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    let invitation = bob.syncher.invitations().next().await.unwrap();
    assert_eq!(*invitation.object(), object());
    assert_eq!(invitation.reporter().as_str(), "hyperty://example.com/alice");
    assert_eq!(invitation.identity().unwrap().user(), Some("user://example.com/alice"));
    assert_eq!(*invitation.schema(), schema());
    assert!(!invitation.scope().children && !invitation.is_announcement());
    alice.silent().await;
    invitation.decline("no time");
    let (code, body) = alice.answer().await;
    assert_eq!((code, body.why()), (StatusCode::DECLINED, "no time"));
    alice.silent().await;
}

#[tokio::test(start_paused = true)]
async fn accepting_subscribes_and_then_says_so() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut alice = Inviter::new(&manager);
    alice.invite(&bob);
    assert_eq!(alice.code().await, 100);
    let invitation = bob.syncher.invitations().next().await.unwrap();
    let accepting = tokio::spawn(invitation.accept().store(true).into_future());
    let subscribe = manager.expect(MessageType::Subscribe).await;
    alice.silent().await;
    let value = snapshot(3, json!({"topic": "a"}));
    manager.answer(&subscribe, ResponseBody::ok().with_value(value));
    let observer = accepting.await.unwrap().unwrap();
    assert_eq!(observer.data(), Some(Arc::new(json!({"topic": "a"}))).as_deref().cloned().unwrap());
    assert_eq!(alice.code().await, 200);
    // Who observes already agrees at once, and its application is not asked.
    alice.invite(&bob);
    assert_eq!(alice.code().await, 200);
    assert!(timeout(Duration::from_secs(60), bob.syncher.invitations().next()).await.is_err());
}

/// INV-MSG-1: dropped, forgotten, or refused a subscription: one answer that commits to nothing.
#[tokio::test(start_paused = true)]
async fn no_decision_commits_to_nothing() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut alice = Inviter::new(&manager);
    alice.invite(&bob);
    drop(bob.syncher.invitations().next().await);
    assert_eq!((alice.code().await, alice.code().await), (100, 408));

    alice.invite(&bob);
    let accepting = tokio::spawn(bob.syncher.invitations().next().await.unwrap().accept().into_future());
    let subscribe = manager.expect(MessageType::Subscribe).await;
    manager.answer(&subscribe, ResponseBody::failure(StatusCode::FORBIDDEN, "no"));
    assert!(accepting.await.unwrap().is_err());
    assert_eq!((alice.code().await, alice.code().await), (100, 408));

    let start = tokio::time::Instant::now();
    alice.invite(&bob);
    assert_eq!((alice.code().await, alice.code().await), (100, 408));
    assert_eq!(start.elapsed(), Duration::from_secs(7 * 24 * 3600));
    // It is over, and not shown any more.
    assert!(timeout(Duration::from_secs(60), bob.syncher.invitations().next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn too_many_are_refused_and_a_stopped_hyperty_asks_to_come_again() {
    let manager = Manager::new();
    let bob = manager.hyperty_with("bob", |config| config.limits.notifications_max = 1);
    let mut alice = Inviter::new(&manager);
    alice.invite(&bob);
    assert_eq!(alice.code().await, 100);
    alice.invite(&bob);
    let (code, body) = alice.answer().await;
    assert_eq!((code, body.reason.as_deref()), (StatusCode::TIMEOUT, Some("limit")));
    bob.driver.abort();
    let (code, body) = alice.answer().await;
    assert_eq!((code, body.reason.as_deref()), (StatusCode::INTERNAL, Some("stopped")));
    let mut invitations = bob.syncher.invitations();
    assert!(invitations.next().await.is_none());
}

/// I12: what is no invitation is answered and shown to nobody.
#[tokio::test(start_paused = true)]
async fn malformed_and_forged_invitations_are_refused() {
    let manager = Manager::new();
    let bob = manager.hyperty("bob");
    let mut alice = Inviter::new(&manager);
    let from = object().subscription();
    for field in ["source", "schema", "value"] {
        let mut body = alice.body();
        body.as_object_mut().unwrap().remove(field);
        alice.invite_with(&from, &bob, body);
        let (code, body) = alice.answer().await;
        let wanted = format!("Bad Request: Missing <{field}>");
        assert_eq!((code, body.why()), (StatusCode::BAD_REQUEST, wanted.as_str()));
    }
    let mut body = alice.body();
    body["value"]["url"] = json!("comm://example.com/another");
    alice.invite_with(&from, &bob, body);
    assert_eq!(alice.code().await, 403);
    let mut body = alice.body();
    body["source"] = json!("hyperty://example.com/mallory");
    alice.invite_with(&from, &bob, body);
    assert_eq!(alice.code().await, 403);
    assert!(timeout(Duration::from_secs(60), bob.syncher.invitations().next()).await.is_err());
}
