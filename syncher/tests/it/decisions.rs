//! Who may observe and read (5.3.8, M5, M9): every question gets exactly one answer, whatever the application does.

use std::time::Duration;

use hyperty_model::message::{ForwardKind, ResponseBody};
use hyperty_model::{MessageType, StatusCode};
use hyperty_syncher::{Accept, ReporterEvent};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::manager::{Hyperty, Manager, object, quiet};

const BOB: &str = "hyperty://example.com/bob";

fn ask(manager: &std::sync::Arc<Manager>, alice: &Hyperty, kind: ForwardKind) -> JoinHandle<ResponseBody> {
    let (manager, reporter) = (manager.clone(), alice.url.clone());
    tokio::spawn(async move { manager.forward(&reporter, kind, BOB, false).await })
}

#[tokio::test(start_paused = true)]
async fn the_application_decides() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let mut events = reporter.events();

    let accepted = ask(&manager, &alice, ForwardKind::Subscribe);
    let Some(ReporterEvent::Subscription(request)) = events.next().await else { panic!() };
    assert_eq!(request.hyperty().as_str(), BOB);
    assert_eq!(request.identity().unwrap().user(), Some("user://example.com/bob"));
    request.accept();
    assert_eq!(accepted.await.unwrap().code, StatusCode::OK);
    assert!(
        matches!(events.next().await, Some(ReporterEvent::Joined { hyperty, .. }) if hyperty.as_str() == BOB)
    );

    let rejected = ask(&manager, &alice, ForwardKind::Subscribe);
    let Some(ReporterEvent::Subscription(request)) = events.next().await else { panic!() };
    request.reject("not you");
    let answer = rejected.await.unwrap();
    assert_eq!((answer.code, answer.why()), (StatusCode::FORBIDDEN, "not you"));

    for accept in [true, false] {
        let read = ask(&manager, &alice, ForwardKind::Read);
        let Some(ReporterEvent::Read(request)) = events.next().await else { panic!() };
        assert_eq!(request.reader().as_str(), BOB);
        if accept {
            request.accept()
        } else {
            request.reject()
        }
        let code = if accept { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(read.await.unwrap().code, code);
    }
}

/// INV-MSG-1: dropped, forgotten or never looked at, a question is answered.
#[tokio::test(start_paused = true)]
async fn no_decision_is_a_refusal() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let mut events = reporter.events();

    let start = tokio::time::Instant::now();
    let dropped = ask(&manager, &alice, ForwardKind::Subscribe);
    drop(events.next().await);
    assert_eq!(dropped.await.unwrap().code, StatusCode::FORBIDDEN);
    assert_eq!(start.elapsed(), Duration::ZERO);

    // Nobody looks: six seconds for each, also for one that comes later.
    let first = ask(&manager, &alice, ForwardKind::Subscribe);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let second = ask(&manager, &alice, ForwardKind::Read);
    assert_eq!(first.await.unwrap().code, StatusCode::FORBIDDEN);
    assert_eq!(start.elapsed().as_secs(), 6);
    let answer = second.await.unwrap();
    assert_eq!((answer.code, answer.why()), (StatusCode::UNAUTHORIZED, "unauthorized"));
    assert_eq!(start.elapsed().as_secs(), 10);

    // What is over is not asked any more.
    let third = ask(&manager, &alice, ForwardKind::Subscribe);
    let Some(ReporterEvent::Subscription(request)) = events.next().await else { panic!() };
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(third.await.unwrap().code, StatusCode::FORBIDDEN);
    request.accept();
    quiet().await;
    assert!(tokio::time::timeout(Duration::from_secs(1), events.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_is_authorised_already_is_told_and_not_asked() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let mut events = reporter.events();
    let answer = manager.forward(&alice.url, ForwardKind::Subscribe, BOB, true).await;
    assert_eq!(answer.code, StatusCode::OK);
    assert!(matches!(events.next().await, Some(ReporterEvent::Joined { .. })));
    let answer = manager.forward(&alice.url, ForwardKind::Unsubscribe, BOB, false).await;
    assert_eq!(answer.code, StatusCode::OK);
    assert!(matches!(events.next().await, Some(ReporterEvent::Left { hyperty }) if hyperty.as_str() == BOB));
}

#[tokio::test(start_paused = true)]
async fn a_standing_decision_needs_no_reader_of_events() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let bob = "user://example.com/bob".parse().unwrap();
    for (accept, code) in [
        (Accept::All, StatusCode::OK),
        (Accept::None, StatusCode::FORBIDDEN),
        (Accept::List(vec![bob]), StatusCode::OK),
        (Accept::List(Vec::new()), StatusCode::FORBIDDEN),
    ] {
        reporter.accept(accept);
        assert_eq!(ask(&manager, &alice, ForwardKind::Subscribe).await.unwrap().code, code);
    }
    assert_eq!(ask(&manager, &alice, ForwardKind::Read).await.unwrap().code, StatusCode::UNAUTHORIZED);
}

/// Bounds: too many questions, and too many events that nobody reads.
#[tokio::test(start_paused = true)]
async fn unread_events_are_bounded_and_what_gives_way_is_told() {
    let manager = Manager::new();
    let alice = manager.hyperty_with("alice", |config| {
        config.limits.events_max = 3;
        config.limits.decisions_max = 2;
    });
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    let questions = [1, 2, 3].map(|_| ask(&manager, &alice, ForwardKind::Subscribe));
    quiet().await;
    let [first, second, third] = questions;
    assert_eq!(third.await.unwrap().reason.as_deref(), Some("limit"));
    for _ in 0..5 {
        manager.forward(&alice.url, ForwardKind::Subscribe, BOB, true).await;
    }
    let mut events = reporter.events();
    assert!(matches!(events.next().await, Some(ReporterEvent::Lagged)));
    for question in [first, second] {
        let Some(ReporterEvent::Subscription(request)) = events.next().await else { panic!() };
        request.accept();
        assert_eq!(question.await.unwrap().code, StatusCode::OK);
        // In its place behind the questions.
    }
    assert!(matches!(events.next().await, Some(ReporterEvent::Joined { .. })));
}

#[tokio::test(start_paused = true)]
async fn nobody_but_the_own_sync_manager_forwards() {
    let manager = Manager::new();
    let alice = manager.hyperty("alice");
    let reporter = manager.reporter(&alice, json!({}), &[]).await;
    reporter.accept(Accept::All);
    let stub = "hyperty-runtime://example.com/protostub/1".parse().unwrap();
    let body = json!({"type": "subscribe", "from": BOB, "to": object(), "authorised": true});
    let forged = manager.bus.new_message(MessageType::Forward, object().as_url(), &alice.url, body);
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let _answers = manager
        .bus
        .listen(&object(), move |message| {
            let _ = told.send(message.code());
        })
        .unwrap();
    manager.bus.receive(&stub, forged);
    assert_eq!(heard.recv().await, Some(StatusCode::FORBIDDEN));
}
