//! Tokens: brought, renewed, refused, and a session that ended for want of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperty_message_bus::{Protostub, StubStatus};
use hyperty_model::StatusCode;
use hyperty_protostub::{FixedToken, SessionError, TokenError, TokenFile, TokenSource};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{FakeNode, NodeEnd, RUNTIME, Side, fake_node};

/// Gives `t1`, `t2`, …
fn counted() -> Arc<dyn TokenSource> {
    let count = AtomicU64::new(0);
    Arc::new(move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok(format!("t{number}")) }
    })
}

fn side(source: Arc<dyn TokenSource>) -> (FakeNode, Side) {
    let (node, connector) = fake_node(16);
    (node, Side::with(connector, |config| config.token = Some(source)))
}

/// Takes a message of the session with this token and answers it.
async fn take(end: &mut NodeEnd, kind: &str, token: &str, body: Value) {
    let asked = timeout(Duration::from_secs(3_600), end.next()).await.expect("in time");
    assert_eq!((&asked["type"], &asked["to"]), (&json!(kind), &json!("mn:/session")), "{asked}");
    assert_eq!(asked["body"], json!({ "accessToken": token }));
    end.answer(&asked, body).await;
}

fn admitted(seconds: u64) -> Value {
    json!({ "code": 200, "runtimeToken": "r", "expiresIn": seconds })
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_in_good_time_again_and_again() {
    let (mut node, side) = side(counted());
    let mut end = node.accept().await;
    take(&mut end, "open", "t1", admitted(100)).await;
    side.stub.live().await.unwrap();
    let mut last = Instant::now();
    for token in ["t2", "t3", "t4"] {
        take(&mut end, "update", token, admitted(100)).await;
        assert_eq!(last.elapsed(), Duration::from_secs(75));
        last = Instant::now();
    }
    assert_eq!(side.stub.status(), StubStatus::Live);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_or_is_not_answered_is_tried_again_before_the_end() {
    let (mut node, side) = side(counted());
    let mut end = node.accept().await;
    take(&mut end, "open", "t1", admitted(100)).await;
    let opened = Instant::now();
    take(&mut end, "update", "t2", json!({ "code": 401, "desc": "no" })).await;
    // Silence.
    let asked = timeout(Duration::from_secs(60), end.next()).await.unwrap();
    assert_eq!(asked["body"]["accessToken"], "t3");
    take(&mut end, "update", "t4", admitted(100)).await;
    assert!(opened.elapsed() < Duration::from_secs(100), "{:?}", opened.elapsed());
    assert_eq!(side.stub.status(), StubStatus::Live);
}

#[tokio::test(start_paused = true)]
async fn coming_back_brings_a_token_too_and_a_better_one_after_a_refusal() {
    let (mut node, side) = side(counted());
    let mut end = node.accept().await;
    take(&mut end, "open", "t1", admitted(100)).await;
    side.stub.live().await.unwrap();
    drop(end);
    let mut end = node.accept().await;
    take(&mut end, "re-open", "t2", json!({ "code": 401, "desc": "expired" })).await;
    let mut end = node.accept().await;
    let refused = SessionError::Refused { code: StatusCode::UNAUTHORIZED, description: "expired".to_owned() };
    assert_eq!(side.stub.last_error(), Some(refused));
    // The session may still be there.
    take(&mut end, "re-open", "t3", admitted(100)).await;
    side.stub.live().await.unwrap();
    take(&mut end, "update", "t4", admitted(100)).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_told_that_the_session_expired_opens_another() {
    let (mut node, side) = side(counted());
    let mut end = node.accept().await;
    take(&mut end, "open", "t1", admitted(1_000)).await;
    side.stub.live().await.unwrap();
    let body = json!({ "value": "expired", "code": 401 });
    end.send(json!({ "id": 1, "type": "event", "from": "mn:/session", "to": RUNTIME, "body": body })).await;
    drop(end);
    let mut end = node.accept().await;
    assert_eq!(side.stub.last_error(), Some(SessionError::Expired));
    take(&mut end, "open", "t2", admitted(1_000)).await;
    side.stub.live().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_opened_and_the_reason_is_told() {
    let why = TokenError("the issuer is away".to_owned());
    let given = why.clone();
    let (mut node, side) = side(Arc::new(move || std::future::ready(Err(given.clone()))));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(node.connections.try_recv().is_err());
    assert_eq!(side.stub.last_error(), Some(SessionError::Token(why)));
    // One that never answers is no better.
    let (_node, connector) = fake_node(16);
    let silent: Arc<dyn TokenSource> = Arc::new(std::future::pending::<Result<String, TokenError>>);
    let side = Side::with(connector, |config| config.token = Some(silent));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(matches!(side.stub.last_error(), Some(SessionError::Token(_))));
}

#[tokio::test]
async fn tokens_come_from_where_they_are_said_to() {
    assert_eq!(FixedToken::new("x\n").token().await.as_deref(), Ok("x"));
    assert!(!format!("{:?}", FixedToken::new("secret")).contains("secret"));
    let path = std::env::temp_dir().join(format!("hyperty-token-{}", std::process::id()));
    let source = TokenFile::new(&path);
    assert!(source.token().await.is_err());
    for token in ["a", "b"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        assert_eq!(source.token().await.as_deref(), Ok(token));
    }
    std::fs::remove_file(path).unwrap();
}
